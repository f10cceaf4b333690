"""What reading context through extractors is worth to a gate, and what friends and situations are.

    python -m benchmarks.context [--data ../shared/data] [--only amazon-cds] [--seeds 1] [--keep FOLDER]

Every row compares two gates that learned from the same lists and answer the same requests.
Writes ``benchmarks/context.md``.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.signals import SETS, Block, block_of
from crossfade.evaluation.statistics import resampled_means
from crossfade.features.situation import PREFIX
from crossfade.features.social import SOCIAL
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.static import list_ndcg
from crossfade.rng import generator
from crossfade.types import Doubles

ROOT = Path(__file__).parent.parent
ALL_SETS = (*SETS, ("situnes", "time"), ("situnes", "user"))
LEARNED, JUDGED = 1_500, 750
"""Most lists to learn from, and to choose or be judged by; larger blocks are thinned evenly."""
RESAMPLES = 2_000
SEED = 0
EXTRACTORS = {"reading": "extractors"}
READINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "extractors": EXTRACTORS,
    "extractors, session by attention": {**EXTRACTORS, "session": "attention"},
}
BLOCKS = ("calibrate", "test")

Key = tuple[str, str, str]
"""Gate, reading, and whether the columns about friends and situations are all there or without."""

COMPARED: tuple[tuple[Key, ...], ...] = (
    (("meta", "plain", "all"), ("meta", "extractors", "all")),
    (("meta", "plain", "without"), ("meta", "extractors", "without")),
    (("hypernetwork", "plain", "all"), ("hypernetwork", "extractors", "all")),
    (("meta", "extractors, session by attention", "all"),),
)
"""What one process measures at a time."""


@dataclass
class Found:
    """NDCG@10 of each request, the mean over seeds, by what was fitted and block; seconds of a fit."""

    name: str
    protocol: str
    values: dict[Key, dict[str, Doubles]] = field(default_factory=dict)
    seconds: dict[Key, float] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description="Context through extractors.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="some of the sets, with commas")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the signals of each set")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "context.md")
    asked = parser.parse_args()
    began = time.monotonic()
    chosen = [pair for pair in ALL_SETS if asked.only is None or pair[0] in asked.only.split(",")]
    found = {pair: Found(*pair) for pair in chosen}
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(os.cpu_count()) as pool:
        where = (asked.data, Path(folder), asked.keep, asked.seeds)
        jobs = [pool.submit(_measured, pair, keys, *where) for keys in COMPARED for pair in chosen]
        for job in as_completed(jobs):
            one = job.result()
            of_set = found[one.name, one.protocol]
            of_set.values |= one.values
            of_set.seconds |= one.seconds
            text = _page(list(found.values()), asked.seeds, time.monotonic() - began)
            asked.to.write_text(text, encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _measured(  # noqa: PLR0917
    pair: tuple[str, str],
    keys: Sequence[Key],
    data: Path,
    folder: Path,
    keep: Path | None,
    n_seeds: int,
) -> Found:
    """Some of the gates on one set."""
    own = Path(tempfile.mkdtemp(dir=folder))  # several processes may import the same set
    found, block = Found(*pair), _thinned(block_of(*pair, data, own, keep))
    bare = _without_people(block) if any(key[2] == "without" for key in keys) else None
    for key in keys:
        given = bare if key[2] == "without" else block
        if given is not None:
            _judge(found, given, key, READINGS[key[1]], n_seeds)
    return found


def _judge(found: Found, block: Block, key: Key, settings: dict[str, Any], n_seeds: int) -> None:
    material, began = block.material, time.monotonic()
    fitted = [
        make_fusion(key[0], settings).fit(material.train, material.calibrate, seed)
        for seed in range(n_seeds)
    ]
    found.seconds[key] = (time.monotonic() - began) / n_seeds
    found.values[key] = {
        name: np.mean([_ndcg(labelled, model) for model in fitted], axis=0)
        for name, labelled in zip(BLOCKS, (material.calibrate, block.test), strict=True)
    }
    means = ", ".join(f"{name} {x.mean():.4f}" for name, x in found.values[key].items())
    text = f"{found.name} {found.protocol} {' '.join(key)}: {means}, {found.seconds[key]:.0f} s"
    print(text, file=sys.stderr, flush=True)


def _ndcg(labelled: LabelledSignals, model: Any) -> Doubles:
    score = model.forward(labelled.signals).score
    return list_ndcg(score, labelled.relevant, labelled.n_relevant, 10)


def _thinned(block: Block) -> Block:
    material = block.material
    train, calibrate = _some(material.train, LEARNED), _some(material.calibrate, JUDGED)
    learned = replace(material, train=train, calibrate=calibrate)
    return Block(learned, _some(block.test, JUDGED))


def _some(labelled: LabelledSignals, most: int) -> LabelledSignals:
    if len(labelled) <= most:
        return labelled
    return labelled.take(np.linspace(0, len(labelled) - 1, most).astype(np.int64))


def _without_people(block: Block) -> Block | None:
    """The same lists without friends and situations; None where there are none."""
    columns = block.test.signals.columns
    if not set(SOCIAL) & set(columns.item) and not any(x.startswith(PREFIX) for x in columns.user):
        return None
    material = block.material
    train, calibrate = _bare(material.train), _bare(material.calibrate)
    return Block(replace(material, train=train, calibrate=calibrate), _bare(block.test))


def _bare(labelled: LabelledSignals) -> LabelledSignals:
    signals, columns = labelled.signals, labelled.signals.columns
    assert signals.user is not None
    assert signals.item is not None
    user = [place for place, x in enumerate(columns.user) if not x.startswith(PREFIX)]
    item = [place for place, x in enumerate(columns.item) if x not in SOCIAL]
    kept = replace(
        columns,
        user=tuple(columns.user[place] for place in user),
        item=tuple(columns.item[place] for place in item),
    )
    signals = replace(
        signals, user=signals.user[:, user], item=signals.item[..., item], columns=kept
    )
    return replace(labelled, signals=signals)


# -- the page --------------------------------------------------------------------------


def _page(found: Sequence[Found], n_seeds: int, seconds: float) -> str:
    lines = [
        "# Context through extractors",
        "",
        f"`python -m benchmarks.context --seeds {n_seeds}`, {seconds / 60:.0f} minutes, default "
        f"settings but for `reading` and `session`. NDCG@10, {n_seeds} seed{'s' if n_seeds > 1 else ''}; the same "
        "lists for both sides of a row, at most "
        f"{LEARNED:,} to learn from and {JUDGED} in a block; the interval is a 95 % paired bootstrap over "
        "the n requests. "
        "Every gate keeps its best epoch on the calibrate block, so that block flatters all of them; "
        "the test block is not looked at before. Where no epoch is better than the static blend, that is kept, "
        "and the two sides of a row are equal.",
        "",
        f"The default reading is `{GateConfig().reading}`. It is to be what is better, by more than chance, "
        "on the calibrate blocks of the five sets; `situnes` is too small to count.",
        "",
    ]
    tables = (
        (
            "Plain or extractors",
            "gate",
            ("plain", "extractors"),
            [
                (gate, (gate, "plain", "all"), (gate, "extractors", "all"))
                for gate in ("meta", "hypernetwork")
            ],
        ),
        (
            "Session features by plain layers or by attention",
            "gate",
            ("mlp", "attention"),
            [
                (
                    "meta",
                    ("meta", "extractors", "all"),
                    ("meta", "extractors, session by attention", "all"),
                )
            ],
        ),
        (
            "Without and with friends or situations",
            "reading of `meta`",
            ("without", "with"),
            [
                (reading, ("meta", reading, "without"), ("meta", reading, "all"))
                for reading in ("plain", "extractors")
            ],
        ),
    )
    for title, what, sides, rows in tables:
        lines += _table(found, title, what, sides, rows)
    absent = [
        f"{one.name} {one.protocol}, {gate}, {reading}"
        for one in found
        for keys in COMPARED
        for gate, reading, columns in keys
        if columns == "all" and (gate, reading, columns) not in one.values
    ]
    if absent:
        lines += ["Not measured, because the run was ended before: " + "; ".join(absent) + ".", ""]
    lines += ["## Time of a fit", "", "| set | gate | reading | s |", "| --- | --- | --- | ---: |"]
    lines += [
        f"| {one.name}, {one.protocol} | {gate} | {reading} | {took:.0f} |"
        for one in found
        for (gate, reading, columns), took in one.seconds.items()
        if columns == "all"
    ]
    return "\n".join([*lines, ""])


def _table(
    found: Sequence[Found],
    title: str,
    what: str,
    sides: tuple[str, str],
    rows: Sequence[tuple[str, Key, Key]],
) -> list[str]:
    lines = [
        f"## {title}",
        "",
        f"| set | block | n | {what} | {sides[0]} | {sides[1]} | difference [95 %] |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    ratios: dict[tuple[str, str], list[float]] = {}
    for one in found:
        for label, left, right in rows:
            if not {left, right} <= set(one.values):
                continue
            for block in BLOCKS:
                before, after = one.values[left][block], one.values[right][block]
                lines.append(
                    f"| {one.name}, {one.protocol} | {block} | {len(before):,} | {label} | "
                    f"{before.mean():.4f} | {after.mean():.4f} | {_difference(before, after)} |"
                )
                if (one.name, one.protocol) in SETS:  # situnes is too small to count
                    ratio = float(after.mean() / before.mean())
                    ratios.setdefault((label, block), []).append(ratio)
    lines += [""]
    for (label, block), values in ratios.items():
        if len(values) < 2:
            continue
        mean = float(np.exp(np.mean(np.log(values))))
        lines.append(
            f"- {label}, {block}: {sides[1]} to {sides[0]}, geometric mean over {len(values)} "
            f"sets, {mean:.3f}"
        )
    return [*lines, ""]


def _difference(before: Doubles, after: Doubles) -> str:
    drawn = resampled_means(
        (after - before)[:, None], RESAMPLES, generator(SEED, "benchmarks.context")
    )
    low, high = np.quantile(drawn[:, 0], [0.025, 0.975])
    return f"{after.mean() - before.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


if __name__ == "__main__":
    main()
