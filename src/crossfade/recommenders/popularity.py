"""Popularity that fades: what most people wanted lately."""

import numpy as np

from crossfade.config import Field, Settings
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import NONE, Attribution, of_parts
from crossfade.recommenders.base import Recommender
from crossfade.types import MICROSECONDS_PER_DAY, Arrays, Doubles, Floats, Rows


class PopularityConfig(Settings):
    """How fast popularity fades."""

    half_life_days: float | None = Field(
        90.0, gt=0, description="Days until a positive event counts half; unset: events never fade."
    )


class Popularity(Recommender[PopularityConfig]):
    """Sum of positive strength per item, each event halved every ``half_life_days``.

    All requests get the same scores. Events of data without times do not fade. An
    exponential decay keeps its ranking as time goes on, so one vector serves every
    request after training.
    """

    name = "popularity"
    Config = PopularityConfig
    serves_cold_users = True
    same_for_all = True
    attribution = "linear"

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        total = faded_strength(dataset, self.config.half_life_days)
        # The most popular item is 1; an all-negative log leaves every item at 0.
        self._share = (total / max(total.max(initial=0.0), np.finfo(np.float64).tiny)).astype(
            np.float32
        )
        self._share[self.support == 0] = np.nan

    def _score(self, queries: Queries) -> Floats:
        return np.broadcast_to(self._share, (len(queries), queries.n_items))

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:  # noqa: ARG002
        """All of it is the item's own popularity; no history has a part in it."""
        share = self._share[item_rows]
        nobody = np.array([NONE], dtype=np.int32)
        return of_parts(item_rows, nobody, share[:, None], np.where(np.isnan(share), share, 0))

    def _state(self) -> Arrays:
        return {"share": self._share}

    def _restore(self, state: Arrays) -> None:
        self._share = state["share"].astype(np.float32)


def faded_strength(dataset: Dataset, half_life_days: float | None) -> Doubles:
    """Sum of positive strength per item, halved every ``half_life_days`` before the newest event.

    Returns:
        Shape ``(n_items,)``. Without times, or a half-life of None, nothing fades.
    """
    weight: Doubles = dataset.events["strength"].to_numpy().astype(np.float64)
    if dataset.time_us is not None and half_life_days is not None and len(weight):
        age_days = (dataset.time_us[-1] - dataset.time_us) / MICROSECONDS_PER_DAY
        weight = weight * np.exp2(-age_days / half_life_days)
    rows = dataset.events["item_row"].to_numpy()
    return np.bincount(rows, weights=weight, minlength=dataset.n_items).astype(np.float64)
