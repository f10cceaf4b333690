"""What the base block says about items and users, so that no feature ever looks past it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfade.config import Field, Settings
from crossfade.types import MICROSECONDS_PER_DAY, Arrays, Bools, Doubles, Ints, Rows, Times

NO_TIME = int(np.iinfo(np.int64).min)
"""The integer that NumPy reads as NaT: the house spelling of an unknown time."""


class SessionFeatureConfig(Settings):
    """Windows and thresholds of the session features."""

    recent_days: float = Field(28, gt=0, description="Window of exploration_score, in days.")
    early_days: float = Field(
        30, gt=0, description="A first play within so many days of an item's birth is early."
    )
    head_share: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="Share of plays that the head of the catalogue takes; the rest is tail.",
    )
    min_plays_for_type: int = Field(
        20, ge=1, description="Plays below which a user's type is unknown."
    )
    explorer_quantile: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="Explorers repeat less than this quantile of the base block's users.",
    )
    loyalist_quantile: float = Field(
        0.75,
        gt=0,
        lt=1,
        description="Loyalists repeat more than this quantile of the base block's users.",
    )

    @property
    def recent_us(self) -> int:
        """The recent window in microseconds."""
        return round(self.recent_days * MICROSECONDS_PER_DAY)

    @property
    def early_us(self) -> int:
        """The early days in microseconds."""
        return round(self.early_days * MICROSECONDS_PER_DAY)


@dataclass(frozen=True)
class SessionReference:
    """Facts about items and users measured once, on the base block (see `fit_reference`).

    As of a moment inside the base block these facts still hold the rest of that block;
    moments at or after ``fitted_until_us`` are free of any look ahead.

    Attributes:
        config: Windows and thresholds.
        popularity: Popularity percentile of each item times `FIXED`, -1 where the base block
            never saw it, ``(n_items,)``.
        head: Whether an item belongs to the head of the catalogue, ``(n_items,)``.
        birth_us: When each item came out, `NO_TIME` where unknown, ``(n_items,)``.
        genre_indptr: Genres of item i are ``genre[genre_indptr[i]:genre_indptr[i + 1]]``.
        genre: Genre numbers.
        streaks: Longest streaks of the base block's users in days, ascending.
        repeat_quantiles: Repeat rates that bound explorers and loyalists; NaN if unknown.
        fitted_until_us: Just after the last event of the base block; `NO_TIME` without times.
    """

    config: SessionFeatureConfig
    popularity: Ints
    head: Bools
    birth_us: Times
    genre_indptr: Ints
    genre: Rows
    streaks: Ints
    repeat_quantiles: tuple[float, float]
    fitted_until_us: int

    @property
    def n_items(self) -> int:
        """Size of the catalogue it was fitted on."""
        return len(self.popularity)

    @cached_property
    def n_genres(self) -> int:
        """Number of different genres of the catalogue."""
        return int(self.genre.max()) + 1 if len(self.genre) else 0

    def genres_of(self, item_row: int) -> Rows:
        """Genre numbers of one item."""
        return self.genre[self.genre_indptr[item_row] : self.genre_indptr[item_row + 1]]

    def streak_percentile(self, longest_streak: Ints) -> Doubles:
        """Mid-rank of each streak among the base block's users, NaN for a streak of 0 days."""
        if not len(self.streaks):
            return np.full(len(longest_streak), np.nan)
        below = np.searchsorted(self.streaks, longest_streak, side="left")
        up_to = np.searchsorted(self.streaks, longest_streak, side="right")
        rank = (below + up_to) / (2 * len(self.streaks))
        return np.where(longest_streak > 0, rank, np.nan)

    def to_arrays(self) -> Arrays:
        """Everything but the settings, as plain arrays."""
        return {
            "popularity": self.popularity,
            "head": self.head,
            "birth_us": self.birth_us,
            "genre_indptr": self.genre_indptr,
            "genre": self.genre,
            "streaks": self.streaks,
            "repeat_quantiles": np.array(self.repeat_quantiles, dtype=np.float64),
            "fitted_until_us": np.array([self.fitted_until_us], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: SessionFeatureConfig) -> "SessionReference":
        """The inverse of `to_arrays`."""
        low, high = arrays["repeat_quantiles"].astype(np.float64).tolist()
        return cls(
            config=config,
            popularity=arrays["popularity"].astype(np.int64, copy=False),
            head=arrays["head"].astype(np.bool_, copy=False),
            birth_us=arrays["birth_us"].astype(np.int64, copy=False),
            genre_indptr=arrays["genre_indptr"].astype(np.int64, copy=False),
            genre=arrays["genre"].astype(np.int32, copy=False),
            streaks=arrays["streaks"].astype(np.int64, copy=False),
            repeat_quantiles=(low, high),
            fitted_until_us=int(arrays["fitted_until_us"].astype(np.int64)[0]),
        )
