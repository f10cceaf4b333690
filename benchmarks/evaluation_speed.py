"""Time of evaluating seven fitted recommenders on movielens-1m.

    python -m benchmarks.evaluation_speed [--data ../shared/data] [--threads 2]

Fits every registered recommender (and popularity a second time, to make seven) on the
per-user split, then measures what an evaluation costs: scoring the whole catalogue for
every user, metrics, bootstrap, slices, comparisons, and writing JSON, Parquet and the HTML
report. Fitting is not counted. Bar: 60 s on two cores. Writes
``benchmarks/evaluation_speed.md``.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from crossfade.config import load_toml
from crossfade.data import Dataset, Queries, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.evaluation import Evaluation, Named, Scorer, evaluate, save, table_rows
from crossfade.recommenders.registry import RECOMMENDERS, make
from crossfade.types import Floats

ROOT = Path(__file__).parent.parent
BAR_SECONDS = 60.0
N_MODELS = 7
T = TypeVar("T")


class Timed:
    """A scorer that adds up the seconds spent in it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer, self.name, self.seconds = scorer, scorer.name, 0.0

    def score_batch(self, queries: Queries) -> Floats:
        """What the scorer inside says, and how long it took."""
        start = time.perf_counter()
        scores = self.scorer.score_batch(queries)
        self.seconds += time.perf_counter() - start
        return scores


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def read(source: Path) -> Dataset:
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{source.name}.toml")
    with tempfile.TemporaryDirectory() as folder:
        import_table(mapping, Path(folder) / "data", root=source, now=datetime.now(UTC))
        return load_dataset(Path(folder) / "data")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of evaluating seven recommenders.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "evaluation_speed.md")
    wanted = parser.parse_args()
    dataset = read(wanted.data / "movielens-1m")
    plan = make_plan(dataset, ProtocolConfig(name="user"))
    (test,) = plan.tests
    with threadpool_limits(limits=wanted.threads):
        models: list[Timed] = []
        for name in RECOMMENDERS:
            model, seconds = timed(lambda name=name: make(name).fit(test.train))  # type: ignore[misc]
            print(f"fitted {name} in {seconds:.1f} s", flush=True)
            models.append(Timed(model))
        n_more = max(N_MODELS - len(models), 0)
        models += [Timed(Named(f"{one.name}-again", one.scorer)) for one in models[1 : 1 + n_more]]
        # The first call compiles or loads kernels and imports the plotting library.
        few = np.arange(20)
        warm = replace(test, queries=test.queries.take(few), relevant=test.relevant[few])
        with tempfile.TemporaryDirectory() as folder:
            _, cold = timed(lambda: save(evaluate([warm], [models], plan=plan), Path(folder)))
            for one in models:
                one.seconds = 0.0
            evaluation, judged = timed(lambda: evaluate([test], [models], plan=plan))
            _, saved = timed(lambda: save(evaluation, Path(folder)))
    text = page(evaluation, models, judged, saved, cold)
    wanted.to.write_text(text, encoding="utf-8")
    print(text)


def page(
    evaluation: Evaluation, models: list[Timed], judged: float, saved: float, cold: float
) -> str:
    scoring = sum(one.seconds for one in models)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    total = judged + saved
    header, *rows = table_rows(evaluation)
    seconds = {one.name: one.seconds for one in models}
    lines = [
        "# Speed of an evaluation",
        "",
        "Made by `python -m benchmarks.evaluation_speed`: movielens-1m, per-user split, fitted models, "
        f"two cores. {evaluation.n_users:,} users, {evaluation.about.n_items:,} items, "
        f"{len(models)} recommenders.",
        "",
        "| part | seconds |",
        "| --- | ---: |",
        f"| scoring the whole catalogue | {scoring:.1f} |",
        f"| lists, metrics, bootstrap, slices, comparisons | {judged - scoring:.1f} |",
        f"| JSON, Parquet, HTML report | {saved:.1f} |",
        f"| **together** (bar: {BAR_SECONDS:.0f}) | **{total:.1f}** |",
        f"| first evaluation in a process, 20 users (kernels, imports) | {cold:.1f} |",
        "",
        f"Peak memory of the process, with fitting: {peak_mb:,.0f} MB.",
        "",
        f"| {' | '.join(header)} | seconds scoring |",
        f"| --- |{' ---: |' * len(header)}",
        *(f"| {' | '.join(row)} | {seconds[row[0]]:.1f} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
