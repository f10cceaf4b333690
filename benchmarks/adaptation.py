"""What a few reactions of one person are worth: the adapted gate beside its unadapted shadow.

    python -m benchmarks.adaptation [--data ../shared/data] [--keep FOLDER] [--jobs 2]

Test, then learn: for people of the test block, in the order of their events, NDCG@10 of what they
wanted after their first 1, 3, 5 and 10 reactions, with weights adapted to those reactions and
without. Both sides rank the same lists. Settings were chosen on the calibrate block; its tables
come last. ``--keep`` keeps the signals of each set there and takes them from there. Writes
``benchmarks/adaptation.md``.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.adaptation_page import SLICES, Found, Runs, calibrate_page, test_page
from benchmarks.signals import ROOT, SEED, SETS, block_of
from crossfade.cli.progress import reporter
from crossfade.config import load_toml
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import ProtocolConfig, Trial, make_plan
from crossfade.evaluation.statistics import bootstrap
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.maml.config import Algorithm, MamlConfig
from crossfade.fusion.maml.model import Maml
from crossfade.meta.blending import BlendConfig
from crossfade.meta.prequential import (
    Step,
    cut_after,
    ndcg,
    prequential,
    retention,
    wanted_times,
)
from crossfade.meta.signals import sampled
from crossfade.progress import reporting_to
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Ints

JUDGED = ("movielens-100k", "amazon-cds", "thirtymusic-sessions", "lastfm-hetrec2011")
COMPARED = JUDGED[:3]
FEW = 5
MANY_KNOWN = 5
RESAMPLES = 2_000


@dataclass(frozen=True)
class People:
    """Lists of one block, when what was wanted there happened, and how long histories were."""

    lists: LabelledSignals
    when: Doubles | None
    n_history: Ints

    def slice_of(self, name: str) -> Bools:
        """Who is in a slice, ``(B,)``."""
        few: Bools = (self.n_history <= FEW) & (self.n_history >= (name == "1–5"))
        return few if name != "all" else np.ones_like(few)


@dataclass(frozen=True)
class Set:
    """One public set."""

    name: str
    train: LabelledSignals
    calibrate: People
    test: People


def main() -> None:
    parser = argparse.ArgumentParser(description="What a few reactions of one person are worth.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--keep", type=Path, help="folder for the signals of each set")
    parser.add_argument("--seeds", type=int, default=3, help="of the test block")
    parser.add_argument("--compared-seeds", type=int, default=2, help="of the calibrate block")
    parser.add_argument("--jobs", type=int, default=1, help="sets at once")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "adaptation.md")
    asked = parser.parse_args()
    began = time.monotonic()
    jobs = [(name, protocol, asked) for name, protocol in SETS if name in JUDGED]
    if asked.jobs == 1:
        found = [_found(job) for job in jobs]
    else:
        with ProcessPoolExecutor(asked.jobs) as pool:
            found = list(pool.map(_found, jobs))
    seconds = time.monotonic() - began
    lines = [
        "# Adaptation",
        "",
        f"`python -m benchmarks.adaptation --seeds {asked.seeds} --compared-seeds {asked.compared_seeds}`, "
        f"{seconds / 60:.0f} minutes, default settings.",
        "",
        *test_page(found, asked.seeds),
        *calibrate_page(found, asked.compared_seeds),
    ]
    asked.to.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _found(job: tuple[str, str, argparse.Namespace]) -> Found:
    name, protocol, asked = job
    with tempfile.TemporaryDirectory() as folder, reporting_to(reporter()):
        one = _set(name, protocol, asked.data, Path(folder), asked.keep)
        models, seconds = _models(one, MamlConfig(), asked.seeds)
        test = _runs([_steps(model, one.test) for model in models])
        retained = _retained(one, models[0])
        _say(f"{name}: judged")
        calibrate = {}
        for label, config in _configurations().items() if name in COMPARED else ():
            # The default is the first of them, and already there.
            if config != MamlConfig():
                models, seconds = _models(one, config, asked.compared_seeds)
            each = [_steps(model, one.calibrate) for model in models[: asked.compared_seeds]]
            calibrate[label] = _runs(each), seconds
            _say(f"{name}, {label}: judged")
    inside = {part: one.test.slice_of(part) for part in SLICES}
    return Found(name, test, inside, retained, calibrate, len(one.calibrate.lists))


def _configurations() -> dict[str, MamlConfig]:
    """The default first, then what it is compared with."""
    default = MamlConfig()
    others = [name for name in get_args(Algorithm) if name != default.algorithm]
    return {
        default.algorithm: default,
        **{name: default.changed(algorithm=name) for name in others},
        "curriculum": default.changed(sampling=default.sampling.changed(curriculum=True)),
    }


def _set(name: str, protocol: str, data: Path, folder: Path, keep: Path | None) -> Set:
    block = block_of(name, protocol, data, folder, keep)
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{name}.toml")
    imported = folder / f"{name}-log"
    import_table(mapping, imported, root=data / name, now=datetime.now(UTC))
    dataset = load_dataset(imported)
    plan = make_plan(dataset, ProtocolConfig(name=protocol), SEED)

    def people(trial: Trial, lists: LabelledSignals) -> People:
        queries = sampled(trial, BlendConfig().max_requests, SEED).queries
        slim = replace(lists, signals=replace(lists.signals, item=None, reciprocal_rank=None))
        return People(slim, wanted_times(lists, queries, dataset), np.diff(queries.indptr))

    material = block.material
    return Set(
        name,
        material.train,
        people(plan.calibrate, material.calibrate),
        people(plan.tests[0], block.test),
    )


def _models(one: Set, config: MamlConfig, n_seeds: int) -> tuple[list[Maml], float]:
    """One model per seed, and the median seconds of a fit."""
    models, seconds = [], []
    for seed in range(n_seeds):
        began = time.monotonic()
        models.append(Maml(config).fit(one.train, one.calibrate.lists, seed))
        seconds.append(time.monotonic() - began)
    return models, float(np.median(seconds))


def _steps(model: Maml, people: People) -> list[Step]:
    return prequential(model, people.lists, people.when, generator(SEED, "benchmarks.adaptation"))


def _runs(each: Sequence[list[Step]]) -> list[Runs]:
    return [Runs.of(steps) for steps in zip(*each, strict=True)]


def _retained(one: Set, model: Maml) -> str:
    earlier = one.calibrate.lists
    before = ndcg(model.forward(earlier.signals), earlier)
    rng = generator(SEED, "benchmarks.adaptation.retention")
    _, cut = cut_after(one.test.lists, one.test.when, MANY_KNOWN, rng)
    adapted = model.adapt(cut.support.signals, cut.support.relevant)
    found = retention(model, earlier, adapted, before)
    own, others = found.own, ~found.own
    change = found.after - found.before
    mean = bootstrap(change[own, None], rng, resamples=RESAMPLES)
    return (
        f"| {one.name} | {others.sum():,} | {found.before[others].mean():.4f} | {found.after[others].mean():.4f} | "
        f"{np.abs(change[others]).max(initial=0):.1g} | {own.sum():,} | {found.before[own].mean():.4f} | "
        f"{found.after[own].mean():.4f} | {mean.mean[0]:+.4f} [{mean.low[0]:+.4f}, {mean.high[0]:+.4f}] |"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
