"""Listeners of the synthetic world: kinds, tastes that drift, habits and friends."""

from dataclasses import dataclass

import numpy as np

from crossfade.data.world.config import KINDS, WorldConfig
from crossfade.data.world.taste import Taste
from crossfade.types import Bools, Doubles, Floats, Ints, Rows


@dataclass(frozen=True)
class Listeners:
    """What is true of each listener.

    Attributes:
        kind: Place in `KINDS`, shape ``(n,)``.
        community: Group of common taste, ``(n,)``.
        first_day: Day of the log from which they listen, ``(n,)``.
        sessions_per_day: Expected number, ``(n,)``.
        peak_hour: Hour of day they listen around, UTC, ``(n,)``.
        taste_start: Taste on the first day of the log.
        taste_goal: Taste they drift towards.
        drift: Share of the way gone by the last day, ``(n,)``.
        friends: Friend rows, -1 as filler, ``(n, most)``.
    """

    kind: Ints
    community: Ints
    first_day: Ints
    sessions_per_day: Doubles
    peak_hour: Doubles
    taste_start: Taste
    taste_goal: Taste
    drift: Floats
    friends: Rows

    def trait(self, name: str) -> Doubles:
        """One numeric trait of `Kind` for every listener."""
        return np.array([getattr(kind, name) for kind in KINDS], dtype=np.float64)[self.kind]

    def taste(self, progress: float) -> Taste:
        """Taste when ``progress`` (0 to 1) of the log has passed."""
        return self.taste_start.towards(self.taste_goal, self.drift * np.float32(progress))


def make_listeners(config: WorldConfig, rng: np.random.Generator) -> Listeners:
    """Draw all listeners."""
    n = config.n_listeners
    kind = _kinds(n, rng)
    community = rng.integers(config.n_communities, size=n)
    sharpness = np.array([k.taste_sharpness for k in KINDS])[kind][:, None]
    first_day = np.where(
        rng.random(n) < config.late_joiner_share, rng.integers(config.n_days, size=n), 0
    )
    listeners = Listeners(
        kind=kind,
        community=community,
        first_day=first_day,
        sessions_per_day=np.zeros(n),
        peak_hour=np.where(rng.random(n) < 0.3, rng.normal(8, 1, n), rng.normal(19, 2, n)) % 24,
        taste_start=draw_taste(config, community, sharpness, rng),
        taste_goal=draw_taste(config, rng.integers(config.n_communities, size=n), sharpness, rng),
        drift=(np.array([k.drift for k in KINDS])[kind] * config.drift)
        .clip(0, 1)
        .astype(np.float32),
        friends=_friends(kind, community, rng),
    )
    # Activity differs widely within a kind; the scale makes the whole world hit n_plays.
    relative = listeners.trait("sessions") * rng.lognormal(0.0, 0.6, n)
    days = config.n_days - first_day
    expected = (relative * days * listeners.trait("plays_per_session")).sum()
    listeners.sessions_per_day[:] = relative * config.n_plays / expected
    return listeners


def _kinds(n: int, rng: np.random.Generator) -> Ints:
    """Kinds in their stated shares, at least one listener of each."""
    edges = np.cumsum([kind.share for kind in KINDS])
    return rng.permutation(np.searchsorted(edges[:-1], (np.arange(n) + 0.5) / n))


def draw_taste(
    config: WorldConfig, community: Ints, sharpness: Doubles, rng: np.random.Generator
) -> Taste:
    """Half of a taste is shared with the community, half is one's own."""

    def prefer(n_options: int) -> Floats:
        shared = rng.normal(0.0, 1.0, (config.n_communities, n_options))[community]
        own = rng.normal(0.0, 0.7, (len(community), n_options))
        return (sharpness * (shared + own)).astype(np.float32)

    return Taste(prefer(config.n_genres), prefer(config.n_scenes), prefer(config.n_moods))


def _friends(kind: Ints, community: Ints, rng: np.random.Generator) -> Rows:
    """Directed friendships, four fifths of them inside the community."""
    n = len(kind)
    wanted = 1 + rng.poisson(np.array([k.friends - 1 for k in KINDS])[kind])
    friends = np.full((n, int(wanted.max())), -1, dtype=np.int32)
    members = np.argsort(community, kind="stable")
    start = np.searchsorted(community[members], np.arange(community.max() + 2))
    size = np.diff(start)[community]
    same = rng.random(friends.shape) < 0.8
    inside = start[community][:, None] + rng.integers(0, size[:, None], friends.shape)
    chosen = np.where(same, members[inside], rng.integers(n, size=friends.shape))
    keep: Bools = np.arange(friends.shape[1]) < wanted[:, None]
    keep &= chosen != np.arange(n)[:, None]
    friends[keep] = chosen[keep]
    # Filler goes last and nobody counts twice, so a draw among the first few is a fair one.
    for row in friends:
        unique = np.unique(row[row >= 0])
        row[:] = -1
        row[: len(unique)] = unique
    return friends
