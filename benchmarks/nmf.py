"""Weighted NMF against the ALS of the `implicit` library: time and quality in one run.

Both get 64 factors, the same cores, the same data (ratings of 4 and 5 as wanted, a seeded
80/20 split of each person's wanted items) and the same grid of settings, tried on a
validation split inside the training part. Run from the repository's root:

    .venv/bin/python -m benchmarks.nmf [PATH OF ratings.parquet]
"""

import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

from crossfade.arrays import top_k
from crossfade.data import Dataset, Target
from crossfade.evaluation.metrics import locate, ndcg
from crossfade.recommenders.factors import FactorRecommender
from crossfade.recommenders.ials import IALS, IALSConfig
from crossfade.recommenders.nmf import NMF, NMFConfig
from crossfade.types import Csr, Doubles

RATINGS = Path(__file__).parents[1] / "../shared/data/movielens-1m/ratings.parquet"
GRID = tuple(product((2.0, 5.0, 10.0), (20.0, 40.0, 80.0, 160.0)))  # alpha, regularisation
ROUNDS = (5, 8, 10, 12, 15, 18, 21, 25, 30, 40, 60)
SETTLED = 0.99  # within 1 % of a model's own best
REPEATS = 11

Model = type[NMF] | type[IALS]


@dataclass(frozen=True)
class Split:
    """Training data and the wanted items of people who have some held out."""

    train: Dataset
    people: np.ndarray
    relevant: Csr


def split(dataset: Dataset, share: float, rng: np.random.Generator) -> Split:
    """Hold out a share of each person's events at random."""
    order = pl.Series("order", rng.permutation(dataset.n_events))
    place = dataset.events.select("user_row", order).select(
        (pl.col("order").rank("ordinal").over("user_row") - 1) / pl.len().over("user_row")
    )
    train, test = (
        dataset.where(place.to_series() < 1 - share),
        dataset.where(place.to_series() >= 1 - share),
    )
    wanted = Csr((test.interactions() > 0).astype(np.float32))
    people = np.flatnonzero(np.diff(wanted.indptr)).astype(np.int32)
    return Split(train, people, Csr(wanted[people]))


def quality(
    model: FactorRecommender[NMFConfig] | FactorRecommender[IALSConfig], data: Split
) -> Doubles:
    """NDCG@10 of every person over the whole catalogue, items of the training part left out."""
    found = []
    for place, queries in data.train.queries(data.people).batches(1_000):
        scores = model.score_batch(queries).copy()
        scores[queries.seen.toarray() > 0] = np.nan
        relevant = Csr(data.relevant[place])
        hits, _ = locate(top_k(scores, 10), relevant)
        found.append(ndcg(hits, np.diff(relevant.indptr).astype(np.int64)))
    return np.concatenate(found)


def fresh(kind: Model, alpha: float, regularisation: float, rounds: int) -> NMF | IALS:
    """An unfitted model that runs exactly ``rounds`` rounds."""
    values = {"factors": 64, "alpha": alpha, "regularisation": regularisation, "counting": "once"}
    if kind is NMF:
        return NMF(NMFConfig.model_validate({**values, "max_iterations": rounds, "tolerance": 0}))
    return IALS(IALSConfig.model_validate({**values, "iterations": rounds}))


def tuned(kind: Model, data: Split) -> tuple[float, float, int]:
    """Best alpha and regularisation at 15 rounds, then the first rounds within 1 % of the best."""
    means = {
        (alpha, l2): quality(fresh(kind, alpha, l2, 15).fit(data.train), data).mean()
        for alpha, l2 in GRID
    }
    alpha, l2 = max(means, key=means.__getitem__)
    curve = {
        rounds: quality(fresh(kind, alpha, l2, rounds).fit(data.train), data).mean()
        for rounds in ROUNDS
    }
    best = max(curve.values())
    rounds = next(rounds for rounds, mean in curve.items() if mean >= SETTLED * best)
    print(f"  {kind.name}: " + ", ".join(f"{r}: {mean:.4f}" for r, mean in curve.items()))
    return alpha, l2, rounds


def interval(values: Doubles, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile bootstrap of the mean over people."""
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(1_000)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def main(path: Path) -> None:
    rng = np.random.default_rng(0)
    ratings = pl.read_parquet(path).select(
        pl.col("user_id").cast(pl.String),
        pl.col("item_id").cast(pl.String),
        value=pl.col("rating"),
    )
    target = Target(name="rates 4 or more", min_value=4)
    everything = Dataset.build(ratings, name="movielens-1m", target=target)
    wanted = everything.where(everything.events["strength"] > 0)
    whole = split(wanted, 0.2, rng)
    inner = split(whole.train, 0.2, rng)
    print(
        f"{len(whole.people):,} people, {whole.train.n_items:,} items, {whole.train.n_events:,} events"
    )

    print("validation NDCG@10 by rounds, at the best of the grid:")
    chosen = {kind: tuned(kind, inner) for kind in (NMF, IALS)}
    seconds: dict[Model, list[float]] = {NMF: [], IALS: []}
    for _ in range(REPEATS):  # taken in turns, so that both meet the same busy machine
        for kind, settings in chosen.items():
            begin = time.perf_counter()
            model = fresh(kind, *settings).fit(whole.train)
            seconds[kind].append(time.perf_counter() - begin)
            del model

    print("\n| model | alpha | regularisation | rounds | fit, s (median) | NDCG@10 | 95 % | n |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    means, times = {}, {}
    for kind, (alpha, l2, rounds) in chosen.items():
        values = quality(fresh(kind, alpha, l2, rounds).fit(whole.train), whole)
        low, high = interval(values, rng)
        means[kind], times[kind] = values.mean(), float(np.median(seconds[kind]))
        print(
            f"| {kind.name} | {alpha:g} | {l2:g} | {rounds} | {times[kind]:.2f} | {means[kind]:.4f} "
            f"| {low:.4f} – {high:.4f} | {len(values):,} |"
        )
    longest = quality(fresh(NMF, *chosen[NMF][:2], ROUNDS[-1]).fit(whole.train), whole).mean()
    alpha, l2, _ = chosen[NMF]
    default = NMF(NMFConfig(alpha=alpha, regularisation=l2, counting="once"))
    begin = time.perf_counter()
    default.fit(whole.train)
    elapsed = time.perf_counter() - begin
    stopped = quality(default, whole).mean()
    print(f"\nfit time, nmf / ials: {times[NMF] / times[IALS]:.2f} (bar: at most 1.25)")
    print(f"NDCG@10, nmf / ials: {means[NMF] / means[IALS]:.3f} (bar: at least 0.95)")
    print(f"NDCG@10 of nmf / its own after {ROUNDS[-1]} rounds: {means[NMF] / longest:.3f}")
    print(
        f"nmf with its own stopping rule: {len(default.objective_history)} rounds, {elapsed:.2f} s, "
        f"NDCG@10 {stopped:.4f}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RATINGS)
