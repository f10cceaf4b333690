"""What the friends of a person did with the candidates."""

from dataclasses import dataclass

import numpy as np

from crossfade.arrays import pack_csr, unpack_csr
from crossfade.data import Dataset
from crossfade.types import Arrays, Csr, Doubles, Floats, Ints, Rows

SOCIAL = ("log_friends", "friend_share", "log_friend_wants")
"""Columns of `FriendFeatures.features`: log1p of the number of friends, share of them who wanted the
candidate, log1p of how many that are."""

REQUESTS_AT_ONCE = 256
"""Requests whose friends' items are summed together, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class FriendFeatures:
    """Friends and what they wanted, as of the end of one log.

    Friendship has a direction: only the friends a person names count. Nobody is their own
    friend, and a pair named twice counts once. The friend table has no times, so it is taken
    as it stands.

    Attributes:
        friends: 1 where the column's user is a friend of the row's, ``(n_users, n_users)``;
            None where the data has no friend table.
        wanted: 1 where a user had a positive event, ``(n_users, n_items)``.
    """

    friends: Csr | None
    wanted: Csr

    @classmethod
    def of(cls, log: Dataset) -> "FriendFeatures":
        """Those of a log that ends before the requests."""
        wanted = log.interactions()
        wanted.data = np.ones(wanted.nnz, dtype=np.int32)
        if log.friends is None:
            return cls(None, wanted)
        pairs = log.friends.select("user_row", "friend_row").unique()
        pairs = pairs.filter(pairs["user_row"] != pairs["friend_row"])
        places = (pairs["user_row"].to_numpy(), pairs["friend_row"].to_numpy())
        ones = np.ones(pairs.height, dtype=np.int32)
        return cls(Csr((ones, places), shape=(log.n_users, log.n_users)), wanted)

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        friends = {} if self.friends is None else pack_csr("friends", self.friends)
        return {**friends, **pack_csr("wanted", self.wanted)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "FriendFeatures":
        """The inverse of `to_arrays`."""
        friends = unpack_csr("friends", arrays) if "friends.data" in arrays else None
        return cls(friends, unpack_csr("wanted", arrays))

    def features(self, user_row: Rows, item_row: Rows) -> Floats:
        """What friends did with each candidate.

        Args:
            user_row: Who asks, ``(B,)``; -1 for strangers.
            item_row: Candidates, ``(B, L)``; -1 pads.

        Returns:
            Shape ``(B, L, len(SOCIAL))``; NaN where missing: everything for strangers, at padding
            and without a friend table, and the share for people without friends.

        Raises:
            ValueError: If a row is none of the log's.
        """
        n_users, n_items = self.wanted.shape
        for what, rows, n in (("user", user_row, n_users), ("item", item_row, n_items)):
            if rows.size and not (rows.min() >= -1 and rows.max() < n):
                raise ValueError(f"{what} rows must lie in -1 … {n - 1}")
        out = np.full((*item_row.shape, len(SOCIAL)), np.nan, dtype=np.float32)
        if self.friends is None:
            return out
        asks = np.flatnonzero(user_row >= 0)
        for start in range(0, len(asks), REQUESTS_AT_ONCE):
            some = asks[start : start + REQUESTS_AT_ONCE]
            out[some] = _of_people(self.friends[user_row[some]], self.wanted, item_row[some])
        out[item_row < 0] = np.nan
        return out


def _of_people(friends: Csr, wanted: Csr, item_row: Rows) -> Doubles:
    n_friends: Ints = np.diff(friends.indptr)[:, None]
    n_wanted = _entries(Csr(friends @ wanted), item_row)
    # Nobody's share of nothing is nothing known.
    none = np.full(item_row.shape, np.nan)
    share = np.divide(n_wanted, n_friends, out=none, where=n_friends > 0)
    n_each = np.broadcast_to(n_friends, item_row.shape)
    return np.stack([np.log1p(n_each), share, np.log1p(n_wanted)], axis=-1)


def _entries(matrix: Csr, columns: Rows) -> Ints:
    """Entries of each row at some columns, shape of ``columns``; 0 where none is stored."""
    matrix.sort_indices()
    n_rows, width = matrix.shape
    rows = np.arange(n_rows, dtype=np.int64)
    stored = np.repeat(rows, np.diff(matrix.indptr)) * width + matrix.indices
    asked = rows[:, None] * width + np.maximum(columns, 0)
    if not len(stored):
        return np.zeros(columns.shape, dtype=np.int64)
    place = np.minimum(np.searchsorted(stored, asked), len(stored) - 1)
    return np.where(stored[place] == asked, matrix.data[place], 0).astype(np.int64)
