"""From requests to candidate lists with everything a blend looks at; for training and serving alike."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from crossfade.arrays import below
from crossfade.data import Queries
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import Columns, Fused, FusionModel, Signals
from crossfade.fusion.standings import Standings
from crossfade.meta.common import Common, CommonStandings
from crossfade.meta.context import ContextReader
from crossfade.meta.last import Last
from crossfade.meta.nearest import Near, NearStandings
from crossfade.meta.signals import measured_scores, union
from crossfade.recommenders.base import Recommender
from crossfade.types import Bools, Csr, Floats, Rows

CELLS = 6_000_000
"""Scores of all bases held at once (24 MB), unless those of one request are more."""


Standing = Standings | NearStandings | CommonStandings


class _Told(NamedTuple):
    """What bases say of the candidates of some requests, ``(n, L)`` and ``(n, L, S)``."""

    item_row: Rows
    score: Floats
    reciprocal_rank: Floats


class _Room(threading.local):
    """Memory of a thread that is used again and again: new pages cost as much as scoring on them."""

    kept = np.empty(0, dtype=np.float32)

    def of(self, shape: tuple[int, ...]) -> Floats:
        """An array with anything in it."""
        size = math.prod(shape)
        if len(self.kept) < size:
            self.kept = np.empty(size, dtype=np.float32)
        return self.kept[:size].reshape(shape)


@dataclass(frozen=True, eq=False)
class ListBuilder:
    """Fitted bases, what they may list, and the context of what they were fitted on.

    Attributes:
        bases: By label.
        reader: Context as of the end of the log the bases learned from.
        exclude_seen: Whether items in the history may not be listed.
        candidates: Items that may be listed, shape ``(n_items,)``; None means all.
        n_candidates: Items each base proposes.
        new: Items that are new, of which each base proposes ``n_new`` more.
        near: What is prepared of bases that propose through an index, by label.
    """

    bases: Mapping[str, Scorer]
    reader: ContextReader
    exclude_seen: bool
    candidates: Bools | None
    n_candidates: int
    new: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    n_new: int = 0
    near: Mapping[str, Near] = field(default_factory=dict)
    _room: _Room = field(default_factory=_Room, repr=False)

    def build(
        self,
        queries: Queries,
        hidden: Csr | None = None,
        only: Bools | None = None,
        least: int = 0,
    ) -> tuple[Signals, Rows]:
        """Candidates of each request and their signals.

        Candidates are the union of each base's best ``n_candidates``, and ``n_new`` of what is new.
        Where something is hidden or only some may be listed, every base scores the catalogue.

        Args:
            queries: B requests.
            hidden: Stored where an item may not be proposed, ``(B, n_items)``. The scale is taken
                over hidden items too: whoever answers a real request does not know of them.
            only: Items that may be proposed to anybody, ``(n_items,)``; None means all. The scale
                is taken over the others too: what somebody wants today does not make a score good.
            least: Each base proposes at least so many.

        Returns:
            The signals, and the candidates, ``(B, L)``, -1 at the end of shorter lists.
        """
        n_each = max(self.n_candidates, least)
        told, whole = [], hidden is not None or only is not None
        for place, standings in self._standings(queries, whole=whole):
            shown = standings
            if whole:
                gone = None if hidden is None else Csr(hidden[place])
                shown = [Standings(_without(one, gone, only)) for one in standings]
            told.append(_told(standings, self._proposed(shown, n_each)))
        return self._signals(queries, told)

    def beside(self, query: Queries, item_rows: Rows) -> tuple[Signals, Rows, int]:
        """The candidates of one request and, after them, those of some items that are none.

        What signals hold of an item does not depend on who else is listed.

        Returns:
            As `build`, the further items ascending, and how many places the usual ones take.
        """
        ((_, standings),) = self._standings(query, whole=False)
        usual = self._proposed(standings, self.n_candidates)
        more = np.setdiff1d(item_rows, usual).astype(np.int32)
        item_row = np.concatenate([usual, more[None, :]], axis=1)
        return *self._signals(query, [_told(standings, item_row)]), usual.shape[1]

    def _proposed(self, standings: Sequence[Standing], n_each: int) -> Rows:
        proposed = [one.best(n_each) for one in standings]
        if self.n_new and len(self.new):
            proposed += [one.among(self.new, self.n_new) for one in standings]
        return union(proposed)

    @cached_property
    def _common(self) -> dict[str, Common]:
        """Of the bases that say the same to everybody; those of other makers are asked each time."""
        return {
            label: Common(base, self.candidates)
            for label, base in self.bases.items()
            if isinstance(base, Recommender) and base.same_for_all
        }

    def _standings(
        self, queries: Queries, *, whole: bool
    ) -> Iterator[tuple[slice, list[Standing]]]:
        """What each base says of what may be listed, for some requests at a time.

        ``whole`` asks every base for scores of the catalogue. They are good until the next ones are
        asked for, which take their room.
        """
        size = max(1, CELLS // max(1, queries.n_items * len(self.bases)))
        all_at_once = [(slice(None), queries)]  # which may be none, and are then asked all the same
        for place, batch in all_at_once if len(queries) <= size else queries.batches(size):
            rooms = self._room.of((len(self.bases), len(batch), queries.n_items))
            found: list[Standing] = []
            for (label, base), room in zip(self.bases.items(), rooms, strict=True):
                if not whole and label in self.near:
                    found.append(NearStandings(self.near[label], batch, self.exclude_seen))
                    continue
                if not whole and label in self._common:
                    found.append(CommonStandings(self._common[label], batch, self.exclude_seen))
                    continue
                found.append(
                    Standings(
                        *measured_scores(base, batch, self.exclude_seen, self.candidates, room)
                    )
                )
            yield place, found

    def _signals(self, queries: Queries, told: Sequence[_Told]) -> tuple[Signals, Rows]:
        item_row = below([part.item_row for part in told], -1)
        reader = self.reader
        signals = Signals(
            score=below([part.score for part in told], np.nan),
            mask=item_row >= 0,
            reciprocal_rank=below([part.reciprocal_rank for part in told], np.nan),
            user=reader.user(queries),
            item=reader.item(queries, item_row),
            user_row=queries.user_row,
            columns=self.columns,
        )
        return signals, item_row

    @property
    def columns(self) -> Columns:
        """Names of what its signals hold."""
        return Columns(tuple(self.bases), self.reader.user_columns, self.reader.item_columns)


def _without(one: Standing, hidden: Csr | None, only: Bools | None) -> Floats:
    """Scores of a whole catalogue with NaN also where an item may not be proposed."""
    assert isinstance(one, Standings), "through an index there are no scores of the catalogue"
    shown = one.scores.copy()
    if hidden is not None:
        shown[hidden.tocoo().coords] = np.nan
    if only is not None:
        shown[:, ~only] = np.nan
    return shown


def _told(standings: Sequence[Standing], item_row: Rows) -> _Told:
    """What each base says of some candidates, -1 at the end of shorter lists."""
    shape = (*item_row.shape, len(standings))
    score, rank = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    for base, one in enumerate(standings):
        one.tell(item_row, score[:, :, base], rank[:, :, base])
    return _Told(item_row, score, rank)


class SharedLists:
    """A builder whose last answer is kept, so that several blends need not build it again."""

    def __init__(self, builder: ListBuilder) -> None:
        self.builder = builder
        self._last: Last[tuple[Signals, Rows]] = Last()

    @property
    def reader(self) -> ContextReader:
        """That of the builder."""
        return self.builder.reader

    @property
    def n_candidates(self) -> int:
        """That of the builder."""
        return self.builder.n_candidates

    def build(
        self, queries: Queries, *, only: Bools | None = None, least: int = 0
    ) -> tuple[Signals, Rows]:
        """As `ListBuilder.build`."""
        if only is not None or least:
            return self.builder.build(queries, only=only, least=least)
        return self._last(queries, self.builder.build)

    def beside(self, query: Queries, item_rows: Rows) -> tuple[Signals, Rows, int]:
        """As `ListBuilder.beside`."""
        return self.builder.beside(query, item_rows)


@dataclass(frozen=True, eq=False)
class FusedScorer:
    """A fitted fusion model as a scorer.

    Attributes:
        name: In tables.
        fusion: The model.
        lists: Where its candidates come from.
    """

    name: str
    fusion: FusionModel[Any]
    lists: ListBuilder | SharedLists

    def score_batch(self, queries: Queries) -> Floats:
        """Blended scores of the candidates, NaN for all other items, shape ``(n, n_items)``."""
        _, item_row, fused = self.fused(queries)
        out = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
        places = np.nonzero(item_row >= 0)
        out[places[0], item_row[places]] = fused.score[places]
        return out

    def fused(
        self,
        queries: Queries,
        only: Bools | None = None,
        least: int = 0,
        also: Rows | None = None,
    ) -> tuple[Signals, Rows, Fused]:
        """Candidates and what the model says of them.

        Args:
            queries: B requests.
            only: Items that may be listed; see `ListBuilder.build`.
            least: Likewise.
            also: Instead, items of the only request that stand beside its usual candidates.
        """
        if also is not None:
            signals, item_row, _ = self.lists.beside(queries, also)
        else:
            signals, item_row = self.lists.build(queries, only=only, least=least)
        return signals, item_row, self.fusion.forward(signals)
