"""Learned blends against every base and every classic stacker, on five public sets.

    python -m benchmarks.fusion [--data ../shared/data] [--only amazon-cds] [--seeds 1] [--keep FOLDER]

Every model is fed the same signals and context: the fuse block and the blocks before it to learn
from, the calibrate block to choose by, the test block judged once. ``--keep`` keeps the signals of
each set there, and what each model was worth with each seed; what is kept is not made again, so
several runs can share the work. Writes ``benchmarks/fusion.md``.
"""

import argparse
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.ratios import paired_ratio
from benchmarks.signals import SETS, Block, block_of
from crossfade.cli.progress import reporter
from crossfade.fusion.auto import AutoFusion, slice_of
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.static import list_ndcg
from crossfade.progress import reporting_to
from crossfade.types import Doubles

ROOT = Path(__file__).parent.parent
STACKERS = ("rrf", "static", "ridge", "fwls", "lambdamart")
OTHERS = (
    "combsum",
    "confidence_weighted",
    "learned_weights",
    "adaptive",
    "hard_selection",
    "meta",
    "attention",
    "hypernetwork",
    "personalised",
    "maml",
)
SEEDED = ("lambdamart", "meta", "auto")
"""Models that are fitted with every seed; the others with one."""
STREAM = "benchmarks.fusion"


@dataclass
class Found:
    """What a set showed: NDCG@10 of each test request by base, and by model and seed."""

    name: str
    protocol: str
    bases: dict[str, Doubles]
    by_seed: dict[str, list[Doubles]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def models(self) -> dict[str, Doubles]:
        """The mean over seeds."""
        return {model: np.mean(values, axis=0) for model, values in self.by_seed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Learned blends on five public sets.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="some of the sets, with commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join((*STACKERS, *OTHERS, "auto")))
    parser.add_argument("--keep", type=Path, help="folder for the signals of each set")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "fusion.md")
    asked = parser.parse_args()
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder, reporting_to(reporter()):
        for name, protocol in SETS:
            kept = None if asked.keep is None else asked.keep / f"found-{name}.pickle"
            one = None if kept is None or not kept.exists() else pickle.loads(kept.read_bytes())  # noqa: S301
            if asked.only is None or name in asked.only.split(","):
                block = block_of(name, protocol, asked.data, Path(folder), asked.keep)
                one = one or _first(name, protocol, block)
                for model in asked.models.split(","):
                    done, n_seeds = len(one.by_seed.get(model, [])), asked.seeds
                    for seed in range(done, n_seeds if model in SEEDED else 1):
                        _judge(one, block, model, seed)
                        if kept is not None:
                            kept.write_bytes(pickle.dumps(one, protocol=5))
            if one is not None:
                found.append(one)
                asked.to.write_text(_page(found), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _first(name: str, protocol: str, block: Block) -> Found:
    test = block.test
    bases = {
        label: _ndcg(test, test.signals.score[:, :, place])
        for place, label in enumerate(test.signals.columns.bases)
    }
    sizes = " / ".join(map(str, np.bincount(slice_of(test.signals), minlength=3).tolist()))
    told = f"test requests by history, cold / warm / hot: {sizes}"
    return Found(name, protocol, bases, notes={"": [told]})


def _judge(found: Found, block: Block, model: str, seed: int) -> None:
    """Fit and judge a model with the next seed."""
    began = time.monotonic()
    fitted = make_fusion(model).fit(block.material.train, block.material.calibrate, seed)
    seconds = time.monotonic() - began
    values = _ndcg(block.test, fitted.forward(block.test.signals).score)
    found.seconds.setdefault(model, []).append(seconds)
    found.by_seed.setdefault(model, []).append(values)
    if isinstance(fitted, AutoFusion) and seed == 0:
        found.notes[model] = _verdicts(fitted)
    _say(f"{found.name} {model} {seed}: {values.mean():.4f}, {seconds:.0f} s")


def _verdicts(model: AutoFusion) -> list[str]:
    shares = ", ".join(f"{name} {share:.2f}" for name, share in model.shares.items() if share)
    lines = [f"auto, seed 0: {shares}"]
    later = {
        verdict.name: f"; worse in {verdict.harm_later:.0%} of those of the calibrate block (n = {verdict.n_later})"
        for verdict in model.verdicts
        if verdict.n_later
    }
    lines += [
        f"unseen lists, {verdict.name} (n = {verdict.n}): learned {verdict.learned:.4f}, static "
        f"{verdict.static:.4f}, better in {verdict.certainty:.0%} of resamples{later.get(verdict.name, '')}; "
        f"{'learned' if verdict.serves else 'static'} serves"
        for verdict in model.verdicts
        if verdict.n
    ]
    return lines


def _ndcg(labelled: LabelledSignals, score: np.ndarray) -> Doubles:
    return list_ndcg(score, labelled.relevant, labelled.n_relevant, 10)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _best(models: dict[str, Doubles]) -> str:
    return max(models, key=lambda name: float(models[name].mean()))


def _page(found: Sequence[Found]) -> str:
    lines = [
        "# Learned blends",
        "",
        "`python -m benchmarks.fusion`, default settings. NDCG@10 on the test block over all known items; "
        "the mean over seeds, where there are several. Intervals are 95 % paired bootstrap over requests. "
        "The best base and the best stacker are picked on these very requests, which favours them.",
        "",
    ]
    for against, title, pick in (
        ("bases", "the best base", lambda one: one.bases),
        ("stackers", "the best classic stacker", _stackers),
    ):
        lines += [
            f"## auto against {title}",
            "",
            f"| set | n | auto | {title} | | ratio [95 %] |",
            "| --- | ---: | ---: | ---: | --- | ---: |",
        ]
        ratios = []
        for one in found:
            if "auto" not in one.models or not pick(one):
                continue
            name = _best(pick(one))
            ours, theirs = one.models["auto"], pick(one)[name]
            ratio = paired_ratio(ours, theirs, STREAM)
            ratios.append(ratio.value)
            lines.append(
                f"| {one.name}, {one.protocol} | {len(ours):,} | {ours.mean():.4f} | {theirs.mean():.4f} | "
                f"{name} | {ratio} |"
            )
        if ratios:
            mean = float(np.exp(np.mean(np.log(ratios))))
            lines += ["", f"Geometric mean over {len(ratios)} sets: {mean:.3f} ({against}).", ""]
    return "\n".join([*lines, *(line for one in found for line in _section(one))])


def _stackers(one: Found) -> dict[str, Doubles]:
    return {name: values for name, values in one.models.items() if name in STACKERS}


def _section(one: Found) -> list[str]:
    best = one.bases[_best(one.bases)]
    rows = sorted({**one.bases, **one.models}.items(), key=lambda row: -row[1].mean())
    lines = [
        f"## {one.name}, protocol {one.protocol}",
        "",
        *(f"- {note}" for notes in one.notes.values() for note in notes),
        "",
        "| model | NDCG@10 | spread over seeds | to the best base [95 %] | fit (s) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, values in rows:
        seconds = f"{np.median(one.seconds[name]):.0f}" if name in one.seconds else "base"
        means = [float(seed.mean()) for seed in one.by_seed.get(name, [])]
        spread = f"{min(means):.4f} – {max(means):.4f} ({len(means)})" if len(means) > 1 else ""
        lines.append(
            f"| {name} | {values.mean():.4f} | {spread} | {paired_ratio(values, best, STREAM)} | "
            f"{seconds} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    main()
