"""What listeners like, and drawing from likings."""

from dataclasses import dataclass

import numpy as np

from crossfade.data.world.catalogue import Tracks
from crossfade.types import Doubles, Floats, Ints, Rows


@dataclass(frozen=True)
class Taste:
    """Log-preferences of all listeners at one moment.

    Attributes:
        genre: Shape ``(n_listeners, n_genres)``.
        scene: Shape ``(n_listeners, n_scenes)``.
        mood: Shape ``(n_listeners, n_moods)``.
    """

    genre: Floats
    scene: Floats
    mood: Floats

    def towards(self, other: "Taste", how_far: Floats) -> "Taste":
        """Each listener moved some way (0 stays, 1 arrives) towards another taste."""
        step = how_far[:, None]
        return Taste(
            self.genre + step * (other.genre - self.genre),
            self.scene + step * (other.scene - self.scene),
            self.mood + step * (other.mood - self.mood),
        )


def utility(user: Rows | Ints, item: Rows, taste: Taste, tracks: Tracks) -> Floats:
    """Taste of each listener ``(n,)`` for each of their proposals ``(n, k)``."""
    who = user[:, None]
    mood = np.einsum("nkm,nm->nk", tracks.mood[item], taste.mood[user])
    liking: Floats = (
        0.9 * taste.genre[who, tracks.genre[item]]
        + 0.7 * taste.scene[who, tracks.scene[item]]
        + 1.4 * mood
    )
    return liking


def one_of(weights: Floats | Doubles, rows: Rows | Ints, rng: np.random.Generator) -> Ints:
    """One column for each entry of ``rows``, in proportion to that row of ``weights``."""
    edges = np.cumsum(weights, axis=1, dtype=np.float64)
    point = rng.random(rows.shape) * edges[rows, -1]
    column: Ints = (point[..., None] >= edges[rows, :-1]).sum(axis=-1)
    return column
