"""From requests to what the user tower reads, with everything that was fitted for it."""

from dataclasses import dataclass

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.features import fit_reference
from crossfade.features.activity import activity_features
from crossfade.features.items import ItemArrays, ItemSchema, ItemSchemaConfig
from crossfade.features.reference import SessionFeatureConfig, SessionReference
from crossfade.features.scaler import SessionScaler, SessionScalerConfig
from crossfade.features.trends import LabelTrends, TrendConfig
from crossfade.recommenders.two_tower.config import ItemTowerConfig, UserTowerConfig
from crossfade.recommenders.two_tower.inputs import UserInputs
from crossfade.types import Arrays, Bools, Floats

_ARRAYS = (
    "creator_row",
    "genre_indptr",
    "genre_row",
    "mood_indptr",
    "mood_row",
    "audio",
    "audio_confidence",
    "numeric",
)


@dataclass(frozen=True, eq=False)
class Reader:
    """Fitted on the log before the cut, used alike for training and for serving.

    Attributes:
        config: What the user tower reads.
        schema: How items become arrays.
        items: The whole catalogue.
        trends: Where the tower reads them and the log has times, else None.
        activity: Reference and scale of the session features, where the tower reads them.
    """

    config: UserTowerConfig
    schema: ItemSchema
    items: ItemArrays
    trends: LabelTrends | None
    activity: tuple[SessionReference, SessionScaler] | None

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        known: Bools,
        item: ItemTowerConfig,
        user: UserTowerConfig,
    ) -> "Reader":
        """Learn vocabularies and scales."""
        schema = ItemSchema.fit(dataset.items, known, _schema_config(item))
        items = schema.transform(dataset.items)
        return cls(
            config=user,
            schema=schema,
            items=items,
            trends=LabelTrends.fit(dataset, items, schema) if user.trends else None,
            activity=_fit_activity(dataset) if user.activity_dim else None,
        )

    def renewed(self, dataset: Dataset) -> "Reader":
        """The same vocabularies and scales, which the weights belong to, over a log that went on."""
        items = self.schema.transform(dataset.items)
        trends, activity = self.trends, self.activity
        return Reader(
            config=self.config,
            schema=self.schema,
            items=items,
            trends=None if trends is None else LabelTrends.fit(dataset, items, self.schema),
            activity=None if activity is None else (fit_reference(dataset), activity[1]),
        )

    def read(self, queries: Queries) -> UserInputs:
        """What the tower reads of some requests."""
        return UserInputs.make(
            queries,
            self.items,
            self.schema,
            self.config,
            trends=self.trends,
            activity=self._activity(queries),
        )

    def _activity(self, queries: Queries) -> Floats | None:
        if self.activity is None:
            return None
        reference, scaler = self.activity
        values, known = scaler.transform(activity_features(queries, reference))
        return np.hstack([values, known]).astype(np.float32)

    def to_arrays(self) -> Arrays:
        """Everything but the settings."""
        parts = {"schema": self.schema.to_arrays()}
        parts["items"] = {name: getattr(self.items, name) for name in _ARRAYS}
        if self.trends is not None:
            parts["trends"] = self.trends.to_arrays()
        if self.activity is not None:
            parts["reference"] = self.activity[0].to_arrays()
            parts["scaler"] = self.activity[1].to_arrays()
        return {f"{part}.{name}": a for part, arrays in parts.items() for name, a in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Arrays, item: ItemTowerConfig, user: UserTowerConfig) -> "Reader":
        """The inverse of `to_arrays`."""
        parts: dict[str, Arrays] = {}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        activity = None
        if "reference" in parts:
            activity = (
                SessionReference.from_arrays(parts["reference"], SessionFeatureConfig()),
                SessionScaler.from_arrays(parts["scaler"], SessionScalerConfig()),
            )
        return cls(
            config=user,
            schema=ItemSchema.from_arrays(parts["schema"], _schema_config(item)),
            items=ItemArrays(**{name: parts["items"][name] for name in _ARRAYS}),  # type: ignore[arg-type]
            trends=LabelTrends.from_arrays(parts["trends"], TrendConfig())
            if "trends" in parts
            else None,
            activity=activity,
        )


def _schema_config(config: ItemTowerConfig) -> ItemSchemaConfig:
    return ItemSchemaConfig(max_genres=config.max_genres, max_moods=config.max_moods)


def _fit_activity(dataset: Dataset) -> tuple[SessionReference, SessionScaler]:
    reference = fit_reference(dataset)
    users = np.unique(dataset.events["user_row"].to_numpy())
    features = activity_features(dataset.queries(users), reference)
    return reference, SessionScaler.fit(features, reference.fitted_until_us)
