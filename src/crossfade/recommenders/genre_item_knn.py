"""Items liked by the same people, backed off to the same creator and genres."""

import numpy as np

from crossfade.arrays import pack_csr, unpack_csr
from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.features.items import creator_pairs
from crossfade.recommenders.attribution import Attribution, corner, of_parts, weighted_items
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.content import inverse_frequency
from crossfade.recommenders.fading import faded_evidence
from crossfade.recommenders.history import weighted_history
from crossfade.recommenders.item_knn import ItemKNNConfig, nearest_items, vote_weights
from crossfade.recommenders.kernels import (
    factor_products,
    transposed,
    weighted_sparse_sums,
)
from crossfade.recommenders.label_parts import carried
from crossfade.recommenders.labels import ItemLabels
from crossfade.types import Arrays, Bools, Csr, Doubles, Floats, Rows


class GenreItemKNNConfig(ItemKNNConfig):
    """Which items count as neighbours, and when an item's own company is believed."""

    own_support: float = Field(
        5.0,
        gt=0,
        description="Users who wanted an item at which its own neighbours and those of its kind weigh the same.",
    )
    creator_items: float = Field(
        1.0,
        ge=0,
        description="Known items of a creator at which they and the genres weigh the same.",
    )


class GenreItemKNN(Recommender[GenreItemKNNConfig]):
    """Sum of item similarities, those of little-known items borrowed from items of their kind.

    An item's own score is that of `ItemKNN`. Its kind's score is the mean own score of the
    creator's other items, drawn towards the mean in its genres and moods (rare labels count
    more) where the creator has few; a creator nobody knows is left to the genres. The two
    are mixed by n / (n + ``own_support``), n the users who wanted the item, so an item
    nobody played has its kind's score alone. Items with neither labels nor a known creator
    keep their own score. A history needs one item somebody else wanted.

    Source:
        The hand-over by support is empirical Bayes shrinkage as in Bell and Koren (2007),
        here between an item and its kind.
    """

    name = "genre_item_knn"
    Config = GenreItemKNNConfig
    serves_cold_items = True
    attribution = "linear"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        config = self.config
        evidence = faded_evidence(dataset, config.counting, config.half_life_days)
        by_user = vote_weights(evidence, config.weighting)
        self._neighbours = nearest_items(by_user, config.n_neighbours, config.shrink)
        self._labels = ItemLabels.of(dataset)
        self._creators = _creators(dataset)
        self._index()

    def _index(self) -> None:
        believed: Doubles = self.support / (self.support + self.config.own_support)
        labels = Csr(self._labels.share)
        carries = Csr(
            (np.ones_like(labels.data), labels.indices, labels.indptr), shape=labels.shape
        )
        # History item → mean score it gives to the items of each label and creator.
        self._to_label, label_mass = _means(self._neighbours, carries, believed)
        self._to_creator, creator_mass = _means(self._neighbours, self._creators, believed)
        weight = inverse_frequency(carries) * (label_mass > 0)
        self._from_label, self._has_label = _rows_to_one(carries, weight.astype(np.float32))
        trust = creator_mass / np.maximum(creator_mass + self.config.creator_items, 1e-9)
        self._from_creator = transposed(self._creators)
        self._creator_trust = np.asarray(self._creators @ trust, dtype=np.float32)
        has_kind = self._has_label | (self._creator_trust > 0)
        self._own = np.where(has_kind, believed, 1.0).astype(np.float32)
        # Items of no known kind have their own score, in a catalogue that knows kinds at all.
        known_kind = has_kind & (label_mass.sum() + creator_mass.sum() > 0)
        self._scorable = (known_kind | self.supported) & self._knows_kinds

    @property
    def _knows_kinds(self) -> bool:
        return bool(self._labels.names) or self._creators.shape[1] > 0

    @property
    def notices(self) -> tuple[str, ...]:
        """Says when nothing tells of what kind an item is."""
        if self._knows_kinds:
            return ()
        return (
            f"{self.name}: the catalogue has no genres, moods or creators, so it scores nothing; "
            "item_knn does without",
        )

    def _score(self, queries: Queries) -> Floats:
        scores = self._sums(weighted_history(queries, self.config))
        useful = queries.owner[(queries.strength > 0) & self.supported[queries.item_row]]
        scores[np.bincount(useful, minlength=len(queries)) == 0] = np.nan
        scores[:, ~self._scorable] = np.nan
        return scores

    def _sums(self, history: Csr) -> Floats:
        """Scores of all items from weights of history items ``(n, n_items)``, nothing masked."""
        own = weighted_sparse_sums(history, self._neighbours, self._kept_parts(self._neighbours))
        genre = _through(history, self._to_label, self._from_label)
        creator = _through(history, self._to_creator, self._from_creator)
        # Without labels the creator alone speaks for the kind.
        trust = np.where(self._has_label, self._creator_trust, 1).astype(np.float32)
        kind = trust * creator + (1 - trust) * genre
        return np.asarray(self._own * own + (1 - self._own) * kind, dtype=np.float32)

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """The item's own neighbours, and by way of a label or creator those of its kind.

        A part is owed to a label or creator only where the history item has it too; other
        items that its people wanted as well may be of the kind, and say nothing of why.
        """
        liked, weight = weighted_items(query, self.config)
        labels = carried(self._labels, item_rows)
        creators = np.unique(self._creators[item_rows].indices).astype(np.int32)
        own, trust = self._own[item_rows], self._creator_trust[item_rows]
        trust = np.where(self._has_label[item_rows], trust, np.float32(1))
        of_creator = ((1 - own) * trust)[:, None] * _product(
            corner(self._from_creator, creators, item_rows),
            corner(self._to_creator, liked, creators),
        )
        of_label = (
            corner(self._from_label, labels, item_rows).T * ((1 - own) * (1 - trust))[:, None]
        )
        of_labels = of_label[:, None, :] * corner(self._to_label, liked, labels)
        same_creator = _product(
            corner(self._creators, item_rows, creators).T, corner(self._creators, liked, creators)
        )
        same_label = corner(self._labels.share, liked, labels) > 0

        parts = np.zeros((len(item_rows), len(liked), 2 + len(labels)), dtype=np.float32)
        parts[:, :, 0] = own[:, None] * corner(self._neighbours, liked, item_rows).T
        parts[:, :, 0] += np.where(same_creator > 0, 0, of_creator)
        parts[:, :, 0] += np.where(same_label, 0, of_labels).sum(axis=2)
        parts[:, :, 1] = np.where(same_creator > 0, of_creator, 0)
        parts[:, :, 2:] = np.where(same_label, of_labels, 0)
        parts *= weight[:, None]
        rest = np.where(self._scorable[item_rows], np.float32(0), np.float32(np.nan))
        if not (self.support[liked] > 0).any():
            rest[:] = np.nan
        names = [self._labels.names[label] for label in labels]
        return of_parts(item_rows, liked, parts, rest, ("creator", *names))

    def similar(self, item_row: int) -> Floats:
        """What one item in a history adds to every other; see `Recommender.similar`."""
        one = np.array([item_row], dtype=np.int32)
        similarity: Floats = self._sums(_unit_rows(one, len(self.support)))[0]
        similarity[~self._scorable | (self.support[item_row] == 0)] = np.nan
        similarity[item_row] = np.nan
        return similarity

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        liked = query.positives.indices
        liked = liked[self.support[liked] > 0]
        if not len(liked):
            return np.full(len(item_rows), np.nan, dtype=np.float32)
        best: Floats = self._sums(_unit_rows(liked, query.n_items)).max(axis=0)
        best[~self._scorable] = np.nan
        return best[item_rows]

    def _state(self) -> Arrays:
        return {
            **self._labels.state(),
            **pack_csr("neighbours", self._neighbours),
            **pack_csr("creators", self._creators),
        }

    def _restore(self, state: Arrays) -> None:
        self._labels = ItemLabels.restore(state)
        self._neighbours = unpack_csr("neighbours", state)
        self._creators = unpack_csr("creators", state)
        self._index()


def _creators(dataset: Dataset) -> Csr:
    """1 where an item is by a creator, shape ``(n_items, n_creators)``."""
    pairs = creator_pairs(dataset.items)
    creator = pairs["label"].rank("dense").to_numpy().astype(np.int64) - 1
    shape = (dataset.n_items, int(creator.max(initial=-1)) + 1)
    ones = np.ones(pairs.height, dtype=np.float32)
    return Csr((ones, (pairs["row"].to_numpy(), creator)), shape=shape)


def _means(neighbours: Csr, carries: Csr, believed: Doubles) -> tuple[Csr, Doubles]:
    """Mean similarity of each item to the items of each group, and the groups' mass.

    Items count by how far they are believed; a group of nobody's items has mean 0.
    """
    mass = np.asarray(carries.T @ believed)
    part = Csr(carries.multiply(believed[:, None]))
    part.data = (part.data / np.where(mass > 0, mass, 1)[part.indices]).astype(np.float32)
    return Csr(neighbours @ part), mass


def _rows_to_one(carries: Csr, weight: Floats) -> tuple[Csr, Bools]:
    """Groups to items: weights of each item's groups, summing to 1; and which items have any."""
    weighted = weight[carries.indices]
    owner = np.repeat(np.arange(carries.shape[0]), np.diff(carries.indptr))
    total = np.bincount(owner, weights=weighted, minlength=carries.shape[0])
    values = (weighted / np.where(total > 0, total, 1)[owner]).astype(np.float32)
    matrix = Csr((values, carries.indices, carries.indptr), shape=carries.shape)
    return transposed(matrix), total > 0


def _through(history: Csr, to_group: Csr, from_group: Csr) -> Floats:
    """Scores that reach items by way of groups, shape ``(n, n_items)``."""
    return weighted_sparse_sums(Csr(weighted_sparse_sums(history, to_group)), from_group)


def _product(from_group: Floats, to_group: Floats) -> Floats:
    """Items asked for × items of the history, by way of groups: ``(G, L)`` and ``(H, G)``."""
    return factor_products(np.ascontiguousarray(from_group.T), to_group)


def _unit_rows(item_rows: Rows, n_items: int) -> Csr:
    ones = np.ones(len(item_rows), dtype=np.float32)
    return Csr((ones, (np.arange(len(item_rows)), item_rows)), shape=(len(item_rows), n_items))
