"""What a system lists for some requests before anything is ranked: candidates with a score.

One way for a single request and for all users at once. Shapes: B requests, L candidates.
"""

from dataclasses import dataclass

import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.meta.blending import Blend
from crossfade.meta.probability import Probability
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

POOL = 500
"""Candidates of a request that no learned model answers: the best of the whole catalogue."""


@dataclass(frozen=True, eq=False)
class Listed:
    """Candidates and what is known of them.

    Attributes:
        item_row: ``(B, L)``; -1 at the end of shorter lists.
        score: Blended, ``(B, L)``; NaN where there is none.
        probability: That the person wants it, ``(B, L)``; NaN where no calibrated model spoke.
        uncertainty: How unsure the score is, ``(B, L)``; NaN where nothing is said of that.
        by_model: Whether the learned model answered, ``(B,)``.
    """

    item_row: Rows
    score: Floats
    probability: Doubles
    uncertainty: Floats
    by_model: Bools

    def __len__(self) -> int:
        return len(self.item_row)

    def take(self, places: Ints) -> "Listed":
        """Some of the requests, in the given order."""
        return Listed(**{name: array[places] for name, array in vars(self).items()})


def list_candidates(blend: Blend, queries: Queries, probability: Probability | None) -> Listed:
    """Candidates of some requests.

    Where the learned model answers, they are its lists; elsewhere the best `POOL` by the static
    weights, the prior, and stated tastes.

    Args:
        blend: What answers.
        queries: B requests.
        probability: Of the learned model's scores; None where it is not calibrated.
    """
    asked = np.flatnonzero(blend.by_model(queries))
    parts: list[tuple[Ints, Listed]] = []
    if len(asked):
        # The very same request is asked again for reasons: it must stay the same object.
        batch = queries if len(asked) == len(queries) else queries.take(asked)
        told = _by_model(blend, batch, probability)
        spoken = np.flatnonzero(told.by_model)
        parts.append((asked[spoken], told.take(spoken)))
    answered = np.concatenate([np.zeros(0, np.int64), *(places for places, _ in parts)])
    rest = np.setdiff1d(np.arange(len(queries)), answered)
    if len(rest):
        parts.append((rest, _plain(blend, queries.take(rest), ~np.isin(rest, asked))))
    return _joined(parts, len(queries))


def _by_model(blend: Blend, queries: Queries, probability: Probability | None) -> Listed:
    assert blend.learned is not None
    signals, item_row, fused = blend.learned.fused(queries)
    score, doubt = fused.score, fused.uncertainty
    nothing = np.full_like(score, np.nan)
    chance = None if probability is None else probability.predict(score, signals)
    return Listed(
        item_row,
        score,
        nothing.astype(np.float64) if chance is None else chance,
        nothing if doubt is None else doubt,
        np.asarray(~np.isnan(score).all(axis=1)),
    )


def _plain(blend: Blend, queries: Queries, static: Bools) -> Listed:
    score = blend.plain(queries, static)
    item_row = top_k(score, min(POOL, queries.n_items))
    best = np.take_along_axis(score, np.maximum(item_row, 0), axis=1)
    best[item_row < 0] = np.nan
    nothing = np.full_like(best, np.nan)
    nobody = np.zeros(len(queries), dtype=np.bool_)
    return Listed(item_row, best, nothing.astype(np.float64), nothing, nobody)


def _joined(parts: list[tuple[Ints, Listed]], n_requests: int) -> Listed:
    """Lists of different requests as one batch, as wide as the widest."""
    shape = (n_requests, max((part.item_row.shape[1] for _, part in parts), default=0))
    whole = Listed(
        np.full(shape, -1, dtype=np.int32),
        np.full(shape, np.nan, dtype=np.float32),
        np.full(shape, np.nan),
        np.full(shape, np.nan, dtype=np.float32),
        np.zeros(n_requests, dtype=np.bool_),
    )
    for places, part in parts:
        where = (places[:, None], np.arange(part.item_row.shape[1]))
        for name in ("item_row", "score", "probability", "uncertainty"):
            getattr(whole, name)[where] = getattr(part, name)
        whole.by_model[places] = part.by_model
    return whole
