"""A change of tastes at a declared time: concept drift whose beginning and end are known."""

from dataclasses import dataclass

import numpy as np

from crossfade.data.world.config import KINDS, TasteChange, WorldConfig
from crossfade.data.world.listeners import Listeners, draw_taste
from crossfade.data.world.taste import Taste
from crossfade.types import Bools, Doubles


@dataclass(frozen=True)
class Change:
    """Who comes to like what.

    Attributes:
        config: When, and how fast.
        taste: Of each listener once it is over; it drifts no more.
        befallen: Whom it befalls, ``(n,)``.
    """

    config: TasteChange
    taste: Taste
    befallen: Bools

    def at(self, taste: Taste, day: int) -> Taste:
        """Tastes of a day, from what they would be without the change."""
        return taste.towards(self.taste, np.float32(self._done(day)) * self.befallen)

    def dropped(self, day: int) -> Doubles:
        """Share of each one's favourites that give way that day, so that none is left when it is over, ``(n,)``."""
        before = self._done(day - 1)
        step = 0.0 if before == 1 else (self._done(day) - before) / (1 - before)
        return np.asarray(step * self.befallen, dtype=np.float64)

    def _done(self, day: int) -> float:
        return min(max((day - self.config.day + 1) / self.config.over_days, 0.0), 1.0)


def make_change(
    config: WorldConfig, listeners: Listeners, rng: np.random.Generator
) -> Change | None:
    """Draw it; None where the settings ask for none."""
    asked = config.taste_change
    if asked is None:
        return None
    n = config.n_listeners
    befallen = np.zeros(n, dtype=np.bool_)
    befallen[rng.permutation(n)[: round(asked.share * n)]] = True
    if asked.what == "genres":
        old = listeners.taste_start
        # A rotation of a shuffled order: every genre gives its place to another.
        order = rng.permutation(config.n_genres)
        genre = np.empty_like(old.genre)
        genre[:, order] = old.genre[:, np.roll(order, 1)]
        return Change(asked, Taste(genre, old.scene, old.mood), befallen)
    sharpness = np.array([kind.taste_sharpness for kind in KINDS])[listeners.kind][:, None]
    return Change(asked, draw_taste(config, listeners.community, sharpness, rng), befallen)
