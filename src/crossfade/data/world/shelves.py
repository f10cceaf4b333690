"""Where tracks are proposed from: shelves of one day, ordered by genre and weighted."""

from dataclasses import dataclass

import numpy as np

from crossfade.data.world.catalogue import Tracks
from crossfade.types import Doubles, Ints, Rows

NEW_DAYS = 28


@dataclass(frozen=True)
class Shelf:
    """Tracks to draw from, by genre, in proportion to a weight.

    Attributes:
        order: Tracks by genre, ``(n_tracks,)``.
        start: Where each genre starts in ``order``, ``(n_genres + 1,)``.
        edges: Running sum of the weights with a leading 0, ``(n_tracks + 1,)``.
    """

    order: Ints
    start: Ints
    edges: Doubles

    def draw(self, genre: Ints, rng: np.random.Generator) -> Rows:
        """One track per entry of ``genre``."""
        return self._between(self.start[genre], self.start[genre + 1], rng)

    def draw_any(self, shape: tuple[int, ...], rng: np.random.Generator) -> Rows:
        """Tracks of any genre."""
        ends = np.zeros(shape, dtype=np.int64), np.full(shape, len(self.order))
        return self._between(*ends, rng)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be drawn."""
        return bool(self.edges[-1] == 0)

    def _between(self, low: Ints, high: Ints, rng: np.random.Generator) -> Rows:
        left, right = self.edges[low], self.edges[high]
        point = left + rng.random(low.shape) * (right - left)
        place = np.searchsorted(self.edges, point, side="right") - 1
        # Rounding may land on the right edge. The last track of a genre is its oldest (see
        # `Shelves.on`), so stepping back never plays one before its release.
        found: Rows = self.order[np.minimum(place, high - 1)].astype(np.int32)
        return found


@dataclass(frozen=True)
class Shelves:
    """The three shelves of one day: by popularity, flatter, and new releases only."""

    popular: Shelf
    wide: Shelf
    new: Shelf

    @classmethod
    def on(cls, day: int, tracks: Tracks) -> "Shelves":
        """Shelves of one day: nothing unreleased, and a hype that fades within weeks."""
        age = day - tracks.release_day
        out = age >= 0
        hype = np.where((tracks.release_day >= 0) & out, 5 * np.exp(-age.clip(0) / 12), 0.0)
        weight = np.where(out, tracks.appeal * (1 + hype), 0.0)
        order = np.lexsort((-tracks.release_day, tracks.genre))
        start = np.searchsorted(tracks.genre[order], np.arange(tracks.genre.max() + 2))

        def shelf(weights: Doubles) -> Shelf:
            return Shelf(order, start, np.concatenate([[0.0], np.cumsum(weights[order])]))

        return cls(
            popular=shelf(weight),
            wide=shelf(np.sqrt(weight)),
            new=shelf(np.where(out & (age < NEW_DAYS), weight, 0.0)),
        )
