"""What listeners remember from one day to the next."""

from dataclasses import dataclass

import numpy as np

from crossfade.data.world.catalogue import Tracks
from crossfade.data.world.shelves import Shelves
from crossfade.data.world.taste import Taste, one_of, utility
from crossfade.types import Doubles, Ints, Rows, Times

N_FAVOURITES = 40
N_RECENT = 30
N_TRIED = 8
"""Tracks tried before one of them becomes a favourite."""

FAVOURITE_TURNOVER = 0.004
"""Share of favourites that give way to a new one each day."""


@dataclass(frozen=True)
class Memory:
    """What has happened so far; changed in place as days go by.

    Attributes:
        recent_item: Ring of the latest plays, ``(n, N_RECENT)``.
        recent_us: When each was logged.
        n_plays: Plays so far, ``(n,)``; the next one goes to place ``n_plays % N_RECENT``.
        favourite: Favourites, most loved first, ``(n, N_FAVOURITES)``; -1 before the first day.
        busy_until_us: When a listener may start again, ``(n,)``.
    """

    recent_item: Rows
    recent_us: Times
    n_plays: Ints
    favourite: Rows
    busy_until_us: Times

    @classmethod
    def empty(cls, n: int) -> "Memory":
        """Before anything happened."""
        return cls(
            recent_item=np.full((n, N_RECENT), -1, dtype=np.int32),
            recent_us=np.full((n, N_RECENT), np.iinfo(np.int64).max),
            n_plays=np.zeros(n, dtype=np.int64),
            favourite=np.full((n, N_FAVOURITES), -1, dtype=np.int32),
            busy_until_us=np.zeros(n, dtype=np.int64),
        )

    def remember(self, user: Rows, item: Rows, time_us: Times) -> None:
        """Add plays, given by listener and time."""
        start = np.searchsorted(user, np.arange(len(self.n_plays) + 1))
        place = (self.n_plays[user] + np.arange(len(user)) - start[user]) % N_RECENT
        self.recent_item[user, place] = item
        self.recent_us[user, place] = time_us
        self.n_plays[:] += np.diff(start)

    def recent(self, user: Rows, before_us: Times, rng: np.random.Generator) -> Rows:
        """A recent play of each listener, later ones likelier; -1 where there is none earlier."""
        known = np.minimum(self.n_plays[user], N_RECENT)
        back = (known * rng.random(user.shape) ** 2).astype(np.int64)
        place = (self.n_plays[user] - 1 - back) % N_RECENT
        item = self.recent_item[user, place]
        return np.where((known > 0) & (self.recent_us[user, place] < before_us), item, -1)

    def refresh_favourites(
        self,
        share: float | Doubles,
        taste: Taste,
        tracks: Tracks,
        shelves: Shelves,
        rng: np.random.Generator,
    ) -> None:
        """A share of favourites, of all or of each listener ``(n, 1)``, gives way to new ones."""
        user, slot = np.nonzero(rng.random(self.favourite.shape) < share)
        genre = one_of(np.exp(taste.genre), np.repeat(user[:, None], N_TRIED, axis=1), rng)
        found = shelves.popular.draw(genre, rng)
        drive = utility(user, found, taste, tracks)
        best = (drive + rng.gumbel(size=drive.shape)).argmax(axis=1)
        self.favourite[user, slot] = found[np.arange(len(user)), best]
