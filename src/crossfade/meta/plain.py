"""What is said without a learned model: static weights, a prior where they are silent, stated tastes."""

from collections.abc import Mapping
from typing import NamedTuple

import numba
import numpy as np

from crossfade.data import Queries
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import Signals
from crossfade.fusion.contributions import ByBase, Contributions, account
from crossfade.fusion.scaling import Scaling, scale
from crossfade.fusion.static import StaticBlend
from crossfade.meta.last import Last
from crossfade.meta.signals import allowed_scores
from crossfade.types import Bools, Doubles, Floats, Rows

TASTE_EVENTS = 9.0
"""Positive events in a history at which a stated taste has about half the say in a list."""


class PlainAccount(NamedTuple):
    """What each base brought to some scores of one request.

    Attributes:
        labels: Of the bases that had a say.
        given: The account of the scores, a column for each of them.
        average: Mean score of the catalogue; NaN where nothing has one.
    """

    labels: tuple[str, ...]
    given: Contributions
    average: float


class PlainBlend:
    """Fitted bases under the same weights for everybody.

    What bases say of a single request is kept for who asks again: a list is asked for scores,
    for shares, and for reasons.

    Args:
        bases: By label.
        weights: By label; bases with 0 are never asked for it.
        scaling: Common scale of the scores.
        exclude_seen: Whether items in a history may not be listed.
        candidates: Items that may be listed, shape ``(n_items,)``; None means all.
        prior: Label of the base that answers whom no weighted base can; None leaves them without.
        taste: Label of the base that answers for stated genres and moods; None lets those go unheard.
    """

    def __init__(
        self,
        bases: Mapping[str, Scorer],
        weights: Mapping[str, float],
        scaling: Scaling,
        *,
        exclude_seen: bool,
        candidates: Bools | None,
        prior: str | None,
        taste: str | None,
    ) -> None:
        self.used = [label for label in bases if weights[label] > 0]
        self.prior, self.taste = prior, taste
        self._bases, self._scaling = bases, scaling
        self._exclude_seen, self._candidates = exclude_seen, candidates
        self._fusion = StaticBlend(np.array([weights[label] for label in self.used]))
        self._last: Last[dict[str, Floats]] = Last()

    def score_batch(self, queries: Queries, static: Bools) -> Floats:
        """Scores of the whole catalogue, shape ``(n, n_items)``; NaN where nobody can score.

        Args:
            queries: n requests.
            static: Which of them the weights answer, ``(n,)``; the others are left to the prior.
        """
        score = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
        if static.any():
            score[static] = self._fusion.blend(self._weighed(_those(queries, static)))
        silent = np.asarray(np.isnan(score).all(axis=1))
        if self.prior is not None and silent.any():
            score[silent] = self._said(self.prior, _those(queries, silent))
        share = self.taste_share(queries)
        asked: Bools = share > 0
        if self.taste is not None and asked.any():
            stated = self._said(self.taste, _those(queries, asked))
            score[asked] = _mixed(score[asked], stated, share[asked, None])
        return score

    def taste_share(self, queries: Queries) -> Floats:
        """Share of the stated taste in each request, shape ``(n,)``; 0 where nothing is stated.

        Never all of it: popularity decides between items that fit a taste equally well.
        """
        if self.taste is None or queries.tastes is None:
            return np.zeros(len(queries), dtype=np.float32)
        n_events = np.bincount(queries.owner[queries.strength > 0], minlength=len(queries))
        share = TASTE_EVENTS / (TASTE_EVENTS + 1 + n_events)
        states = np.array([bool(taste) for taste in queries.tastes], dtype=np.bool_)
        return np.where(states, share, 0).astype(np.float32)

    def shares(self, query: Queries, item_rows: Rows, *, static: bool) -> list[dict[str, float]]:
        """Share of each base in some scores of one request, by label; empty without a score.

        Args:
            query: One request.
            item_rows: Which items, shape ``(L,)``.
            static: See `score_batch`.
        """
        scaled = self._weighed(query)[:, :, item_rows] if static else None
        if scaled is None or self._silent(query):
            alone = {} if self.prior is None else {self.prior: 1.0}
            shares = [dict(alone) for _ in item_rows]
        else:
            score = np.moveaxis(scaled, 0, -1)  # (1, L, S)
            mask = np.ones(score.shape[:2], np.bool_)
            weights = self._fusion.forward(Signals(score, mask)).weights[0]
            shares = [
                {label: float(w) for label, w in zip(self.used, line, strict=True) if w > 0}
                for line in weights
            ]
        of_taste = float(self.taste_share(query)[0])
        if self.taste is None or of_taste == 0:
            return shares
        heard = ~np.isnan(self._said(self.taste, query)[0, item_rows])
        return [
            _with_taste(line, self.taste, of_taste) if has else line
            for line, has in zip(shares, heard, strict=True)
        ]

    def contributions(
        self, query: Queries, item_rows: Rows, score: Floats, *, static: bool
    ) -> PlainAccount:
        """What each base brought to the scores of some items for one request.

        The list whose average item contributions are centred on is the whole catalogue: every
        item that has a score was a candidate. A reciprocal rank is above 0 for the last item too,
        so without that every base would seem to speak for everything.

        Args:
            query: One request.
            item_rows: Which items, shape ``(L,)``.
            score: What `score_batch` said of them, ``(L,)``: it is what gets explained.
            static: See `score_batch`.
        """
        labels, weights = list(self.used), self._fusion.weights.astype(np.float64)
        if not static or self._silent(query):
            labels = [] if self.prior is None else [self.prior]
            weights = np.ones(len(labels))
        said = [self._said(label, query)[0] for label in labels]
        share = float(self.taste_share(query)[0])
        stated = np.full(query.n_items, np.nan, dtype=np.float32)
        if self.taste is not None and share > 0:
            stated = self._said(self.taste, query)[0]
            labels += [self.taste] if self.taste not in labels else []
        taste = labels.index(self.taste) if self.taste in labels else 0
        terms = np.full((len(item_rows), len(labels)), np.nan)
        mean = np.zeros(len(labels))
        whole = np.stack(said) if said else np.zeros((0, query.n_items), dtype=np.float32)
        average = _account(whole, weights, stated, share, taste, item_rows, terms, mean)
        given = account(score, ~np.isnan(terms), ByBase(terms, terms - mean))
        return PlainAccount(tuple(labels), given, average)

    def _silent(self, query: Queries) -> bool:
        """Whether no weighted base can score anything for one request."""
        return all(np.isnan(self._said(label, query)).all() for label in self.used)

    def _weighed(self, queries: Queries) -> Floats:
        """Scaled scores of the weighted bases, shape ``(len(used), n, n_items)``."""
        return np.stack([self._said(label, queries) for label in self.used])

    def _said(self, label: str, queries: Queries) -> Floats:
        """Scaled scores of one base, shape ``(n, n_items)``."""
        kept = self._last(queries, lambda _: {}) if len(queries) == 1 else {}
        if label not in kept:
            # Before scaling, as in tuning: what may not be listed has no say in the scale.
            allowed = allowed_scores(
                self._bases[label], queries, self._exclude_seen, self._candidates
            )
            kept[label] = scale(allowed, self._scaling)
        return kept[label]


@numba.njit(cache=True, nogil=True)
def _account(  # noqa: PLR0917  (kernels know no keywords)
    said: Floats,
    weights: Doubles,
    stated: Floats,
    share: float,
    taste: int,
    rows: Rows,
    terms: Doubles,
    mean: Doubles,
) -> float:
    """Terms of the scores of some items, ``(L, T)``, and their means over the catalogue, ``(T,)``.

    Gives back the mean score of the catalogue; NaN where nothing has one.

    In one pass and in place: arrays as wide as the catalogue for every term would cost more than
    all else that explaining a list takes.
    """
    one, count = np.empty(terms.shape[1]), np.zeros(terms.shape[1])
    total, n_scored = 0.0, 0
    for column in range(len(stated)):
        _terms(said[:, column], weights, stated[column], share, taste, one)
        scored = False
        for at in range(len(one)):
            if not np.isnan(one[at]):
                scored = True
                count[at] += 1
                mean[at] += one[at]
                total += one[at]
        n_scored += scored
    for at in range(len(one)):
        mean[at] /= max(count[at], 1.0)
    for at in range(len(rows)):
        _terms(said[:, rows[at]], weights, stated[rows[at]], share, taste, terms[at])
    return total / n_scored if n_scored else np.nan


@numba.njit(cache=True, nogil=True)
def _terms(  # noqa: PLR0917
    said: Floats, weights: Doubles, stated: float, share: float, taste: int, out: Doubles
) -> None:
    """What each base brought to one score, ``(T,)``; NaN where it had no say; see `_mixed`."""
    total = 0.0
    for at in range(len(weights)):
        total += 0.0 if np.isnan(said[at]) else weights[at]
    out[:] = np.nan
    for at in range(len(weights)):
        out[at] = weights[at] * said[at] / total if total > 0 else np.nan
    if share > 0 and not np.isnan(stated):
        for at in range(len(out)):
            out[at] *= 1 - share
        lift = (share if total > 0 else 1.0) * stated
        out[taste] = lift if np.isnan(out[taste]) else out[taste] + lift


def _those(queries: Queries, where: Bools) -> Queries:
    # A request that is all of them stays the very object it is, which what was said of it is found by.
    return queries if where.all() else queries.take(np.flatnonzero(where))


def _mixed(score: Floats, stated: Floats, share: Floats) -> Floats:
    """``share`` of the one and the rest of the other; whichever is there where one is missing."""
    both = (1 - share) * score + share * stated
    one = np.where(np.isnan(score), stated, score)
    return np.where(np.isnan(both), one, both).astype(np.float32)


def _with_taste(line: dict[str, float], taste: str, share: float) -> dict[str, float]:
    if not line:
        return {taste: 1.0}
    rest = {label: (1 - share) * weight for label, weight in line.items()}
    return {**rest, taste: rest.get(taste, 0.0) + share}
