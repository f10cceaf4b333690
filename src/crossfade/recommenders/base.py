"""`Recommender`: the one protocol every base model follows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numba
import numpy as np
from scipy.sparse import coo_array

from crossfade.arrays import top_k
from crossfade.config import Settings, validate
from crossfade.data import Dataset, Queries
from crossfade.errors import NotFittedError
from crossfade.recommenders.attribution import Attribution, Basis, spread_out
from crossfade.recommenders.kernels import csr_parts
from crossfade.rng import generator
from crossfade.types import MICROSECONDS_PER_DAY, Arrays, Bools, Csr, CsrParts, Floats, Ints, Rows

EVIDENCE = ("history_count", "item_support", "neighbour_similarity", "recency_days")
"""What a score rests on, in this order: positive events in the history; users with a
positive event on the item in training; the largest similarity between the item and the
history (NaN for models without neighbours); days from the newest history event to the
request (NaN without times or history)."""


@dataclass(frozen=True)
class ItemScores:
    """Scores of some items for one request.

    Attributes:
        item_row: Shape ``(L,)``.
        score: Shape ``(L,)``; NaN where the model cannot score the item.
        evidence: Shape ``(L, len(EVIDENCE))``; NaN where a kind of evidence does not exist.
    """

    item_row: Rows
    score: Floats
    evidence: Floats


@dataclass(frozen=True)
class Embeddings:
    """Vectors of users and items; a NaN row means the model has no vector for it."""

    user: Floats
    item: Floats


class Products(NamedTuple):
    """Vectors whose products are scores.

    Attributes:
        request: Of some requests, ``(n, width)``; NaN rows for those the model cannot answer.
        item: Of all items, ``(n_items, width)``, the model's own array.
        known: Which items it can score, ``(n_items,)``.
    """

    request: Floats
    item: Floats
    known: Bools


@dataclass(frozen=True, eq=False)
class Change:
    """How a data set relates to the one that a previous version was fitted on.

    Attributes:
        item_rows: Row of each of today's items in the previous data set, -1 for new ones.
        user_rows: The same of users.
        since_us: Events at this time or later are new; microseconds since 1970.
    """

    item_rows: Rows
    user_rows: Rows
    since_us: int


C = TypeVar("C", bound=Settings)


class Recommender(ABC, Generic[C]):
    """A model that scores items for requests.

    Subclasses set ``name`` and ``Config`` and write `_fit`, `_score`, `_state` and
    `_restore`. Everything else is shared, so that every model treats unknown people,
    unknown items, batches and saving alike.

    Attributes:
        name: Stable name in configs, reports and bundles.
        Config: The settings model.
        serves_cold_users: Whether an empty history still gives scores.
        serves_cold_items: Whether items without any positive event get scores.
        reads_tastes: Whether genres and moods that somebody names move scores.
        same_for_all: Whether all requests get the same scores, whatever their history, time and taste.
        updates: Whether `update` goes on from a previous version instead of fitting afresh.
        attribution: What the parts of a score that `attribute` gives are.
        notices: What a reader of the fitted model's numbers must know; usually empty.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Settings]]
    serves_cold_users: ClassVar[bool] = False
    serves_cold_items: ClassVar[bool] = False
    reads_tastes: ClassVar[bool] = False
    same_for_all: ClassVar[bool] = False
    updates: ClassVar[bool] = False
    attribution: ClassVar[Basis] = "none"

    def __init__(self, config: C | None = None) -> None:
        self.config: C = config if config is not None else self.Config()  # type: ignore[assignment]
        self._support: Ints | None = None
        self._kept_supported: tuple[Ints, Bools] | None = None
        self._kept_csr: dict[int, tuple[Csr, CsrParts]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    # -- what a model writes ---------------------------------------------------------

    @abstractmethod
    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:
        """Learn from every event in ``dataset``, forgetting any earlier fit."""

    def _update(
        self,
        previous: Self,  # noqa: ARG002
        dataset: Dataset,
        change: Change,  # noqa: ARG002
        rng: np.random.Generator,
    ) -> None:
        """Learn what is new; models that set ``updates`` go on from ``previous``."""
        self._fit(dataset, rng)

    @abstractmethod
    def _score(self, queries: Queries) -> Floats:
        """Scores of all items, shape ``(n, n_items)``, NaN where the model cannot score."""

    @abstractmethod
    def _state(self) -> Arrays:
        """The fitted arrays, enough for `_restore`."""

    @abstractmethod
    def _restore(self, state: Arrays) -> None:
        """Take over arrays made by `_state`."""

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:  # noqa: ARG002
        """Largest similarity of each item to one request's history; NaN without neighbours."""
        return np.full(len(item_rows), np.nan, dtype=np.float32)

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution | None:  # noqa: ARG002
        """What the scores of some items, all of the catalogue, rest on; see `attribute`."""
        return None

    def similar(self, item_row: int) -> Floats | None:  # noqa: ARG002
        """Similarity of every item to one item; None if the model has no such notion.

        Returns:
            Shape ``(n_items,)``; larger is closer. NaN for the item itself, for items the
            model knows nothing about, and everywhere if ``item_row`` is one of those.
        """
        return None

    def embeddings(self) -> Embeddings | None:
        """User and item vectors, for models that have them."""
        return None

    def products(self, queries: Queries) -> Products | None:  # noqa: ARG002
        """Scores as products of vectors, for models that have nothing else; None for the others."""
        return None

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader of this model's numbers must know, one sentence each."""
        return ()

    # -- what everybody calls --------------------------------------------------------

    @property
    def support(self) -> Ints:
        """Users with a positive event on each item in training, shape ``(n_items,)``."""
        if self._support is None:
            raise NotFittedError(
                f"{self.name} has not been fitted; call fit(dataset) or load a bundle first"
            )
        return self._support

    @property
    def supported(self) -> Bools:
        """Items with any `support`, shape ``(n_items,)``."""
        kept, support = self._kept_supported, self.support
        if kept is None or kept[0] is not support:  # made once for all requests
            kept = self._kept_supported = (support, support > 0)
        return kept[1]

    def fit(self, dataset: Dataset, seed: int = 0) -> Self:
        """Learn from a data set; a second fit forgets the first.

        Args:
            dataset: Events up to the training cut; later ones must not be in it.
            seed: The run's seed; equal seeds give equal models.
        """
        self._support = item_support(dataset)
        self._kept_csr.clear()
        self._fit(dataset, generator(seed, f"{self.name}.fit"))
        return self

    def update(self, previous: Self, dataset: Dataset, change: Change, seed: int = 0) -> Self:
        """Learn from a data set that went on, with what a previous version knows already.

        Models that have nothing worth keeping are fitted afresh; see ``updates``.

        Args:
            previous: The version before, fitted; it is not changed.
            dataset: All events up to the new cut, old ones too, with times.
            change: What is new in it.
            seed: The run's seed; equal seeds give equal models.

        Raises:
            NotFittedError: If ``previous`` has not been fitted.
            ConfigError: If settings that a version cannot change differ from the previous one.
            ValueError: If ``change`` was made from another data set than ``previous``.
        """
        if change.item_rows.max(initial=-1) >= len(previous.support):
            raise ValueError(
                f"{self.name}: the change speaks of item row {change.item_rows.max()}, the previous version "
                f"has {len(previous.support):,} items; make the change from the data set it was fitted on"
            )
        self._support = item_support(dataset)
        self._update(previous, dataset, change, generator(seed, f"{self.name}.update"))
        return self

    def score_batch(self, queries: Queries) -> Floats:
        """Scores of the whole catalogue for many requests.

        Returns:
            Shape ``(n, n_items)``; NaN where this model cannot score.

        Raises:
            NotFittedError: Before `fit` or `load`.
        """
        self._check_catalogue(queries)
        return self._score(queries)

    def _check_catalogue(self, queries: Queries) -> None:
        n_items = len(self.support)
        if queries.n_items != n_items:
            raise ValueError(
                f"{self.name} was fitted on {n_items:,} items, the requests speak of {queries.n_items:,}; "
                "use the data set it was fitted on"
            )

    def score(self, query: Queries, item_rows: Sequence[int] | Rows) -> ItemScores:
        """Scores and evidence of some items for one request.

        Args:
            query: A batch of exactly one request.
            item_rows: Items to score; rows outside the catalogue (-1 too) get NaN.
        """
        rows = np.asarray(item_rows, dtype=np.int32)
        known = (rows >= 0) & (rows < query.n_items)
        score = np.full(len(rows), np.nan, dtype=np.float32)
        score[known] = self.score_batch(query)[0, rows[known]]
        evidence = np.full((len(rows), len(EVIDENCE)), np.nan, dtype=np.float32)
        evidence[known] = self._evidence(query, rows[known])
        return ItemScores(rows, score, evidence)

    def attribute(self, query: Queries, item_rows: Sequence[int] | Rows) -> Attribution | None:
        """What the scores of some items for one request rest on, term by term.

        Parts and rest of an item add up to its score. What they mean is said by the class's
        ``attribution``. Only the items asked for are worked on, so a shown list costs far less
        than scoring the catalogue.

        Args:
            query: A batch of exactly one request.
            item_rows: Which items; rows outside the catalogue (-1 too) have no parts.

        Returns:
            None if the model cannot tell, which is so where ``attribution`` is ``none``.

        Raises:
            NotFittedError: Before `fit` or `load`.
            ValueError: If there is more than one request, or it is about another catalogue.
        """
        if len(query) != 1:
            raise ValueError(f"one request can be attributed at a time, got {len(query)}")
        self._check_catalogue(query)
        rows = np.asarray(item_rows, dtype=np.int32)
        known = (rows >= 0) & (rows < query.n_items)
        found = self._attribute(query, rows[known])
        return found if found is None or known.all() else spread_out(found, rows, known)

    def top(self, query: Queries, k: int, exclude: Sequence[int] | Rows = ()) -> ItemScores:
        """The k best items for one request, best first, ties by row.

        Args:
            query: A batch of exactly one request.
            k: How many, 1 or more; fewer come back when fewer can be scored.
            exclude: Item rows to leave out; rows outside the catalogue (-1 too) change nothing.
        """
        scores = self.score_batch(query).copy()
        rows = np.asarray(exclude, dtype=np.int64)
        scores[:, rows[(rows >= 0) & (rows < query.n_items)]] = np.nan
        best = top_k(scores, k)[0]
        return self.score(query, best[best >= 0])

    def fold_in(self, item_rows: Sequence[int] | Rows) -> Queries:
        """A request by a stranger with some liked items; every model scores it like any other."""
        return Queries.of_items(item_rows, len(self.support))

    def state(self) -> Arrays:
        """Everything `restore` needs, as named arrays."""
        return {"support": self.support, **self._state()}

    @classmethod
    def restore(cls, config: dict[str, Any], state: Arrays) -> Self:
        """A fitted model from its settings and arrays.

        Raises:
            ConfigError: If the settings do not fit this model.
            KeyError: If an array is missing.
        """
        model = cls(validate(cls.Config, config, cls.name))  # type: ignore[arg-type]
        model._support = np.asarray(state["support"], dtype=np.int64)
        model._restore(state)
        return model

    def _kept_parts(self, matrix: Csr) -> CsrParts:
        """`csr_parts` of a fitted matrix, made once for all requests: they are copies."""
        kept = self._kept_csr.get(id(matrix))  # the matrix is kept too, so nobody else gets its id
        if kept is None:
            kept = self._kept_csr[id(matrix)] = (matrix, csr_parts(matrix))
        return kept[1]

    def _evidence(self, query: Queries, item_rows: Rows) -> Floats:
        count = float(np.count_nonzero(query.strength > 0))
        recency = np.nan
        if query.as_of_us is not None and query.time_us is not None and len(query.time_us):
            recency = float(query.as_of_us[0] - query.time_us[-1]) / MICROSECONDS_PER_DAY
        columns = (
            np.full(len(item_rows), count),
            self.support[item_rows],
            self._neighbour_similarity(query, item_rows),
            np.full(len(item_rows), recency),
        )
        return np.stack(columns, axis=1).astype(np.float32)


def item_support(dataset: Dataset) -> Ints:
    """Users with a positive event on each item, shape ``(n_items,)``."""
    matrix = coo_array(dataset.interactions())
    return np.bincount(matrix.coords[1], minlength=dataset.n_items).astype(np.int64)


def mask_unscorable(scores: Floats, queries: Queries, scorable: Bools) -> Floats:
    """NaN for items the model knows nothing about and requests it has nothing to go by.

    Args:
        scores: Shape ``(n, n_items)``; changed in place and given back.
        queries: The requests the scores are for.
        scorable: Which items the model learned something about, shape ``(n_items,)``.
            A request needs at least one positive event on such an item.
    """
    _blank(scores, scorable, answerable(queries, scorable))
    return scores


def answerable(queries: Queries, scorable: Bools) -> Bools:
    """Which requests have a positive event on an item the model knows, shape ``(n,)``."""
    out = np.zeros(len(queries), dtype=np.bool_)
    _answerable(queries.indptr, queries.item_row, queries.strength, scorable, out)
    return out


@numba.njit(cache=True, nogil=True)
def _answerable(
    indptr: Ints, item_row: Rows, strength: Floats, scorable: Bools, out: Bools
) -> None:
    for row in range(len(out)):
        for event in range(indptr[row], indptr[row + 1]):
            out[row] |= strength[event] > 0 and scorable[item_row[event]]


@numba.njit(cache=True, nogil=True)
def _blank(scores: Floats, scorable: Bools, answered: Bools) -> None:
    for row in range(scores.shape[0]):
        line = scores[row]
        for column in range(len(line)):
            line[column] = line[column] if answered[row] and scorable[column] else np.nan
