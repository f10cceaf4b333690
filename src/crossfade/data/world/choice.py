"""Which track comes next, and why: proposals by reason, then a choice by taste."""

from dataclasses import dataclass

import numpy as np

from crossfade.data.world.catalogue import Tracks
from crossfade.data.world.config import KINDS, REASONS, Reason
from crossfade.data.world.listeners import Listeners
from crossfade.data.world.memory import N_FAVOURITES, Memory
from crossfade.data.world.shelves import Shelves
from crossfade.data.world.taste import Taste, one_of, utility
from crossfade.types import Floats, Ints, Rows, Times

N_PROPOSALS = 6
_CODE = {reason: code for code, reason in enumerate(REASONS)}


@dataclass(frozen=True)
class Today:
    """The world as it is on one day."""

    day: int
    tracks: Tracks
    listeners: Listeners
    taste: Taste
    shelves: Shelves


@dataclass(frozen=True)
class Sessions:
    """Sessions that start on one day, by listener and start; shapes ``(n_sessions,)``."""

    user_row: Rows
    start_us: Times
    n_plays: Ints
    device: Rows


@dataclass(frozen=True)
class Choice:
    """What is played and why, session by session; shapes ``(n_plays,)``.

    Attributes:
        item_row: The track.
        reason: Place in `REASONS`.
        affinity: Fit to the listener's taste of the day, 0 to 1.
        skip_probability: Lower for tracks that fit the taste and the session.
    """

    item_row: Rows
    reason: Rows
    affinity: Floats
    skip_probability: Floats


def choose(sessions: Sessions, today: Today, memory: Memory, rng: np.random.Generator) -> Choice:
    """Choose the tracks of all sessions of one day.

    Each play has a reason; the reason proposes a few tracks; taste and the session's
    genre and mood choose among them.
    """
    tracks, taste, listeners = today.tracks, today.taste, today.listeners
    session = np.repeat(np.arange(len(sessions.user_row)), sessions.n_plays)
    user = sessions.user_row[session]
    # Tempered, or every session of a listener would be about the one genre they like most.
    genre = one_of(np.exp(0.5 * taste.genre), sessions.user_row, rng)[session, None]
    mood = one_of(np.exp(taste.mood), sessions.user_row, rng)[session, None]

    odds = np.array([kind.reasons for kind in KINDS])
    reason = one_of(odds, listeners.kind[user], rng).astype(np.int32)
    start_us = sessions.start_us[session]
    proposals = _propose(reason, user, start_us, genre, today=today, memory=memory, rng=rng)

    liking = utility(user, proposals, taste, tracks)
    fit = 2.5 * tracks.mood[proposals, mood] + 2.5 * (tracks.genre[proposals] == genre)
    drive = np.where(proposals >= 0, liking + fit + rng.gumbel(size=liking.shape), -np.inf)
    picked = np.arange(len(user)), drive.argmax(axis=1)

    affinity = 1 / (1 + np.exp(-0.7 * liking[picked]))
    skippiness = listeners.trait("skippiness")[user] - 0.6 * (reason == _CODE[Reason.FAVOURITE])
    skip_logit = 1.0 + skippiness - 3.0 * affinity - 0.3 * fit[picked]
    return Choice(
        item_row=proposals[picked],
        reason=reason,
        affinity=affinity.astype(np.float32),
        skip_probability=(1 / (1 + np.exp(-skip_logit))).astype(np.float32),
    )


def _propose(
    reason: Rows,
    user: Rows,
    start_us: Times,
    session_genre: Ints,
    *,
    today: Today,
    memory: Memory,
    rng: np.random.Generator,
) -> Rows:
    """A few tracks for each play, -1 as filler; ``reason`` is mended where it has nothing to offer."""
    shelves = today.shelves
    who = np.repeat(user[:, None], N_PROPOSALS, axis=1)
    proposals = np.full(who.shape, -1, dtype=np.int32)
    at = {name: np.flatnonzero(reason == code) for name, code in _CODE.items()}

    loved = rng.random((len(at[Reason.FAVOURITE]), N_PROPOSALS)) ** 2
    favourite = memory.favourite[who[at[Reason.FAVOURITE]], (N_FAVOURITES * loved).astype(np.int64)]
    proposals[at[Reason.FAVOURITE]] = favourite
    for name, source in ((Reason.REPEAT, who), (Reason.SOCIAL, _friend(who, today.listeners, rng))):
        place = at[name]
        proposals[place] = memory.recent(source[place], start_us[place, None], rng)
    if not shelves.new.is_empty:
        place = at[Reason.NEW_RELEASE]
        proposals[place] = shelves.new.draw_any((len(place), N_PROPOSALS), rng)
    place = at[Reason.MOOD]
    genres = np.repeat(session_genre[place], N_PROPOSALS, axis=1)
    proposals[place] = shelves.popular.draw(genres, rng)

    # Nothing to repeat, no friend has played, nothing new is out: go exploring instead.
    reason[(proposals < 0).all(axis=1)] = _CODE[Reason.EXPLORE]
    place = np.flatnonzero(reason == _CODE[Reason.EXPLORE])
    genres = one_of(np.exp(0.5 * today.taste.genre), who[place], rng)
    proposals[place] = shelves.wide.draw(genres, rng)
    return proposals


def _friend(user: Rows, listeners: Listeners, rng: np.random.Generator) -> Rows:
    """A random friend of each listener."""
    n_friends = (listeners.friends >= 0).sum(axis=1)
    slot = (n_friends[user] * rng.random(user.shape)).astype(np.int64)
    friend = listeners.friends[user, slot]
    # Nobody to follow: one's own plays stand in, which keeps the draw whole.
    return np.where(friend >= 0, friend, user)
