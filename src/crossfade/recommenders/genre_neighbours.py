"""What people with the same taste in genres and moods wanted."""

import numba
import numpy as np

from crossfade.arrays import pack_csr, unpack_csr
from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import (
    NONE,
    Attribution,
    corner,
    of_parts,
    weighted_items,
)
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.history import HistoryConfig, weighted_history
from crossfade.recommenders.kernels import (
    counted,
    csr_parts,
    largest_places,
    transposed,
    weighted_sparse_sums,
)
from crossfade.recommenders.labels import ItemLabels, mass_shares, no_labels_notice
from crossfade.recommenders.neighbour_parts import pull_of_labels
from crossfade.threads import over
from crossfade.types import Arrays, Csr, Floats, Ints, Rows


class GenreNeighboursConfig(HistoryConfig):
    """Who counts as a neighbour, and what a stated taste is worth."""

    n_neighbours: int = Field(200, ge=1, description="Most similar people that vote.")
    shrink: float = Field(
        10.0,
        ge=0,
        description="Items in a history at which it is half believed: doubts tastes seen in few items.",
    )
    taste_events: float = Field(
        5.0,
        ge=0,
        description="Items in a history that genres and moods somebody names count as much as; 0: not used.",
    )


class GenreNeighbours(Recommender[GenreNeighboursConfig]):
    """Share of the neighbours who wanted an item, neighbours being people of like genre profile.

    A profile splits each positive item over its genres and moods and divides by the square
    root of what the whole population gives each label, so that what everybody likes says
    little. Similarity is the cosine of two profiles times n / (n + ``shrink``) of either
    history, n its labelled items. The most similar people vote with it, and the sum is
    divided by that of a vote all of them shared; scores lie in [0, 1]. It needs no item in
    common with anybody. What no neighbour wanted scores 0.

    Source:
        Profiles of content instead of items as in Pazzani (1999), "A Framework for
        Collaborative, Content-Based and Demographic Filtering", collaboration via content.
    """

    name = "genre_neighbours"
    Config = GenreNeighboursConfig
    reads_tastes = True
    attribution = "additive"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        self._labels = ItemLabels.of(dataset)
        wanted = counted(dataset.interactions(), "once")
        people = np.flatnonzero(np.diff(wanted.indptr))
        self._wanted = Csr(wanted[people])
        popularity = np.bincount(self._wanted.indices, minlength=dataset.n_items)
        population = mass_shares(self._labels, popularity.astype(np.float64))
        # A label nobody met tells nothing yet: weight 0.
        weight = np.zeros_like(population)
        np.divide(1, np.sqrt(population), out=weight, where=population > 0)
        self._label_weight = weight.astype(np.float32)
        self._index()

    def _index(self) -> None:
        dense = weighted_sparse_sums(self._wanted, self._labels.share)
        n_items = dense.sum(axis=1)
        self._unit_profiles = Csr(self._unit(dense))
        self._profile_of = transposed(self._unit_profiles)
        self._trust = (n_items / np.maximum(n_items + self.config.shrink, 1e-9)).astype(np.float32)

    def _unit(self, profiles: Floats) -> Floats:
        """Weighted profiles of length 1; a profile of nothing stays 0."""
        weighted = profiles * self._label_weight
        length = np.sqrt(np.square(weighted).sum(axis=1, keepdims=True))
        unit: Floats = np.divide(weighted, length, out=np.zeros_like(weighted), where=length > 0)
        return unit

    @property
    def notices(self) -> tuple[str, ...]:
        """Says when there are no labels."""
        return no_labels_notice(self.name, self._labels)

    def _score(self, queries: Queries) -> Floats:
        return self._votes(queries, best=False)

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        """Similarity of the nearest neighbour who wanted each item."""
        similarity: Floats = self._votes(query, best=True)[0, item_rows]
        return similarity

    def _votes(self, queries: Queries, *, best: bool) -> Floats:
        profiles = self._profiles(queries)
        n_items = profiles.sum(axis=1)
        trust = n_items / np.maximum(n_items + self.config.shrink, 1e-9)
        votes = np.zeros((len(queries), queries.n_items), dtype=np.float32)
        unit = Csr(self._unit(profiles))
        over(
            _vote,
            len(queries),
            *csr_parts(unit),
            trust.astype(np.float32),
            *csr_parts(self._profile_of),
            self._trust,
            *csr_parts(self._wanted)[:2],
            self.config.n_neighbours,
            best,
            votes,
        )
        votes[np.diff(unit.indptr) == 0] = np.nan
        votes[:, self.support == 0] = np.nan
        return votes

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """Who votes is decided by the profile as a whole; what they say, label by label."""
        profile = self._profiles(query)
        unit = Csr(self._unit(profile))
        pull = pull_of_labels(
            unit,
            item_rows,
            profile_of=self._profile_of,
            unit_profiles=self._unit_profiles,
            trust=self._trust,
            wanted=self._wanted,
            n_neighbours=self.config.n_neighbours,
        )
        liked, weight = weighted_items(query, self.config)
        labels = unit.indices.astype(np.int32)
        # From a profile's items to its entries: weighed by label, over its length.
        mass = profile[0, labels]
        per_item = unit.data / np.where(mass > 0, mass, np.float32(1))
        pull = (pull[:, labels] * per_item).astype(np.float32)
        weight = (weight * self.supported[liked]).astype(np.float32)
        brought = corner(self._labels.share, liked, labels) * weight[:, None]
        stated = self._labels.stated(query)
        said = corner(stated, np.zeros(1, dtype=np.int32), labels)[0]
        said *= np.float32(self.config.taste_events) / max(stated.nnz, 1)
        n = len(labels)
        parts = np.zeros((len(item_rows), len(liked) + 1, 1 + 2 * n), dtype=np.float32)
        parts[:, :-1, 1 : 1 + n] = pull[:, None, :] * brought
        parts[:, -1, 1 + n :] = pull * said
        names = [self._labels.names[label] for label in labels]
        people = (f"people:{name}" for name in names)
        rest = np.zeros(len(item_rows), dtype=np.float32)
        rest[(self.support[item_rows] == 0) | (n == 0)] = np.nan
        tastes = (f"people:taste:{name}" for name in names)
        rows = np.append(liked, np.int32(NONE))
        return of_parts(item_rows, rows, parts, rest, (*people, *tastes))

    def _profiles(self, queries: Queries) -> Floats:
        """Items a history gives to each label, shape ``(n, n_labels)``; a taste adds its events."""
        history = weighted_history(queries, self.config)
        # An item nobody wanted yet is no evidence of what its people want.
        weights = history.data * self.supported[history.indices]
        history = Csr((weights, history.indices, history.indptr), shape=history.shape)
        profiles = weighted_sparse_sums(history, self._labels.share)
        stated = self._labels.stated(queries)
        sizes = np.diff(stated.indptr)
        asked = np.repeat(np.arange(len(queries)), sizes)
        profiles[asked, stated.indices] += np.float32(self.config.taste_events) / sizes[asked]
        return profiles

    def _state(self) -> Arrays:
        return {
            **self._labels.state(),
            **pack_csr("wanted", self._wanted),
            "label_weight": self._label_weight,
        }

    def _restore(self, state: Arrays) -> None:
        self._labels = ItemLabels.restore(state)
        self._wanted = unpack_csr("wanted", state)
        self._label_weight = state["label_weight"].astype(np.float32, copy=False)
        self._index()


@numba.njit(cache=True, nogil=True)
def _vote(  # noqa: PLR0917  (kernels know no keywords)
    start: int,
    stop: int,
    query_indptr: Ints,
    query_labels: Rows,
    query_values: Floats,
    query_trust: Floats,
    label_indptr: Ints,
    label_people: Rows,
    label_values: Floats,
    trust: Floats,
    wanted_indptr: Ints,
    wanted_items: Rows,
    n_neighbours: int,
    best: bool,
    votes: Floats,
) -> None:
    cosine = np.zeros(len(trust), dtype=np.float32)
    for query in range(start, stop):
        cosine[:] = 0
        for place in range(query_indptr[query], query_indptr[query + 1]):
            label, value = query_labels[place], query_values[place]
            for other in range(label_indptr[label], label_indptr[label + 1]):
                cosine[label_people[other]] += value * label_values[other]
        similarity = cosine * trust
        neighbours = largest_places(similarity, n_neighbours)
        total = np.float32(0)
        for person in neighbours:
            total += similarity[person]
        if total <= 0:
            continue
        for person in neighbours:
            vote = similarity[person]
            for place in range(wanted_indptr[person], wanted_indptr[person + 1]):
                item = wanted_items[place]
                if best:
                    votes[query, item] = max(votes[query, item], vote * query_trust[query])
                else:
                    votes[query, item] += vote / total
