"""What is known of a creator: the mean features of their other tracks."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.arrays import pack_strings, unpack_strings
from crossfade.types import Arrays, Doubles, Floats, Ints

N_CREATOR_NUMBERS = 17
"""Eight means, eight flags for features nobody knows, and how many tracks stand behind them."""


@dataclass(frozen=True)
class CreatorMeans:
    """Sums of standardised features over each creator's training tracks.

    Attributes:
        keys: One text per creator, sorted.
        total: Sum of known values, shape ``(n_creators, 8)``.
        count: Tracks with a known value, shape ``(n_creators, 8)``.
        shrinkage: Tracks of an average creator added to each mean.
    """

    keys: pl.Series
    total: Doubles
    count: Ints
    shrinkage: float

    @classmethod
    def of(cls, creator: pl.Series, values: Doubles, shrinkage: float) -> "CreatorMeans":
        """Take training tracks in.

        Args:
            creator: Key of each track's creator; null for nobody.
            values: Standardised features, shape ``(n, 8)``; NaN where unknown.
            shrinkage: See the class.
        """
        keys = creator.drop_nulls().unique().sort()
        rows = _rows(keys, creator)
        named = rows >= 0
        total = np.zeros((len(keys), values.shape[1]))
        count = np.zeros((len(keys), values.shape[1]), dtype=np.int64)
        known = ~np.isnan(values)
        np.add.at(total, rows[named], np.where(known, values, 0.0)[named])
        np.add.at(count, rows[named], known[named])
        return cls(keys, total, count, shrinkage)

    def numbers(self, creator: pl.Series, own: Doubles | None = None) -> Floats:
        """What a network is told about each item's creator, shape ``(n, N_CREATOR_NUMBERS)``.

        Args:
            creator: Key of each item's creator.
            own: Standardised features of the items themselves where they are among the
                training tracks: a track's own values never count (leave-one-out).

        Returns:
            All zeros for a creator nobody knows.
        """
        rows = _rows(self.keys, creator)
        named = rows >= 0
        n_features = self.total.shape[1]
        total, count = np.zeros((len(rows), n_features)), np.zeros((len(rows), n_features))
        total[named], count[named] = self.total[rows[named]], self.count[rows[named]]
        if own is not None:
            inside = named[:, None] & ~np.isnan(own)
            total -= np.where(inside, own, 0.0)
            count -= inside
        known = count > 0
        mean = np.where(known, total / np.maximum(count + self.shrinkage, 1.0), 0.0)
        size = np.log1p(count.max(axis=1, initial=0))[:, None]
        return np.concatenate([mean, known, size], axis=1).astype(np.float32)

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {
            **pack_strings("keys", self.keys.to_list()),
            "total": self.total,
            "count": self.count,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, shrinkage: float) -> "CreatorMeans":
        """The inverse of `to_arrays`."""
        keys = pl.Series("creator", unpack_strings("keys", arrays), dtype=pl.String)
        return cls(
            keys, arrays["total"].astype(np.float64), arrays["count"].astype(np.int64), shrinkage
        )


def _rows(keys: pl.Series, creator: pl.Series) -> Ints:
    """Place of each creator among the sorted keys, -1 where unknown."""
    places = creator.cast(pl.Enum(keys), strict=False).to_physical().cast(pl.Int64)
    return places.fill_null(-1).to_numpy()
