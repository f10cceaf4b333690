"""All bases and their static blend on five public sets.

    python -m benchmarks.bases [--data ../shared/data] [--only amazon-cds] [--config FILE.toml]

Imports each set with its mapping in ``configs/``, runs each protocol that fits it, and
writes ``benchmarks/bases.md``. Takes about six minutes on two cores.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from crossfade.cli.progress import reporter
from crossfade.config import load_toml
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.evaluation import Evaluation, evaluate, table_rows
from crossfade.evaluation.output import estimate_text, number_text
from crossfade.hybrid import HybridConfig
from crossfade.meta.experiment import Experiment, run_experiment
from crossfade.progress import reporting_to
from crossfade.recommenders.ease import EASE
from crossfade.types import Csr

ROOT = Path(__file__).parent.parent
RUNS = (
    ("amazon-cds", "time"),
    ("movielens-100k", "time"),
    ("movielens-100k", "user"),
    ("thirtymusic-sessions", "time"),
    ("thirtymusic-sessions", "repeat"),
    ("lastfm-hetrec2011", "user"),
    ("wfmu-playlists", "time"),
    ("wfmu-playlists", "repeat"),
)
METRICS = ("ndcg@10", "recall@20", "mrr@10", "coverage@10", "gini@10", "novelty@10", "answered")
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description="All bases and their blend on five public sets.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="one data set")
    parser.add_argument("--config", type=Path, help="settings other than the defaults")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "bases.md")
    wanted = parser.parse_args()
    config = HybridConfig() if wanted.config is None else load_toml(HybridConfig, wanted.config)
    sections, losses = [], []
    with tempfile.TemporaryDirectory() as folder, reporting_to(reporter()):
        for name, protocol in RUNS:
            if wanted.only in {None, name}:
                began = time.monotonic()
                experiment = _run(wanted.data / name, Path(folder), protocol, config)
                seconds = time.monotonic() - began
                losses += list(_losses(name, protocol, experiment.evaluation))
                sections.append(_section(name, protocol, experiment, seconds))
                if (name, protocol) == ("movielens-100k", "user"):
                    sections.append(_ease_on_the_base_block(Path(folder) / name))
                print(sections[-1], flush=True)
    wanted.to.write_text(_page(sections, losses), encoding="utf-8")
    print(f"written: {wanted.to}", file=sys.stderr)


def _run(source: Path, folder: Path, protocol: str, config: HybridConfig) -> Experiment:
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{source.name}.toml")
    import_table(mapping, folder / source.name, root=source, now=datetime.now(UTC))
    return run_experiment(
        load_dataset(folder / source.name),
        config.bases,
        config.blend.changed(fusion="static"),
        config.protocol.changed(name=protocol),
        config.evaluation,
        seed=SEED,
    )


def _section(name: str, protocol: str, experiment: Experiment, seconds: float) -> str:
    evaluation, choice = experiment.evaluation, experiment.choice
    about = evaluation.about
    header, *rows = table_rows(evaluation, METRICS)
    used = sorted(((w, label) for label, w in choice.weights.items() if w > 0), reverse=True)
    lines = [
        f"## {name}, protocol {protocol}",
        "",
        f"{evaluation.n_users:,} users asking {about.n_requests:,} times, {about.n_items:,} items; "
        f"wanted: {about.target}; {seconds:.0f} s in all.",
        "",
        *(f"- {flag}" for flag in about.flags),
        *(f"- {label}: {text}" for label, texts in experiment.notices.items() for text in texts),
        f"- blend ({choice.scaling}): {', '.join(f'{label} {w:.2f}' for w, label in used)}"
        + ("" if choice.kept else "; the tuned blend did not hold on the calibrate block"),
        "",
        f"| {' | '.join(header)} |",
        f"| --- |{' ---: |' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def _ease_on_the_base_block(directory: Path) -> str:
    """The figure the literature of this set often shows: EASE that learned from 60 % only."""
    plan = make_plan(load_dataset(directory), ProtocolConfig(name="user"), SEED)
    test, base = plan.tests[0], plan.fuse.train
    asked = replace(
        test, train=base, queries=base.queries(test.queries.user_row), hidden=Csr(test.queries.seen)
    )
    found = evaluate([asked], [[EASE().fit(base)]])
    row = found.summary.filter(pl.col("metric") == "ndcg@10").row(0, named=True)
    return f"EASE fitted on the base block alone: NDCG@10 {estimate_text(row)}, n = {row['n']:,}.\n"


def _losses(name: str, protocol: str, evaluation: Evaluation) -> Iterator[str]:
    """Where some base beats the blend, over all users and in slices."""
    for row in evaluation.comparisons.iter_rows(named=True):
        if row["model"] == "static" and row["against"] == "best other" and row["difference"] < 0:
            yield _loss(name, protocol, "all users", row["other"], row)
    slices = evaluation.losing_slices("static")
    for row in slices.iter_rows(named=True):
        if row["difference_high"] is not None and row["difference_high"] < 0:
            at = {**row, "low": row["difference_low"], "high": row["difference_high"]}
            yield _loss(name, protocol, f"{row['family']}: {row['slice']}", row["best_other"], at)


def _loss(name: str, protocol: str, where: str, winner: str, row: dict[str, float]) -> str:
    interval = f"{number_text(row['low'])}, {number_text(row['high'])}"
    return (
        f"| {name} | {protocol} | {where} | {winner} | {row['metric']} | "
        f"{number_text(row['difference'])} [{interval}] | {row['n']:,} |"
    )


def _page(sections: list[str], losses: list[str]) -> str:
    table = [
        "| set | protocol | where | who wins | metric | blend minus winner | n |",
        "| --- | --- | --- | --- | --- | ---: | ---: |",
        *losses,
    ]
    return "\n".join(
        [
            "# Bases and their static blend on five public sets",
            "",
            "Made by `python -m benchmarks.bases`, default settings, seed 0. Every item known before the cut is",
            "ranked; 95 % bootstrap intervals over users. Bases are fitted on everything before the test block;",
            "the blend's weights come from the fuse block, tuned on bases that had not seen it. Users without",
            "any history are asked too: models that cannot answer them score 0 there (see *answered*).",
            "",
            "## Where the blend loses",
            "",
            "Overall, and every slice whose interval lies below 0.",
            "",
            *(table if losses else ["Nowhere."]),
            "",
            *sections,
        ]
    )


if __name__ == "__main__":
    main()
