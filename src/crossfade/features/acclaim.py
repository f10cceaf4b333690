"""The rating block of the documented item tower, as of a time.

The source document feeds it site scores as they were when somebody scraped them, which is
after the test period. Here it is counted from the log strictly before each moment.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.features.batch import count_before
from crossfade.features.dictionary import Feature
from crossfade.types import Doubles, Floats, Ints, Rows, Times

RATINGS_AT_FULL = 1_000
"""Ratings from which on an item counts as much rated as can be."""

_LOG = "the log strictly before as_of"
ACCLAIM_FEATURES: tuple[Feature, ...] = (
    Feature("acclaim", "score of a review site", "share", "none: sites give snapshots only", 0, 1, "always"),
    Feature(
        "popularity", "log(1 + positive events of the item) / log(1 + those of the item with the most)",
        "share", _LOG, 0, 1, "no positive event of any item yet",
    ),
    Feature(
        "n_ratings", f"ratings of the item / {RATINGS_AT_FULL:,}, at most 1", "share", _LOG, 0, 1,
        "no rating of anything yet",
    ),
    Feature(
        "mean_rating",
        "(mean rating of the item − lowest rating of anything) / (highest − lowest)",
        "share", _LOG, 0, 1, "no rating of the item yet, or all ratings so far are alike",
    ),
    Feature("critic_score", "mean score of critics", "share", "none: sites give snapshots only", 0, 1, "always"),
)  # fmt: skip
"""The five columns of `ItemAcclaim.at`: of the documented ones, three can be had as of a time."""

_COLUMN = {feature.name: column for column, feature in enumerate(ACCLAIM_FEATURES)}


@dataclass(frozen=True)
class ItemAcclaim:
    """What the log says of each item's fame, readable as of any moment.

    Attributes:
        indptr: Events of item ``i`` are ``[indptr[i], indptr[i + 1])`` of ``time_us``.
        time_us: By item and then by time; None where the log has no times.
        running: Positive events, ratings and their sum up to each event of that order, one
            row of zeros first: ``(n_events + 1, 3)``.
        log_us: Times of all events, ascending; None where the log has no times.
        most: Positive events of the item that has the most, after so many events of the log,
            ``(n_events + 1,)``.
        rating_range: Lowest and highest rating after so many events, NaN before the first,
            ``(n_events + 1, 2)``.
    """

    indptr: Ints
    time_us: Times | None
    running: Doubles
    log_us: Times | None
    most: Doubles
    rating_range: Doubles

    @classmethod
    def read(cls, dataset: Dataset) -> "ItemAcclaim":
        """Count a log once.

        Values are ratings unless the target takes their logarithm, which is for play counts.
        """
        item = dataset.events["item_row"].to_numpy()
        order = np.argsort(item, kind="stable")  # the log comes in order of time
        indptr = np.searchsorted(item[order], np.arange(dataset.n_items + 1)).astype(np.int64)
        liked = dataset.events["strength"].to_numpy() > 0
        value = _ratings(dataset)
        added = np.column_stack([liked, ~np.isnan(value), np.nan_to_num(value)])[order]
        running = np.vstack([np.zeros((1, 3)), np.cumsum(added, axis=0)])
        likes = np.empty(len(item))
        likes[order] = running[1:, 0] - running[indptr[item[order]], 0]
        before_all = np.concatenate([[np.nan], value])
        return cls(
            indptr=indptr,
            time_us=None if dataset.time_us is None else dataset.time_us[order],
            running=running,
            log_us=dataset.time_us,
            most=np.maximum.accumulate(np.concatenate([[0.0], likes])),
            rating_range=np.column_stack(
                [np.fmin.accumulate(before_all), np.fmax.accumulate(before_all)]
            ),
        )

    def at(self, item_rows: Rows, as_of_us: Times | None) -> Floats:
        """The rating block of some items, each as of a moment of its own.

        Args:
            item_rows: Which items, shape ``(n,)``; one item may be asked for several times.
            as_of_us: When, ``(n,)``; None takes the whole log, for data without times.

        Returns:
            Shape ``(n, 5)`` in the order of `ACCLAIM_FEATURES`, NaN where missing.

        Raises:
            DataError: If moments are given and the log has no times, or the other way round.
        """
        if (self.log_us is None) != (as_of_us is None):
            raise DataError(
                "item acclaim: "
                + (
                    "the log has no times, so leave as_of out"
                    if self.log_us is None
                    else "the log has times; say as of when"
                )
            )
        start, stop = self.indptr[item_rows], self.indptr[item_rows + 1]
        n_before = np.full(len(item_rows), len(self.most) - 1)
        if as_of_us is not None and self.time_us is not None and self.log_us is not None:
            stop = count_before(self.time_us, start, stop, as_of_us)
            n_before = np.searchsorted(self.log_us, as_of_us, side="left")
        likes, n_ratings, total = (self.running[stop] - self.running[start]).T
        most = self.most[n_before]
        low, high = self.rating_range[n_before].T
        out = np.full((len(item_rows), len(ACCLAIM_FEATURES)), np.nan)
        some = most > 0
        out[some, _COLUMN["popularity"]] = np.log1p(likes[some]) / np.log1p(most[some])
        rated = np.isfinite(low)
        out[rated, _COLUMN["n_ratings"]] = np.minimum(n_ratings[rated] / RATINGS_AT_FULL, 1.0)
        judged = (n_ratings > 0) & (high > low)
        mean = total[judged] / n_ratings[judged]
        share = (mean - low[judged]) / (high[judged] - low[judged])
        out[judged, _COLUMN["mean_rating"]] = np.clip(share, 0.0, 1.0)
        return out.astype(np.float32)


def ratings_before(dataset: Dataset, item_rows: Rows, as_of_us: int | None) -> tuple[Doubles, Ints]:
    """Mean rating of some items and how many made it, strictly before one moment.

    One look through the log for all of them, where `ItemAcclaim` answers many moments.

    Args:
        dataset: The log.
        item_rows: Which items, ``(n,)``.
        as_of_us: When; None takes the whole log.

    Returns:
        The mean as in ``mean_rating`` of `ACCLAIM_FEATURES`, NaN likewise, and the count.
    """
    if not _has_ratings(dataset):
        return np.full(len(item_rows), np.nan), np.zeros(len(item_rows), dtype=np.int64)
    events = dataset.events.select("item_row", pl.col("value").cast(pl.Float64).fill_nan(None))
    if as_of_us is not None and dataset.time_us is not None:
        events = events.head(int(np.searchsorted(dataset.time_us, as_of_us)))
    low, high = events.select(low=pl.col("value").min(), high=pl.col("value").max()).row(0)
    asked = pl.DataFrame({"item_row": item_rows}, schema={"item_row": events.schema["item_row"]})
    rated = events.join(asked, on="item_row", how="semi").group_by("item_row")
    found = asked.join(
        rated.agg(mean=pl.col("value").mean(), n=pl.col("value").count()),
        on="item_row",
        how="left",
        maintain_order="left",
    )
    mean: Doubles = found["mean"].fill_null(np.nan).to_numpy()
    n: Ints = found["n"].fill_null(0).cast(pl.Int64).to_numpy()
    return (np.full(len(mean), np.nan) if low == high else (mean - low) / (high - low)), n


def _has_ratings(dataset: Dataset) -> bool:
    return "value" in dataset.events.columns and dataset.target.strength != "log_value"


def _ratings(dataset: Dataset) -> Doubles:
    """Rating of each event, NaN where it is none."""
    if not _has_ratings(dataset):
        return np.full(dataset.n_events, np.nan)
    value: Doubles = dataset.events["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return value
