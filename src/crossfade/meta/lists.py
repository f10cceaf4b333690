"""From requests to candidate lists with everything a blend looks at; for training and serving alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Queries
from crossfade.evaluation.judge import Scorer
from crossfade.fusion.base import Columns, Fused, FusionModel, Signals
from crossfade.fusion.scaling import Standings
from crossfade.meta.context import ContextReader
from crossfade.meta.last import Last
from crossfade.meta.signals import allowed_scores, union
from crossfade.types import Bools, Csr, Floats, Rows


@dataclass(frozen=True, eq=False)
class ListBuilder:
    """Fitted bases, what they may list, and the context of what they were fitted on.

    Attributes:
        bases: By label.
        reader: Context as of the end of the log the bases learned from.
        exclude_seen: Whether items in the history may not be listed.
        candidates: Items that may be listed, shape ``(n_items,)``; None means all.
        n_candidates: Items each base proposes.
    """

    bases: Mapping[str, Scorer]
    reader: ContextReader
    exclude_seen: bool
    candidates: Bools | None
    n_candidates: int

    def build(
        self,
        queries: Queries,
        hidden: Csr | None = None,
        only: Bools | None = None,
        least: int = 0,
    ) -> tuple[Signals, Rows]:
        """Candidates of each request and their signals.

        Candidates are the union of each base's best ``n_candidates``.

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
        standings = self._standings(queries)
        n_each = max(self.n_candidates, least)
        if hidden is None and only is None:
            item_row = union([one.best(n_each) for one in standings])
        else:
            where = None if hidden is None else hidden.tocoo().coords
            shown = [one.scores.copy() for one in standings]
            for scores in shown:
                if where is not None:
                    scores[where] = np.nan
                if only is not None:
                    scores[:, ~only] = np.nan
            item_row = union([top_k(scores, n_each) for scores in shown])
        return self._signals(queries, standings, item_row), item_row

    def beside(self, query: Queries, item_rows: Rows) -> tuple[Signals, Rows, int]:
        """The candidates of one request and, after them, those of some items that are none.

        What signals hold of an item does not depend on who else is listed.

        Returns:
            As `build`, the further items ascending, and how many places the usual ones take.
        """
        standings = self._standings(query)
        usual = union([one.best(self.n_candidates) for one in standings])
        more = np.setdiff1d(item_rows, usual).astype(np.int32)
        item_row = np.concatenate([usual, more[None, :]], axis=1)
        return self._signals(query, standings, item_row), item_row, usual.shape[1]

    def _standings(self, queries: Queries) -> list[Standings]:
        """What each base says of everything that may be listed."""
        return [
            Standings(allowed_scores(base, queries, self.exclude_seen, self.candidates))
            for base in self.bases.values()
        ]

    def _signals(self, queries: Queries, standings: Sequence[Standings], item_row: Rows) -> Signals:
        mask = item_row >= 0
        columns = np.where(mask, item_row, 0)
        score, rank = (
            np.stack([one.at(columns, name) for one in standings], axis=-1)
            for name in ("zscore", "reciprocal_rank")
        )
        score[~mask], rank[~mask] = np.nan, np.nan
        reader = self.reader
        return Signals(
            score=score,
            mask=mask,
            reciprocal_rank=rank,
            user=reader.user(queries),
            item=reader.item(queries, item_row),
            user_row=queries.user_row,
            columns=self.columns,
        )

    @property
    def columns(self) -> Columns:
        """Names of what its signals hold."""
        return Columns(tuple(self.bases), self.reader.user_columns, self.reader.item_columns)


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
