"""What is popular inside the genres and moods somebody likes."""

import numpy as np

from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import Attribution, corner, weighted_items
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.history import HistoryConfig, weighted_history
from crossfade.recommenders.kernels import transposed, weighted_sparse_sums
from crossfade.recommenders.label_parts import carried, lifted_parts
from crossfade.recommenders.labels import ItemLabels, mass_shares, no_labels_notice
from crossfade.recommenders.popularity import faded_strength
from crossfade.types import Arrays, Csr, Doubles, Floats, Rows


class GenrePopularityConfig(HistoryConfig):
    """How fast popularity fades, and how soon a history speaks for itself."""

    half_life_days: float | None = Field(
        90.0, gt=0, description="Days until a positive event counts half; unset: events never fade."
    )
    prior_events: float = Field(
        20.0,
        gt=0,
        description="Positive events in a history at which it weighs as much as the population's taste.",
    )
    beyond_taste: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Share of the population's taste left to everything else when somebody names genres or moods.",
    )
    unplayed_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Popularity that every item starts with, as a share of the mean popularity in its genres and "
        "moods. Items nobody played have nothing else.",
    )


class GenrePopularity(Recommender[GenrePopularityConfig]):
    """Popularity times how much more than most people somebody likes an item's genres and moods.

    A profile holds a share for each label. It starts at the population's shares and hands
    over to the history as events arrive::

        p = (c + prior_events * q) / (n + prior_events)

    with c the history's positive items, each split over its labels, and n their number. q
    are the population's shares; where somebody names labels, 1 - ``beyond_taste`` of q is
    moved onto those. The score of an item is its popularity times the mean over its labels
    of p / population share. With nothing known it is plain popularity, and summed over the
    labelled items it is the same for everybody: a mixture of popularities inside each label.

    Items without labels keep their plain popularity; without popularity either they are NaN.
    A catalogue without labels scores nothing, and `notices` says so.
    """

    name = "genre_popularity"
    Config = GenrePopularityConfig
    serves_cold_users = True
    serves_cold_items = True
    reads_tastes = True
    attribution = "additive"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        self._labels = ItemLabels.of(dataset)
        popularity = faded_strength(dataset, self.config.half_life_days)
        popularity += self.config.unplayed_share * self._expected(popularity)
        unknown = ~(popularity > 0) if self._labels.names else np.ones(len(popularity), np.bool_)
        share = popularity / max(popularity.max(initial=0.0), np.finfo(np.float64).tiny)
        self._population = mass_shares(self._labels, share).astype(np.float32)
        self._popularity = share.astype(np.float32)
        self._popularity[unknown] = np.nan
        self._index()

    def _expected(self, popularity: Doubles) -> Doubles:
        """Mean over an item's labels of the mean popularity there, shape ``(n_items,)``.

        Only items with support tell what is usual; a label that none of them carries gets
        the mean of all. 0 for items without labels.
        """
        share, played = self._labels.share, self.supported
        carries = Csr((np.ones_like(share.data), share.indices, share.indptr), shape=share.shape)
        total, n_played = carries.T @ (popularity * played), carries.T @ played.astype(np.float64)
        overall = popularity[played].mean() if played.any() else 0.0
        usual = np.divide(total, n_played, out=np.full_like(total, overall), where=n_played > 0)
        return np.asarray(share @ usual)

    def _index(self) -> None:
        lift = self._labels.share.copy()
        # No item with any popularity carries a label without mass: it would be its own mass.
        mass = np.maximum(self._population, np.finfo(np.float32).tiny)
        lift.data = lift.data / mass[lift.indices]
        self._lift = transposed(lift)

    @property
    def notices(self) -> tuple[str, ...]:
        """Says when there are no labels."""
        return no_labels_notice(self.name, self._labels)

    def _score(self, queries: Queries) -> Floats:
        profile, rest = self._profiles(queries)
        lift = weighted_sparse_sums(profile, self._lift) + rest[:, None]
        lift[:, self._labels.n_of_item == 0] = 1
        return np.asarray(self._popularity * lift, dtype=np.float32)

    def _profiles(self, queries: Queries) -> tuple[Csr, Floats]:
        """What each profile holds beside its multiple of the population's shares, and that multiple."""
        config = self.config
        history = weighted_history(queries, config)
        known = history.data * (self._labels.n_of_item > 0)[history.indices]
        owner = np.repeat(np.arange(len(queries)), np.diff(history.indptr))
        n_events = np.bincount(owner, weights=known, minlength=len(queries))
        prior = (config.prior_events / (n_events + config.prior_events)).astype(np.float32)
        liked = weighted_sparse_sums(history, self._labels.share)
        liked /= (n_events + config.prior_events).astype(np.float32)[:, None]
        stated, rest = self._stated(queries, prior)
        asked = np.repeat(np.arange(len(queries)), np.diff(stated.indptr))
        liked[asked, stated.indices] += stated.data
        return Csr(liked), rest

    def _stated(self, queries: Queries, prior: Floats) -> tuple[Csr, Floats]:
        """Mass a stated taste brings to each label, and what is left of the population's ``(n,)``.

        Args:
            queries: The requests.
            prior: Share of the population's taste in each profile, ``(n,)``.
        """
        stated = self._labels.stated(queries)
        mass = stated.data * self._population[stated.indices]
        asked = np.repeat(np.arange(len(queries)), np.diff(stated.indptr))
        total = np.bincount(asked, weights=mass, minlength=len(queries))
        names_some = total > 0
        moved = np.where(names_some, 1 - self.config.beyond_taste, 0.0) * prior
        mass *= (moved / np.where(names_some, total, 1))[asked].astype(np.float32)
        brought = Csr((mass, stated.indices, stated.indptr), shape=stated.shape)
        return brought, (prior - moved).astype(np.float32)

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """Popularity times what each item of the history, or a taste, brings to the item's labels."""
        liked, weight = weighted_items(query, self.config)
        n_events = float(weight[self._labels.n_of_item[liked] > 0].sum())
        total = np.float32(n_events + self.config.prior_events)
        prior = np.array([self.config.prior_events / total], dtype=np.float32)
        stated, rest = self._stated(query, prior)
        columns = carried(self._labels, item_rows)
        popularity = self._popularity[item_rows]
        lift = corner(self._labels.share, item_rows, columns)
        lift /= np.maximum(self._population[columns], np.finfo(np.float32).tiny)
        nobody = np.zeros(1, dtype=np.int32)
        return lifted_parts(
            self._labels,
            item_rows,
            worth=np.nan_to_num(popularity)[:, None] * lift,
            history=(liked, weight / total),
            stated=corner(stated, nobody, columns)[0],
            # An item without labels keeps all of its own.
            popularity=popularity * np.where(self._labels.n_of_item[item_rows] > 0, rest, 1),
        )

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        """Largest cosine between the labels of an item and of one in the history."""
        return self._labels.nearest(query.positives.indices, item_rows)

    def _state(self) -> Arrays:
        return {
            **self._labels.state(),
            "popularity": self._popularity,
            "population": self._population,
        }

    def _restore(self, state: Arrays) -> None:
        self._labels = ItemLabels.restore(state)
        self._popularity = state["popularity"].astype(np.float32, copy=False)
        self._population = state["population"].astype(np.float32, copy=False)
        self._index()
