"""How somebody else's scores and their blends did on people held out, and the fused lists of all."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.files import write_parquet
from crossfade.fusion.base import Fused, Signals
from crossfade.fusion.static import StaticBlend
from crossfade.meta.outside import OutsideLists
from crossfade.meta.outside_checks import KEYS
from crossfade.meta.outside_fusing import OutsideBlend, alone, batches, ndcg
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Ints


@dataclass(frozen=True)
class Estimate:
    """A mean over people.

    Attributes:
        name: Of a base or fusion model.
        kind: Which of these.
        mean: NaN without anybody.
        low: Lower end of the interval; NaN with fewer than two people.
        high: Upper end.
        n: People.
    """

    name: str
    kind: Literal["base", "fusion"]
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class OutsideReport:
    """What the held-out people say.

    Attributes:
        models: NDCG of every base and every fusion model, best first.
        gains: Difference of each fusion model to ``best_base``, paired by person.
        best_base: Chosen on the training requests.
    """

    models: tuple[Estimate, ...]
    gains: tuple[Estimate, ...]
    best_base: str

    def of(self, name: str) -> Estimate:
        """The estimate of one model."""
        return next(model for model in self.models if model.name == name)


def judge_outside(
    lists: OutsideLists, blend: OutsideBlend, depth: int, config: EvaluationConfig, seed: int = 0
) -> OutsideReport:
    """NDCG on the held-out people, each person counting once, with bootstrap intervals.

    Args:
        lists: The requests.
        blend: What was learned.
        depth: Of NDCG.
        config: Level and resamples of the intervals.
        seed: The run's one seed.
    """
    asked = blend.split.test
    bases = {name: alone(lists, s) for s, name in enumerate(lists.bases)}
    models = {**bases, **blend.models}
    with task("judge on the people held out", len(asked)) as running:
        found = [np.zeros((0, len(models)))]
        for part in batches(lists, asked):
            labelled = lists.labelled(part)
            found.append(np.column_stack([ndcg(m, labelled, depth) for m in models.values()]))
            running.advance(len(part))
    people, unit = np.unique(lists.user_row[asked], return_inverse=True)
    values = unit_means(np.concatenate(found), unit.astype(np.int64), len(people))
    best = list(models).index(blend.best_base)
    names = list(models)
    gains = values[:, len(bases) :] - values[:, [best]]
    estimates = _estimates(values, names, set(bases), config, seed)
    return OutsideReport(
        models=tuple(sorted(estimates, key=lambda one: -np.nan_to_num(one.mean))),
        gains=tuple(_estimates(gains, names[len(bases) :], set(), config, seed)),
        best_base=blend.best_base,
    )


def _estimates(
    values: Doubles, names: list[str], bases: set[str], config: EvaluationConfig, seed: int
) -> list[Estimate]:
    rng = generator(seed, "outside.bootstrap")
    found = bootstrap(values, rng, resamples=config.resamples, level=config.level)
    numbers = zip(found.mean, found.low, found.high, found.n, strict=True)
    return [
        Estimate(
            name,
            "base" if name in bases else "fusion",
            float(mean),
            float(low),
            float(high),
            int(n),
        )
        for name, (mean, low, high, n) in zip(names, numbers, strict=True)
    ]


def fused_lists(lists: OutsideLists, blend: OutsideBlend) -> pl.DataFrame:
    """Everybody's candidates in their new order.

    A request that the blend cannot answer, because only bases without a weight score it, gets
    the plain mean of those that do.

    Returns:
        ``user_id``, ``request_id`` and ``timestamp`` where given, ``item_id``, ``score``,
        ``rank`` (1 for the best), and ``weight_<base>``: null where a base has no score or the
        model weighs no bases. Candidates without a score are left out.
    """
    pieces = []
    with task("fuse", len(lists)) as running:
        for asked in batches(lists, np.arange(len(lists))):
            pieces.append(_piece(lists, blend, asked))
            running.advance(len(asked))
    table = pl.concat(pieces)
    for name in ("timestamp", "request_id"):
        if lists.requests[name].null_count() == len(lists):
            table = table.drop(name)
    return table


def _piece(lists: OutsideLists, blend: OutsideBlend, asked: Ints) -> pl.DataFrame:
    labelled = lists.labelled(asked)
    fused = _answer(blend, labelled.signals)
    request, column = np.nonzero(~np.isnan(fused.score) & labelled.signals.mask)
    # Best first; equal scores by item row, which is the order of the columns.
    order = np.lexsort((column, -fused.score[request, column], request))
    request, column = request[order], column[order]
    score, weights = fused.score[request, column], fused.weights[request, column]
    item_row = labelled.item_row[request, column]
    start = np.searchsorted(request, request, side="left")
    there = lists.requests[asked[request]]
    return there.select(
        "user_id",
        "timestamp",
        "request_id",
        item_id=pl.Series(lists.dataset.item_ids.decode(item_row), dtype=pl.String),
        score=pl.Series(score),
        rank=pl.Series(np.arange(len(request)) - start + 1, dtype=pl.Int32),
        **{
            f"weight_{base}": pl.Series(weights[:, s]).fill_nan(None)
            for s, base in enumerate(lists.bases)
        },
    )


def _answer(blend: OutsideBlend, signals: Signals) -> Fused:
    fused = blend.server.forward(signals)
    silent: Bools = np.asarray(np.isnan(fused.score).all(axis=1))
    silent &= signals.available.any(axis=(1, 2))
    if not silent.any():
        return fused
    n_bases = signals.score.shape[2]
    mean = StaticBlend(np.full(n_bases, 1 / n_bases, dtype=np.float32)).forward(signals)
    return Fused(
        np.where(silent[:, None], mean.score, fused.score),
        np.where(silent[:, None, None], mean.weights, fused.weights),
    )


def mean_weights(fused: pl.DataFrame, bases: tuple[str, ...]) -> dict[str, float | None]:
    """Mean weight of each base over all rows that have one; None where no row has."""
    found = fused.select(pl.col(f"weight_{base}").fill_nan(None).mean() for base in bases).row(0)
    return dict(zip(bases, found, strict=True))


def n_answered(fused: pl.DataFrame) -> int:
    """Requests that got a list."""
    keys = [name for name in KEYS if name in fused.columns]
    return fused.select(keys).unique().height


def write_lists(fused: pl.DataFrame, out: Path) -> None:
    """Write the fused lists so that readers see the old file or the whole new one.

    Raises:
        OSError: If the disk refuses; what was there before is unchanged.
    """
    pending = out.with_name(f".{out.name}-{uuid.uuid4().hex[:16]}")
    try:
        write_parquet(fused, pending)
        pending.replace(out)
    finally:
        pending.unlink(missing_ok=True)
