"""What fusion costs on MovieLens 1M: scoring one list on one core, and training a gate.

    python -m benchmarks.fusion_speed [--data ../shared/data]

Training is `meta` with default settings on every request of the fuse block, protocol time. Scoring
is one request with 1,000 candidates and seven bases, context included, by models fitted on 1,000
of those requests; its list is repeated until it has 1,000. Writes ``benchmarks/fusion_speed.md``.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from crossfade.cli.progress import reporter
from crossfade.config import load_toml
from crossfade.data import load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.fusion.auto import AutoFusion
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.registry import make_fusion
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.chain import without_clock
from crossfade.meta.config import DEFAULT_BASES
from crossfade.meta.contextual import contextual_signals
from crossfade.meta.track import TrackRecord
from crossfade.progress import reporting_to
from crossfade.types import Ints

ROOT = Path(__file__).parents[1]
SEED = 0
N_BASES, N_CANDIDATES = 7, 1_000
MODELS = (
    "static",
    "rrf",
    "ridge",
    "fwls",
    "lambdamart",
    "meta",
    "hypernetwork",
    "attention",
    "maml",
)
ROUNDS = 200
SCORING_BAR_MS, TRAINING_BAR_S = 3.0, 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description="What fusion costs.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "fusion_speed.md")
    asked = parser.parse_args()
    lines = [
        "# Speed of fusion",
        "",
        f"`python -m benchmarks.fusion_speed` on {os.cpu_count()} cores, load average "
        f"{os.getloadavg()[0]:.1f} at the start.",
        "",
    ]
    with reporting_to(reporter()):
        train, held = _lists(asked.data)
        lines += _training(train, held)
        lines += _scoring(train, held)
    asked.to.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


# -- scoring ---------------------------------------------------------------------------


def _seven(
    labelled: LabelledSignals, places: Ints, n_candidates: int | None = None
) -> LabelledSignals:
    """Some requests, with seven of the bases and lists repeated or cut to a length."""
    part = labelled.take(places)
    signals = part.signals
    n = signals.mask.shape[1] if n_candidates is None else n_candidates
    again = np.resize(np.flatnonzero(signals.mask.any(axis=0)), n)
    assert signals.reciprocal_rank is not None
    assert signals.item is not None
    return LabelledSignals(
        replace(
            signals,
            score=signals.score[:, again, :N_BASES],
            mask=signals.mask[:, again],
            reciprocal_rank=signals.reciprocal_rank[:, again, :N_BASES],
            item=signals.item[:, again],
            columns=replace(signals.columns, bases=signals.columns.bases[:N_BASES]),
        ),
        part.item_row[:, again],
        part.relevant[:, again],
        part.n_relevant,
    )


def _scoring(all_lists: LabelledSignals, held: LabelledSignals) -> list[str]:
    train = _seven(all_lists, np.linspace(0, len(all_lists) - 1, 1_000).astype(np.int64))
    longest = np.array([held.signals.mask.sum(axis=1).argmax()])
    asked = _seven(held, longest, N_CANDIDATES)
    held = _seven(held, np.arange(len(held)))
    n_item, n_user = (
        len(names) for names in (train.signals.columns.item, train.signals.columns.user)
    )
    lines = [
        f"## Scoring {N_CANDIDATES:,} candidates × {N_BASES} bases on one core",
        "",
        f"Milliseconds for one request, median of {ROUNDS} rounds; {n_item} columns of candidates and {n_user} "
        f"of requests. Bar: {SCORING_BAR_MS:g} ms.",
        "",
        "| model | ms | 95th percentile | |",
        "| --- | ---: | ---: | --- |",
    ]
    for name in (*MODELS, "auto"):
        model = make_fusion(name).fit(train, held, SEED)
        if isinstance(model, AutoFusion):
            _let_serve(model, train, held)
        for _ in range(5):
            model.forward(asked.signals)
        found = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            model.forward(asked.signals)
            found.append(1000 * (time.perf_counter() - began))
        middle = float(np.median(found))
        verdict = "pass" if middle <= SCORING_BAR_MS else "**fail**"
        label = f"`{name}`"
        if isinstance(model, AutoFusion):
            shares = [f"{part} {share:.2f}" for part, share in model.shares.items() if share]
            label += f" ({', '.join(shares)})"
        lines.append(f"| {label} | {middle:.2f} | {np.quantile(found, 0.95):.2f} | {verdict} |")
    return [*lines, ""]


def _let_serve(model: AutoFusion, train: LabelledSignals, held: LabelledSignals) -> None:
    """What is learned is timed even where it may not serve."""
    model.verdicts = tuple(replace(verdict, serves=True) for verdict in model.verdicts)
    for part, share in model.shares.items():
        if share and part not in model.members:
            settings = model.config.settings.get(part, {})
            model.members[part] = make_fusion(part, settings).fit(train, held, SEED)


# -- training --------------------------------------------------------------------------


def _lists(data: Path) -> list[LabelledSignals]:
    """The fuse block whole, and a sample of the calibrate block."""
    name, config = "movielens-1m", BlendConfig()
    with tempfile.TemporaryDirectory() as folder:
        mapping = load_toml(ImportMapping, ROOT / "configs" / f"{name}.toml")
        directory = Path(folder) / name
        import_table(mapping, directory, root=data / name, now=datetime.now(UTC))
        plan = make_plan(load_dataset(directory), ProtocolConfig(), SEED)
    lists = []
    for trial in (plan.fuse, plan.calibrate):
        part = contextual_signals(
            trial,
            fit_bases(DEFAULT_BASES, trial.train, SEED),
            TrackRecord.empty(trial.train.n_users, len(DEFAULT_BASES)),
            config=config.changed(max_requests=len(trial.queries))
            if trial is plan.fuse
            else config,
            seed=SEED,
        )
        lists.append(without_clock(part))
    return lists


def _training(train: LabelledSignals, held: LabelledSignals) -> list[str]:
    began = time.perf_counter()
    make_fusion("meta").fit(train, held, SEED)
    seconds = time.perf_counter() - began
    shape = train.signals.score.shape
    verdict = "pass" if seconds <= TRAINING_BAR_S else "**fail**"
    return [
        "## Training a gate on the fuse block of MovieLens 1M",
        "",
        f"`meta` with default settings on all {len(train):,} requests with {shape[1]} candidates and "
        f"{shape[2]} bases, {len(held):,} to stop by: {seconds:.0f} s, {verdict} (bar: "
        f"{TRAINING_BAR_S:.0f} s). Making the signals is not counted.",
        "",
    ]


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":
        # One core for scoring: libraries read this when they start.
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.fusion_speed", *sys.argv[1:]])  # noqa: S606
    main()
