"""What a system lists for some requests before anything is ranked: candidates with a score.

One way for a single request and for all users at once. Shapes: B requests, L candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.fusion.base import Fused, Signals
from crossfade.fusion.tilting import one_scale, tilt_of
from crossfade.meta.blending import Blend
from crossfade.meta.probability import Probability
from crossfade.types import Bools, Doubles, Floats, Ints, Rows

POOL = 500
"""Candidates of a request that no learned model answers: the best of the whole catalogue."""


PARTS = ("item_row", "score", "probability", "uncertainty", "weights", "tilted", "untilted")
"""Of `Listed`, those with a value for each candidate."""

Tilts = Sequence[Doubles | None]
"""Of some requests, ``(S,)`` each; see `fusion.tilting`. None is nobody's."""


@dataclass(frozen=True, eq=False)
class Listed:
    """Candidates and what is known of them.

    Attributes:
        item_row: ``(B, L)``; -1 at the end of shorter lists.
        score: Blended, ``(B, L)``; NaN where there is none.
        probability: That the person wants it, ``(B, L)``; NaN where no calibrated model spoke.
        uncertainty: How unsure the score is, ``(B, L)``; NaN where nothing is said of that.
        by_model: Whether the learned model answered, ``(B,)``.
        weights: Of the bases in each score, ``(B, L, S)``; NaN where the learned model did not
            answer, or weighs none. None where it answered nobody.
        told: What the learned model was given and said; None unless it answered every request.
        tilted: What people's own tilts added to each score by base, ``(B, L, S)``; it is in ``score``,
            and neither in ``weights`` nor in ``told``. None where nobody has one.
        untilted: ``score`` without it, ``(B, L)``; None likewise.
    """

    item_row: Rows
    score: Floats
    probability: Doubles
    uncertainty: Floats
    by_model: Bools
    weights: Floats | None = None
    told: tuple[Signals, Fused] | None = None
    tilted: Doubles | None = None
    untilted: Floats | None = None

    def __len__(self) -> int:
        return len(self.item_row)

    def take(self, places: Ints) -> "Listed":
        """Some of the requests, in the given order."""
        return Listed(
            self.item_row[places],
            self.score[places],
            self.probability[places],
            self.uncertainty[places],
            self.by_model[places],
            None if self.weights is None else self.weights[places],
            tilted=None if self.tilted is None else self.tilted[places],
            untilted=None if self.untilted is None else self.untilted[places],
        )


def list_candidates(
    blend: Blend,
    queries: Queries,
    probability: Probability | None,
    only: Bools | None = None,
    least: int = 0,
    *,
    also: Rows | None = None,
    apart: bool = False,
    tilts: Tilts | None = None,
) -> Listed:
    """Candidates of some requests.

    Where the learned model answers, they are its lists; elsewhere the best `POOL` by the static
    weights, the prior, and stated tastes.

    Args:
        blend: What answers.
        queries: B requests.
        probability: Of the learned model's scores; None where it is not calibrated.
        only: Items that may be listed, ``(n_items,)``; None means all.
        least: Candidates that each list has at least, where there are so many.
        also: Instead of ``only`` and ``least``: items that are candidates of the only request
            whoever proposes them, with a score or without.
        apart: Whether who else asks must not change the last digit of a score. A learned model that
            does not keep requests apart then looks at one list at a time.
        tilts: Of each request, which the learned model's scores get; then likewise.
    """
    asked = np.flatnonzero(blend.by_model(queries))
    parts: list[tuple[Ints, Listed]] = []
    if len(asked):
        # A request that is asked again, for shares or reasons, must stay the very same object.
        batch = queries if len(asked) == len(queries) else queries.take(asked)
        own = None if tilts is None else [tilts[at] for at in asked.tolist()]
        told = _by_model(blend, batch, probability, only, least, also=also, apart=apart, tilts=own)
        if told.by_model.all() and len(asked) == len(queries):
            return told
        spoken = np.flatnonzero(told.by_model)
        parts.append((asked[spoken], told.take(spoken)))
    answered = np.concatenate([np.zeros(0, np.int64), *(places for places, _ in parts)])
    rest = np.setdiff1d(np.arange(len(queries)), answered)
    if len(rest):
        static = ~np.isin(rest, asked)
        batch = queries if len(rest) == len(queries) else queries.take(rest)
        parts.append((rest, _plain(blend, batch, static, only, least, also=also)))
    return _joined(parts, len(queries))


def _by_model(
    blend: Blend,
    queries: Queries,
    probability: Probability | None,
    only: Bools | None,
    least: int,
    *,
    also: Rows | None,
    apart: bool,
    tilts: Tilts | None,
) -> Listed:
    assert blend.learned is not None
    learned, n = blend.learned, len(queries)
    together = learned.fusion.keeps_apart or not (apart or tilts)
    if n == 1 or together:
        return _told(*learned.fused(queries, only, least, also), probability, tilts)
    signals, item_row = learned.lists.build(queries, only=only, least=least)
    parts: list[tuple[Ints, Listed]] = []
    for at in range(n):
        rows = item_row[[at], : (item_row[at] >= 0).sum()]
        one = _one(signals, item_row, at)
        tilt = None if tilts is None else [tilts[at]]
        told = _told(one, rows, learned.fusion.forward(one), probability, tilt)
        parts.append((np.array([at]), told))
    return _joined(parts, n)


def _one(signals: Signals, item_row: Rows, at: int) -> Signals:
    """A single request, its list as long as it is."""
    size = (item_row[at] >= 0).sum()
    return signals.take(np.array([at])).lists(np.arange(size)[None, :])


def _told(
    signals: Signals,
    item_row: Rows,
    fused: Fused,
    probability: Probability | None,
    tilts: Tilts | None = None,
) -> Listed:
    """What the learned model says of candidates, tilted for whom has a tilt."""
    score, doubt = fused.score, fused.uncertainty
    nothing = np.full_like(score, np.nan)
    # Of the blend's own score, which is what the calibrator has seen.
    chance = None if probability is None else probability.predict(score, signals)
    tilted = _tilted(signals, item_row, score, tilts or ())
    if tilted is not None:
        score = (score + tilted.sum(axis=-1)).astype(np.float32)
    return Listed(
        item_row,
        score,
        nothing.astype(np.float64) if chance is None else chance,
        nothing if doubt is None else doubt,
        np.asarray(~np.isnan(score).all(axis=1)),
        fused.weights,
        (signals, fused),
        tilted,
        None if tilted is None else fused.score,
    )


def _tilted(signals: Signals, item_row: Rows, score: Floats, tilts: Tilts) -> Doubles | None:
    """What tilts add, ``(B, L, S)``; None where nobody has one."""
    if all(tilt is None for tilt in tilts):
        return None
    added = np.zeros(signals.score.shape)
    for at, tilt in enumerate(tilts):
        if tilt is not None:
            one = _one(signals, item_row, at)
            size = one.mask.shape[1]
            added[at, :size] = tilt_of(one_scale(one, score[[at], :size]), tilt)
    return added


def _plain(
    blend: Blend,
    queries: Queries,
    static: Bools,
    only: Bools | None,
    least: int,
    *,
    also: Rows | None,
) -> Listed:
    score = blend.plain(queries, static)
    if only is not None:
        score[:, ~only] = np.nan
    item_row = top_k(score, min(max(POOL, least), queries.n_items))
    if also is not None:
        more = np.setdiff1d(also, item_row).astype(item_row.dtype)
        item_row = np.concatenate([item_row, more[None, :]], axis=1)
    best = np.take_along_axis(score, np.maximum(item_row, 0), axis=1)
    best[item_row < 0] = np.nan
    nothing = np.full_like(best, np.nan)
    nobody = np.zeros(len(queries), dtype=np.bool_)
    return Listed(item_row, best, nothing.astype(np.float64), nothing, nobody)


def _joined(parts: list[tuple[Ints, Listed]], n_requests: int) -> Listed:
    """Lists of different requests as one batch, as wide as the widest."""
    width = max((part.item_row.shape[1] for _, part in parts), default=0)
    weights = [part.weights for _, part in parts if part.weights is not None]
    tilted = [part.tilted for _, part in parts if part.tilted is not None]

    def empty(fill: float, kind: Any, *more: int) -> Any:
        return np.full((n_requests, width, *more), fill, dtype=kind)

    whole = Listed(
        empty(-1, np.int32),
        empty(np.nan, np.float32),
        empty(np.nan, np.float64),
        empty(np.nan, np.float32),
        np.zeros(n_requests, dtype=np.bool_),
        empty(np.nan, np.float32, weights[0].shape[2]) if weights else None,
        tilted=empty(0.0, np.float64, tilted[0].shape[2]) if tilted else None,
        untilted=empty(np.nan, np.float32) if tilted else None,
    )
    for places, part in parts:
        where = (places[:, None], np.arange(part.item_row.shape[1]))
        for name in PARTS:
            if getattr(part, name) is not None:
                getattr(whole, name)[where] = getattr(part, name)
        whole.by_model[places] = part.by_model
    return whole
