"""The whole system in one file: fit bases, learn to blend them out of time, recommend.

dataset ──cut by time──► base | fuse | calibrate | (test)
bases fitted on base      ──► lists of the fuse block ──► static weights, and a fusion model
bases fitted on base+fuse ──► lists of calibrate      ──► which of them does no harm
bases fitted on everything ──► bundle ──► recommend, explain, predict, similar
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.data.asking import Likes
from crossfade.data.frames import Frame
from crossfade.data.splits import make_plan, possible_protocol
from crossfade.data.vocabulary import check_texts
from crossfade.errors import ConfigError
from crossfade.features.situation import Context
from crossfade.index import Index, IndexConfig
from crossfade.meta.assembling import assemble, prepare
from crossfade.meta.blending import BlendChoice, fit_bases
from crossfade.meta.bundling import packed, unpacked
from crossfade.meta.config import DEFAULT_BASES, HybridConfig
from crossfade.meta.explaining import Explainer, explained
from crossfade.meta.exporting import index_base
from crossfade.meta.keeping import ListCache
from crossfade.meta.learning import LearnedBlend, learn
from crossfade.meta.nearest import Near
from crossfade.meta.predicting import predict_pairs
from crossfade.meta.recommendation import Recommendation, Recommendations
from crossfade.meta.requests import RequestMaker
from crossfade.meta.serving import Filters, ListMaker, list_table
from crossfade.meta.similar import similar_items
from crossfade.meta.updating import Mode, change_since, update_bases
from crossfade.notebook import html_table
from crossfade.ranking import RankingConfig
from crossfade.recommenders.base import Recommender
from crossfade.store import Bundle, save_bundle
from crossfade.training.config import DeviceName
from crossfade.types import Arrays

__all__ = ["DEFAULT_BASES", "HybridConfig", "HybridModel", "Recommendation"]


class HybridModel:
    """A trained system: a log and catalogue, fitted bases, and their blend.

    ``derived`` is what a bundle kept of what follows from the data set; the rest is computed.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: HybridConfig,
        bases: dict[str, Recommender[Any]],
        choice: BlendChoice,
        *,
        exclude_seen: bool,
        seed: int,
        version: str = "",
        previous: str | None = None,
        learned: LearnedBlend | None = None,
        near: Mapping[str, Near] | None = None,
        derived: Mapping[str, Arrays] | None = None,
    ) -> None:
        self.dataset = dataset
        self.config = config
        self.bases = bases
        self.learned = learned
        self.near = near or {}
        """What bases of a large catalogue propose through, by label."""
        kept = derived or {}
        self.blend = assemble(
            dataset,
            config,
            bases,
            choice,
            learned,
            exclude_seen=exclude_seen,
            near=self.near,
            kept=kept.get("context"),
        )
        calibrator = None if learned is None else learned.calibrator
        self.lists = ListMaker(dataset, self.blend, calibrator, kept.get("ranking"))
        self.explainer = Explainer(dataset, bases, self.blend, learned, config.explain)
        self.asking = RequestMaker(dataset, self.blend, learned)
        self.seed = seed
        self.version = version
        self.previous = previous
        """Version this one was updated from; None after a full fit."""

    def __repr__(self) -> str:
        version = f"version {self.version}" if self.version else "not saved"
        return f"HybridModel({self.dataset.name!r}, {len(self.bases)} bases, {self.blend.name} serves, {version})"

    def _repr_html_(self) -> str:
        weights = self.blend.choice.weights
        rows = [(label, repr(base), weights[label]) for label, base in self.bases.items()]
        return html_table(("base", "model", "static weight"), rows, repr(self))

    @property
    def mode(self) -> Mode:
        """How the bases were fitted: in full, or as a weekly update of `previous`."""
        return "full" if self.previous is None else "weekly"

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        config: HybridConfig | None = None,
        seed: int = 0,
        choice: BlendChoice | None = None,
        learned: LearnedBlend | None = None,
        *,
        cache: ListCache | None = None,
    ) -> Self:
        """Learn to blend out of time, then fit every base on the whole log.

        Data without times is cut per user instead.

        Args:
            dataset: The whole log.
            config: Settings; the defaults if None.
            seed: The run's one seed.
            choice: A static blend already tuned with these bases on this log; None tunes one,
                and learns the fusion model of the settings.
            learned: A fusion model already learned with it; None serves the static blend of
                ``choice``.
            cache: Keeps candidate lists from run to run, see `learn`; None keeps nothing.

        Raises:
            ConfigError: If settings are wrong.
            DataError: If the log is too small to be cut.
        """
        config = config or HybridConfig()
        if config.target is not None:
            dataset = dataset.with_target(config.target)
        protocol = config.protocol
        if choice is None:
            plan = make_plan(dataset, protocol, seed)
            names = (config.blend.fusion,)
            found = learn(plan, config.bases, config.blend, names, seed, cache=cache)
            choice, learned = found.choice, found.blend(config.blend.fusion)
        bases = fit_bases(config.bases, dataset, seed)
        exclude_seen = possible_protocol(dataset, protocol).name != "repeat"
        return cls(
            dataset,
            config,
            bases,
            choice,
            exclude_seen=exclude_seen,
            seed=seed,
            learned=learned,
            near=prepare(dataset, config, bases, learned, seed),
        )

    @classmethod
    def update(
        cls,
        previous: "HybridModel",
        dataset: Dataset,
        seed: int = 0,
        device: DeviceName | None = None,
    ) -> Self:
        """A new version of a system whose log went on.

        Bases that can go on from what they know do so; the others are fitted afresh. The
        settings and the blend are kept, so a change of taste between the bases needs `fit`.
        What the bases serve all comes from this update; nothing of the old version is served.

        Args:
            previous: A saved system; it is not changed.
            dataset: The whole log, old events too, and the catalogue of today.
            seed: The run's one seed.
            device: Where networks are trained; None leaves it as it was.

        Raises:
            ConfigError: If ``previous`` was never saved, and so has no version to name.
            DataError: If the data set has no times, is another one, or has no newer event; or if
                its catalogue has columns that the blend did not learn with, or lacks some.
        """
        if not previous.version:
            raise ConfigError("the previous system has no version to go on from; save it first")
        config = previous.config if device is None else previous.config.on_device(device)
        if config.target is not None:
            dataset = dataset.with_target(config.target)
        change = change_since(previous.dataset, dataset, previous.version)
        bases = update_bases(previous.bases, config.bases, dataset, change, seed)
        learned = None if previous.learned is None else previous.learned.moved(change.user_rows)
        return cls(
            dataset,
            config,
            bases,
            previous.blend.choice,
            exclude_seen=previous.blend.exclude_seen,
            seed=seed,
            previous=previous.version,
            learned=learned,
            near=prepare(dataset, config, bases, learned, seed),
        )

    def index(self, base: str | None = None, config: IndexConfig | None = None) -> Index:
        """An index over the item vectors of one base, under this system's version.

        Raises:
            ConfigError: If the system was never saved, or as in `index_base`.
            MissingExtraError: If FAISS is needed and not installed.
        """
        if not self.version:
            raise ConfigError("the system has no version yet; save it, then build the index")
        return index_base(self.bases, base, config, self.version, self.seed)

    def query(
        self,
        user: str | None = None,
        items: Sequence[str] = (),
        as_of: datetime | None = None,
        genres: Sequence[str] = (),
        moods: Sequence[str] = (),
        *,
        context: Context | None = None,
    ) -> Queries:
        """The request of a known user, or of a stranger, with what they say they like.

        Liked items are the newest events of the history. What is unknown is left out as long
        as anything is known; `unknown` says what that is.

        Raises:
            UnknownIdError: If the user is unknown, or no user is given and all of the items,
                genres and moods are unknown.
            ConfigError: As in `recommend`.
        """
        return self.asking.make(Likes(items, genres, moods), user, as_of, context)

    def unknown(
        self, items: Sequence[str] = (), genres: Sequence[str] = (), moods: Sequence[str] = ()
    ) -> list[str]:
        """One sentence for the items, and for each genre or mood, that nobody knows."""
        return self.asking.unknown(Likes(items, genres, moods))

    def recommend(
        self,
        *,
        user: str | None = None,
        items: Sequence[str] = (),
        genres: Sequence[str] = (),
        moods: Sequence[str] = (),
        k: int = 10,
        as_of: datetime | None = None,
        context: Context | None = None,
        filters: Filters | None = None,
        ranking: RankingConfig | None = None,
        explain: bool = False,
        rng: np.random.Generator | None = None,
    ) -> Recommendations:
        """The best items for one person, best first, ties by item row.

        Without a user the person is a stranger; without anything else either, an unknown
        one. For a known user, what they say they like adds to their history. Stated genres
        and moods lead the list of a stranger and hand over to the history as it grows.

        Args:
            user: Someone in the log.
            items: Items the person likes.
            genres: Genres the person likes, in any case.
            moods: Moods the person likes, in any case.
            k: How many, 1 or more; fewer come back when fewer can be scored.
            as_of: Look at the user's history strictly before this; None takes all of it.
            context: The situation of the request, such as ``{"device": "phone"}``, in columns that
                the blend learned with; it takes the place of the latest known one.
            filters: What must hold for every item; None asks for nothing.
            ranking: How candidates become a list; None takes the settings.
            explain: Whether to say why each item is there.
            rng: For places left to chance; needed where ``ranking.explore`` is above 0.

        What is unknown is ignored as long as anything is known; see `unknown`.

        Raises:
            UnknownIdError: If the user is unknown, or no user is given and all of the items,
                genres and moods are unknown.
            ConfigError: If k is less than 1, ``as_of`` comes without a user, genres or moods
                are given and no base reads them, as `rank` where filters contradict themselves,
                or as `stated` where the blend did not learn with the context.
        """
        self._list_length(k)
        query = self.query(user, items, as_of, genres, moods, context=context)
        ranking = ranking or self.config.ranking
        (served,) = self.lists.serve(query, k, ranking, filters, rng)
        why = self.explainer.explain(query, served) if explain else None
        return self.lists.lines(query, served, why)

    def explain(
        self, user: str, item: str, as_of: datetime | None = None, context: Context | None = None
    ) -> Recommendation | None:
        """What speaks for one item, for somebody in the log, whether it would be listed or not.

        Returns:
            The item as in `recommend` with reasons, ranked by score alone among the candidates
            and itself; None where nobody can score it: an item no base knows enough of, or one
            the person knows where those are not listed.

        Raises:
            UnknownIdError: If the user or the item is unknown.
            ConfigError: As `stated` where the blend did not learn with the context.
            DataError: If ``as_of`` is given and the data has no times.
        """
        query = self.query(user, as_of=as_of, context=context)
        return explained(self.lists, self.explainer, query, self.dataset.item_ids.row(item))

    def predict(self, pairs: Frame | Sequence[tuple[str, str]]) -> pl.DataFrame:
        """Score and probability of pairs of a user and an item; see `predict_pairs`."""
        calibrator = None if self.learned is None else self.learned.calibrator
        return predict_pairs(self.dataset, self.blend, calibrator, pairs)

    def recommend_batch(
        self,
        users: Sequence[str] | None = None,
        k: int = 10,
        filters: Filters | None = None,
        ranking: RankingConfig | None = None,
        rng: np.random.Generator | None = None,
    ) -> pl.DataFrame:
        """The lists of many users, as `recommend` gives them one by one.

        Args:
            users: Who; None takes everybody in the log.
            k: How many for each, 1 or more.
            filters: As in `recommend`.
            ranking: As in `recommend`.
            rng: As in `recommend`.

        Returns:
            ``user_id``, ``rank`` (1 for the best), ``item_id``, ``score``, ``probability`` (null where
            no calibrated model spoke) and ``propensity``; users in the order they are given.

        Raises:
            UnknownIdError: If a user is unknown.
            ConfigError: As in `recommend`, and if ``users`` is no list of texts.
        """
        self._list_length(k)
        ids = self.dataset.user_ids
        check_texts("users", () if users is None else users)
        rows = np.arange(len(ids)) if users is None else [ids.row(user) for user in users]
        queries = self.dataset.queries(np.asarray(rows, dtype=np.int32))
        served = self.lists.serve(queries, k, ranking or self.config.ranking, filters, rng)
        return list_table(ids.decode(queries.user_row), served, self.dataset.item_ids.ids)

    def similar(self, item: str, k: int = 10) -> tuple[str, Recommendations]:
        """Items like one item: by who plays them, or by content for items nobody played.

        Returns:
            Label of the base that knows, and the items with its similarity as score. Empty
            when no base knows the item.

        Raises:
            UnknownIdError: If the item is unknown.
            ConfigError: If k is less than 1.
        """
        k = self._list_length(k)
        label, rows, similarity = similar_items(self.bases, self.dataset.item_ids.row(item), k)
        return label, self.lists.names.lines(rows, similarity)

    def save(self, directory: Path | str) -> str:
        """Write the bundle; returns its version id."""
        self.version = save_bundle(self.bundle(), Path(directory))
        return self.version

    def bundle(self) -> Bundle:
        """Everything that `save` writes."""
        return packed(
            self.dataset,
            self.config,
            bases=self.bases,
            blend=self.blend,
            learned=self.learned,
            near=self.near,
            catalogue=self.lists.catalogue,
            seed=self.seed,
            mode=self.mode,
            previous=self.previous,
        )

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Read a bundle.

        Raises:
            BundleError: If it is missing, damaged, of another schema, or holds what nobody knows.
        """
        return unpacked(Path(directory), cls)

    def _list_length(self, k: int) -> int:
        if k < 1:
            raise ConfigError(f"k must be 1 or more, got {k}")
        return min(k, self.dataset.n_items)
