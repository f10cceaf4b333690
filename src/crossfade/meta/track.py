"""How each base did on a person's own last events, before it had seen them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfade.arrays import top_k
from crossfade.data import Dataset
from crossfade.data.splits import ProtocolConfig, Trial, make_plan
from crossfade.evaluation.judge import Scorer, rankable_scores
from crossfade.evaluation.metrics import locate
from crossfade.meta.signals import MAX_CELLS
from crossfade.types import Arrays, Csr, Doubles, Ints, Rows

DEPTH = 100
"""Places of a base's list that are looked at."""

SHRINK = 10.0
"""Wanted items at which a person's own record counts as much as everybody's."""

TRACKED = ("time", "user", "repeat", "leave-last")
"""Protocols in which people asked for again have been asked before."""


@dataclass(frozen=True, eq=False)
class TrackRecord:
    """Gains of each base on the items that each person wanted in the block before.

    An item at place ``r`` of a base's list, 1 for the first, gains ``1 / log2(r + 1)``; beyond
    `DEPTH`, or not listed, it gains 0.

    Attributes:
        gain: Summed, ``(n_users, S)``.
        n: Wanted items, ``(n_users,)``.
    """

    gain: Doubles
    n: Ints

    @classmethod
    def empty(cls, n_users: int, n_bases: int) -> "TrackRecord":
        """Nothing is known of anybody."""
        return cls(np.zeros((n_users, n_bases)), np.zeros(n_users, dtype=np.int64))

    @classmethod
    def of(cls, trial: Trial, bases: Sequence[Scorer]) -> "TrackRecord":
        """From bases fitted on ``trial.train``; strangers leave no record.

        Args:
            trial: The block before the one the record is for.
            bases: In the order of S.
        """
        record = cls.empty(trial.train.n_users, len(bases))
        relevant = Csr(trial.relevant)
        relevant.sort_indices()
        owner = np.repeat(trial.queries.user_row, np.diff(relevant.indptr))
        known = owner >= 0
        np.add.at(record.n, owner[known], 1)
        for place, batch in trial.queries.batches(max(1, MAX_CELLS // trial.queries.n_items)):
            entries = slice(int(relevant.indptr[place.start]), int(relevant.indptr[place.stop]))
            who = np.where(known[entries], owner[entries], 0)
            for s, base in enumerate(bases):
                lists = top_k(rankable_scores(base, trial, batch, place), DEPTH)
                _, rank = locate(lists, Csr(relevant[place]))
                listed = (rank >= 0) & known[entries]
                gain = np.where(listed, 1 / np.log2(np.maximum(rank, 0) + 2.0), 0.0)
                np.add.at(record.gain[:, s], who, gain)
        return record

    @cached_property
    def mean(self) -> Doubles:
        """Everybody's gain per wanted item, ``(S,)``; NaN where nobody wanted anything."""
        total: Doubles = (
            self.gain.sum(axis=0) / self.n.sum()
            if self.n.sum()
            else np.full(self.gain.shape[1], np.nan)
        )
        return total

    def features(self, user_row: Rows) -> Doubles:
        """For each request: gain of each base, drawn to everybody's mean, and log1p of the count.

        Args:
            user_row: -1 for strangers, who get the mean.

        Returns:
            Shape ``(B, S + 1)``; gains NaN where nobody has a record.
        """
        n = np.where(user_row >= 0, self.n[user_row], 0)[:, None]
        gain = np.where(user_row[:, None] >= 0, self.gain[user_row], 0.0)
        return np.hstack([(gain + SHRINK * self.mean) / (n + SHRINK), np.log1p(n)])

    def moved(self, user_rows: Rows) -> "TrackRecord":
        """The record in new rows; ``user_rows`` are the old ones of today's users, -1 for new people."""
        known = user_rows >= 0
        moved = TrackRecord.empty(len(user_rows), self.gain.shape[1])
        moved.gain[known], moved.n[known] = self.gain[user_rows[known]], self.n[user_rows[known]]
        return moved

    def to_arrays(self) -> Arrays:
        """As plain arrays."""
        return {"gain": self.gain, "n": self.n}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "TrackRecord":
        """The inverse of `to_arrays`."""
        gain = arrays["gain"].astype(np.float64, copy=False)
        return cls(gain, arrays["n"].astype(np.int64, copy=False))


def preceding_trial(dataset: Dataset, protocol: ProtocolConfig, seed: int) -> Trial | None:
    """The last block inside a base block, to it what the fuse block is to both together.

    Bases fitted on its ``train`` give the record for the fuse block. None for protocols in
    which nobody is asked twice.

    Args:
        dataset: What the bases of the fuse block learn from.
        protocol: How the whole log is cut.
        seed: As for the whole log.

    Raises:
        DataError: If the base block is too small to be cut.
    """
    if protocol.name not in TRACKED:
        return None
    share = protocol.fuse / (protocol.base + protocol.fuse)
    # Only the last cut matters; equal parts before it leave room for a share of any size.
    rest = (1 - share) / 3
    inner = protocol.changed(base=rest, fuse=rest, calibrate=rest, test=share, rolling_cuts=1)
    return make_plan(dataset, inner, seed).tests[0]
