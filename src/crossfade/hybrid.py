"""The whole system in one file: fit bases, tune their blend out of time, recommend.

dataset ──cut by time──► base | fuse | calibrate | (test)
bases fitted on base      ──► scores on fuse      ──► weights of the static blend
bases fitted on base+fuse ──► scores on calibrate ──► keep the blend, or the best base
bases fitted on everything ──► bundle ──► recommend, similar
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np

from crossfade.arrays import top_k
from crossfade.config import Field, Settings, validate
from crossfade.data import Dataset, Queries, Target
from crossfade.data.dataset import to_us
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.errors import BundleError, ConfigError, UnknownIdError
from crossfade.evaluation.config import EvaluationConfig
from crossfade.meta.blending import Blend, BlendChoice, BlendConfig, fit_bases, tune_blend
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.store import Bundle, load_bundle, save_bundle
from crossfade.types import Bools, Rows

DEFAULT_BASES: dict[str, dict[str, Any]] = {
    "popularity": {"model": "popularity", "half_life_days": 90.0},
    "trending": {"model": "popularity", "half_life_days": 7.0},
    "item_knn": {"model": "item_knn"},
    "ease": {"model": "ease"},
    "nmf": {"model": "nmf"},
    "ials": {"model": "ials"},
    "session_knn": {"model": "session_knn"},
    "content_knn": {"model": "content_knn"},
}


Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""Labels name files in a bundle and columns in reports."""


class HybridConfig(Settings):
    """Everything that can be set about a system."""

    bases: dict[Label, dict[str, Any]] = Field(
        DEFAULT_BASES,
        min_length=1,
        description="Base recommenders by label; `model` names the kind, the other keys are its settings.",
    )
    blend: BlendConfig = Field(BlendConfig(), description="How the blend is tuned.")
    protocol: ProtocolConfig = Field(ProtocolConfig(), description="How the log is cut.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="What is measured.")
    target: Target | None = Field(None, description="What counts as positive; unset: as imported.")


@dataclass(frozen=True)
class Recommendation:
    """One line of a list.

    Attributes:
        rank: 1 for the best.
        item_id: The item.
        title: From the catalogue, or None.
        creator: From the catalogue, or None.
        score: Blended score; comparable within one list only.
        weights: Share each base had in this score, by label.
    """

    rank: int
    item_id: str
    title: str | None
    creator: str | None
    score: float
    weights: dict[str, float]


class HybridModel:
    """A trained system: a log and catalogue, fitted bases, and their blend."""

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
    ) -> None:
        self.dataset = dataset
        self.config = config
        self.bases = bases
        self.blend = Blend(bases, choice, exclude_seen, self._candidates())
        self.seed = seed
        self.version = version

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        config: HybridConfig | None = None,
        seed: int = 0,
        choice: BlendChoice | None = None,
    ) -> Self:
        """Tune the blend out of time, then fit every base on the whole log.

        Data without times is cut per user instead.

        Args:
            dataset: The whole log.
            config: Settings; the defaults if None.
            seed: The run's one seed.
            choice: A blend already tuned with these bases on this log; None tunes one.

        Raises:
            ConfigError: If settings are wrong.
            DataError: If the log is too small to be cut.
        """
        config = config or HybridConfig()
        if config.target is not None:
            dataset = dataset.with_target(config.target)
        protocol = config.protocol
        if not dataset.has_times and protocol.name in {"time", "repeat"}:
            protocol = protocol.changed(name="user")
        if choice is None:
            plan = make_plan(dataset, protocol, seed)
            choice = tune_blend(plan, config.bases, config.blend, seed)
        bases = fit_bases(config.bases, dataset, seed)
        exclude_seen = protocol.name != "repeat"
        return cls(dataset, config, bases, choice, exclude_seen=exclude_seen, seed=seed)

    def _candidates(self) -> Bools | None:
        """What was evaluated is what is served: the same rule for what may be listed."""
        if self.config.protocol.candidates == "catalogue":
            return None
        times = self.dataset.time_us
        return self.dataset.known_items(None if times is None else int(times[-1]) + 1)

    def query(self, user: str | None, items: Sequence[str], as_of: datetime | None) -> Queries:
        """The request of a known user, or of a stranger who likes some items.

        Raises:
            UnknownIdError: If the user, or every item, is unknown.
        """
        if user is not None:
            row = self.dataset.user_ids.row(user)
            return self.dataset.queries([row], None if as_of is None else np.array([to_us(as_of)]))
        rows = self.dataset.item_ids.rows(items)
        if len(items) and (rows < 0).all():
            raise UnknownIdError(
                f"none of the {len(items)} items is known ({', '.join(items[:3])}); check the ids"
            )
        return Queries.of_items(rows[rows >= 0], self.dataset.n_items)

    def recommend(
        self,
        *,
        user: str | None = None,
        items: Sequence[str] = (),
        k: int = 10,
        as_of: datetime | None = None,
    ) -> list[Recommendation]:
        """The best items for one person, best first, ties by item row.

        Args:
            user: Someone in the log.
            items: Instead of a user: items a stranger likes; unknown ones are ignored as
                long as one is known. Without user and items, the stranger is unknown.
            k: How many, 1 or more; fewer come back when fewer can be scored.
            as_of: Look at the user's history strictly before this; None takes all of it.

        Raises:
            UnknownIdError: If the user, or every item, is unknown.
            ConfigError: If k is less than 1, both a user and items are given, or ``as_of``
                without a user.
        """
        if user is not None and len(items):
            raise ConfigError("give a user or items, not both; a user's own history is what counts")
        if user is None and as_of is not None:
            raise ConfigError("as_of cuts a user's history, a stranger has none; leave it out")
        k = self._list_length(k)
        query = self.query(user, items, as_of)
        score = self.blend.score_batch(query)
        rows = top_k(score, k)[0]
        rows = rows[rows >= 0]
        shares = self.blend.shares(query, rows)
        return [
            self._line(rank, int(row), float(score[0, row]), share)
            for rank, (row, share) in enumerate(zip(rows, shares, strict=True), start=1)
        ]

    def similar(self, item: str, k: int = 10) -> tuple[str, list[Recommendation]]:
        """Items like one item: by who plays them, or by content for items nobody played.

        Returns:
            Label of the base that knows, and the items with its similarity as score. Empty
            when no base knows the item.

        Raises:
            UnknownIdError: If the item is unknown.
            ConfigError: If k is less than 1.
        """
        k = self._list_length(k)
        row = self.dataset.item_ids.row(item)
        for label, base in self.bases.items():
            found = base.similar(row)
            if found is None:
                continue
            found = found.copy()
            found[row] = np.nan
            found[~(found > 0)] = np.nan
            rows: Rows = top_k(found[None, :], k)[0]
            if (rows >= 0).any():
                return label, [
                    self._line(rank, int(r), float(found[r]), {})
                    for rank, r in enumerate(rows[rows >= 0], 1)
                ]
        return "", []

    def save(self, directory: Path) -> str:
        """Write the bundle; returns its version id."""
        bases = self.bases
        header = {
            "config": self.config.model_dump(),
            "choice": vars(self.blend.choice),
            "exclude_seen": self.blend.exclude_seen,
            "seed": self.seed,
            "name": self.dataset.name,
            "target": self.dataset.target.model_dump(),
            "n_users": self.dataset.n_users,
            "n_items": self.dataset.n_items,
            "n_events": self.dataset.n_events,
        }
        arrays = {f"base-{label}": base.state() for label, base in bases.items()}
        self.version = save_bundle(Bundle(header, arrays, self.dataset.tables()), directory)
        return self.version

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a bundle.

        Raises:
            BundleError: If it is missing, damaged or from a newer crossfade.
        """
        bundle = load_bundle(directory)
        header = bundle.header
        try:
            config = validate(HybridConfig, header["config"], str(directory))
            target = validate(Target, header["target"], str(directory))
            dataset = Dataset.from_tables(bundle.frames, header["name"], target)
            bases = {
                label: type(base).restore(base.config.model_dump(), bundle.arrays[f"base-{label}"])
                for label, base in make_all(config.bases).items()
            }
            return cls(
                dataset,
                config,
                bases,
                BlendChoice(**{**header["choice"], "flags": tuple(header["choice"]["flags"])}),
                exclude_seen=header["exclude_seen"],
                seed=header["seed"],
                version=bundle.version,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{directory}: damaged ({error} is missing or wrong); fit again"
            ) from None

    def _list_length(self, k: int) -> int:
        if k < 1:
            raise ConfigError(f"k must be 1 or more, got {k}")
        return min(k, self.dataset.n_items)

    def _line(self, rank: int, row: int, score: float, weights: dict[str, float]) -> Recommendation:
        items = self.dataset.items
        return Recommendation(
            rank=rank,
            item_id=self.dataset.item_ids.id(row),
            title=items["title"][row] if "title" in items.columns else None,
            creator=items["creator"][row] if "creator" in items.columns else None,
            score=score,
            weights=weights,
        )
