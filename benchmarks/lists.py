"""What diversity and the limit per creator cost and give on Amazon CDs.

    python -m benchmarks.lists [--data ../shared/data]

A system with default settings is fitted on everything before the test block and serves the
requests of that block, ten items each, by one setting after the other. Writes
``benchmarks/lists.md``. Diversity within a list is the mean over pairs of items of 1 minus the
Jaccard similarity of their genres.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.ratios import Ratio, paired_ratio
from benchmarks.signals import ROOT, SEED
from crossfade.cli.progress import reporter
from crossfade.config import load_toml
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import ProtocolConfig, Trial, make_plan
from crossfade.evaluation.diversity import judged_lists
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.diversity import served_rows
from crossfade.meta.learning import learn
from crossfade.meta.signals import sampled
from crossfade.progress import reporting_to
from crossfade.ranking import RankingConfig
from crossfade.types import Doubles

SET, K = "amazon-cds", 10
PLAIN = "plain order"
GAIN_BAR, LOSS_BAR = 0.15, 0.02


def _settings() -> Iterator[tuple[str, RankingConfig]]:
    free = RankingConfig(max_per_creator=0)
    yield PLAIN, free
    yield "at most 3 per creator", RankingConfig()
    for how in ("mmr", "dpp"):
        for value in (0.1, 0.2, 0.3, 0.5, 0.7, 1.0):
            yield f"{how} {value:g}", free.changed(diversity=value, diversify=how)
    for value in (0.1, 0.3, 0.5):
        yield f"genres of the history {value:g}", free.changed(calibrated=value)


@dataclass(frozen=True)
class Judged:
    """Lists of one setting: per request, and what serving took."""

    ndcg: Doubles
    diversity: Doubles
    ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description="What diversity costs.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "lists.md")
    asked = parser.parse_args()
    with reporting_to(reporter()), tempfile.TemporaryDirectory() as folder:
        model, trial = _system(asked.data, Path(folder))
        found = {name: _judged(model, trial, config) for name, config in _settings()}
    asked.to.write_text(_page(found, model), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _system(data: Path, folder: Path) -> tuple[HybridModel, Trial]:
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{SET}.toml")
    import_table(mapping, folder / SET, root=data / SET, now=datetime.now(UTC))
    config = HybridConfig()
    plan = make_plan(load_dataset(folder / SET), ProtocolConfig(), SEED)
    learned = learn(plan, config.bases, config.blend, (config.blend.fusion,), SEED)
    trial = sampled(plan.tests[0], config.blend.max_requests, SEED)
    blend = learned.blend(config.blend.fusion)
    return HybridModel.fit(trial.train, config, SEED, learned.choice, blend), trial


def _judged(model: HybridModel, trial: Trial, config: RankingConfig) -> Judged:
    began = time.perf_counter()
    lists = served_rows(model.lists, trial, config, K)
    ms = 1000 * (time.perf_counter() - began) / len(lists)
    return Judged(*judged_lists(lists, trial), ms)


def _page(found: dict[str, Judged], model: HybridModel) -> str:
    plain = found[PLAIN]
    gain, loss = (_ratio(found["mmr 0.3"], plain, name).value - 1 for name in ("diversity", "ndcg"))
    kept = gain >= GAIN_BAR and loss >= -LOSS_BAR
    lines = [
        "# Diversity of lists",
        "",
        f"`python -m benchmarks.lists`: {SET}, protocol time, `{model.blend.name}`, n = "
        f"{len(plain.ndcg):,} requests of the test block, lists of {K}. Diversity is the mean over pairs of "
        "items of 1 minus the Jaccard similarity of their genres. Ratios are to the plain order, with 95 % "
        "paired bootstrap intervals over requests.",
        "",
        f"Bar: diversity 0.3 gives at least {GAIN_BAR:.0%} more diversity for at most {LOSS_BAR:.0%} of NDCG@10: "
        f"{gain:+.1%} for {loss:+.1%}, **{'pass' if kept else 'fail'}**.",
        "",
        "| setting | NDCG@10 | ratio [95 %] | diversity | ratio [95 %] | ms a list |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, one in found.items():
        cells = [name]
        for metric in ("ndcg", "diversity"):
            told = "" if name == PLAIN else str(_ratio(one, plain, metric))
            cells += [f"{np.nanmean(getattr(one, metric)):.4f}", told]
        lines.append(f"| {' | '.join([*cells, f'{one.ms:.1f}'])} |")
    return "\n".join([*lines, ""])


def _ratio(one: Judged, plain: Judged, metric: str) -> Ratio:
    return paired_ratio(getattr(one, metric), getattr(plain, metric), f"lists.{metric}")


if __name__ == "__main__":
    main()
