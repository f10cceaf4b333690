"""The listening itself: day by day, every listener at once.

What happens on a day depends on earlier days only (friends' plays, one's own
plays, favourites), so one day is a handful of array operations whatever its size.
"""

from dataclasses import dataclass, fields

import numpy as np

from crossfade.data.world.catalogue import Tracks
from crossfade.data.world.change import Change
from crossfade.data.world.choice import Sessions, Today, choose
from crossfade.data.world.config import WorldConfig
from crossfade.data.world.listeners import Listeners
from crossfade.data.world.memory import FAVOURITE_TURNOVER, Memory
from crossfade.data.world.shelves import Shelves
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Doubles, Floats, Ints, Rows, Times

MINUTE_US = 60_000_000
WEEKDAY = (0.85, 0.85, 0.9, 0.95, 1.2, 1.3, 0.95)
"""Sessions on Monday … Sunday, relative to the mean."""

DEVICES = ("phone", "desktop", "speaker", "car")
_DEVICE_BY_HOUR = np.array(
    [  # night, morning, working hours, evening; columns as in DEVICES
        [0.60, 0.20, 0.20, 0.00],
        [0.45, 0.05, 0.15, 0.35],
        [0.30, 0.55, 0.05, 0.10],
        [0.30, 0.15, 0.45, 0.10],
    ]
)
_PART_OF_DAY = np.repeat([0, 1, 2, 3], [6, 4, 7, 7])


@dataclass(frozen=True)
class Plays:
    """All plays of a world as parallel arrays, ``(n_plays,)`` each.

    Attributes:
        user_row: Listener.
        item_row: Track.
        session: Session number, from 0.
        time_us: When the play ended and was logged.
        played_ms: How long it lasted.
        skipped: Whether the listener cut it short.
        reason: Place in `REASONS`.
        affinity: How well the track fits the listener's taste at that time, 0 to 1.
        skip_probability: Chance of the skip that was drawn.
        device: Place in `DEVICES`.
    """

    user_row: Rows
    item_row: Rows
    session: Rows
    time_us: Times
    played_ms: Ints
    skipped: Bools
    reason: Rows
    affinity: Floats
    skip_probability: Floats
    device: Rows

    def take(self, places: Ints) -> "Plays":
        """Some plays, in the given order."""
        return Plays(*(getattr(self, field.name)[places] for field in fields(self)))


def simulate(
    config: WorldConfig,
    tracks: Tracks,
    listeners: Listeners,
    change: Change | None,
    rng: np.random.Generator,
) -> Plays:
    """Let everybody listen for ``config.n_days`` days.

    Returns:
        The plays in order of time.
    """
    midnight_us = int(np.datetime64(config.start, "us").astype(np.int64))
    memory = Memory.empty(config.n_listeners)
    days: list[Plays] = []
    n_sessions = 0
    for day in range(config.n_days):
        taste = listeners.taste(day / max(1, config.n_days - 1))
        turnover: float | Doubles = FAVOURITE_TURNOVER
        if change is not None:
            taste = change.at(taste, day)
            turnover = np.maximum(turnover, change.dropped(day))[:, None]
        today = Today(
            day=day,
            tracks=tracks,
            listeners=listeners,
            taste=taste,
            shelves=Shelves.on(day, tracks),
        )
        found = turnover if day else 1.0
        memory.refresh_favourites(found, taste, tracks, today.shelves, rng)
        sessions = _sessions(day, midnight_us + day * MICROSECONDS_PER_DAY, listeners, rng)
        if not len(sessions.user_row):
            continue
        plays = _play(sessions, n_sessions, today, memory, rng)
        memory.remember(plays.user_row, plays.item_row, plays.time_us)
        n_sessions += len(sessions.user_row)
        days.append(plays)
    whole = Plays(
        *(np.concatenate([getattr(day, field.name) for day in days]) for field in fields(Plays))
    )
    return whole.take(np.argsort(whole.time_us, kind="stable"))


def _sessions(day: int, day_us: int, listeners: Listeners, rng: np.random.Generator) -> Sessions:
    # 1970-01-01 was a Thursday, hence the 3.
    weekday = WEEKDAY[(day_us // MICROSECONDS_PER_DAY + 3) % 7]
    rate = np.where(listeners.first_day <= day, listeners.sessions_per_day * weekday, 0.0)
    user = np.repeat(np.arange(len(rate), dtype=np.int32), rng.poisson(rate))
    around = listeners.peak_hour[user] * (2 * np.pi / 24)
    angle = rng.vonmises(around, listeners.trait("hour_concentration")[user])
    hour = (angle * (24 / (2 * np.pi))) % 24
    order = np.lexsort((hour, user))
    user, hour = user[order], hour[order]
    mean = listeners.trait("plays_per_session")[user]
    by_hour = _DEVICE_BY_HOUR.cumsum(axis=1)[_PART_OF_DAY[hour.astype(np.int64) % 24]]
    return Sessions(
        user_row=user,
        start_us=day_us + (hour * 60 * MINUTE_US).astype(np.int64),
        n_plays=rng.geometric(1 / mean).clip(1, 100),
        device=(rng.random((len(user), 1)) >= by_hour[:, :-1]).sum(axis=1).astype(np.int32),
    )


def _play(
    sessions: Sessions, first_session: int, today: Today, memory: Memory, rng: np.random.Generator
) -> Plays:
    """Choose and play: skips, lengths and times."""
    listeners = today.listeners
    choice = choose(sessions, today, memory, rng)
    n = len(choice.item_row)
    session = np.repeat(np.arange(len(sessions.user_row)), sessions.n_plays)
    user = sessions.user_row[session]
    skipped = rng.random(n) < choice.skip_probability
    duration = today.tracks.duration_ms[choice.item_row]
    heard = np.where(skipped, rng.uniform(0.03, 0.4, n), 1.0)
    played_ms = np.maximum(1_000, (duration * heard).astype(np.int64))

    pause_us = np.where(
        rng.random(n) < listeners.trait("pause_share")[user],
        rng.uniform(1, 10, n) * MINUTE_US,
        rng.uniform(0, 0.05, n) * MINUTE_US,
    ).astype(np.int64)
    # A play is logged when it ends; the pause comes before the next one.
    ends = np.cumsum(played_ms * 1_000 + pause_us)
    first = np.cumsum(sessions.n_plays) - sessions.n_plays
    before = np.where(first > 0, ends[first - 1], 0)
    last = first + sessions.n_plays - 1
    start_us = _untangled(sessions, ends[last] - before, memory)
    return Plays(
        user_row=user,
        item_row=choice.item_row,
        session=(first_session + session).astype(np.int32),
        time_us=start_us[session] + (ends - before[session]) - pause_us,
        played_ms=played_ms,
        skipped=skipped,
        reason=choice.reason,
        affinity=choice.affinity,
        skip_probability=choice.skip_probability,
        device=sessions.device[session],
    )


def _untangled(sessions: Sessions, length_us: Times, memory: Memory) -> Times:
    """Starts moved later where a listener's sessions would touch: an hour lies between them."""
    user = sessions.user_row
    # With c the lengths so far, "start after the last one's end" reads: start - c never falls,
    # which a running maximum per listener enforces. Listeners are far apart in `lane`.
    busy_us = length_us + 60 * MINUTE_US
    so_far = np.cumsum(busy_us) - busy_us
    earliest = np.maximum(sessions.start_us, memory.busy_until_us[user]) - so_far
    lane = np.unique(user, return_inverse=True)[1] * (np.ptp(earliest) + 1)
    start_us: Times = np.maximum.accumulate(earliest + lane) - lane + so_far
    memory.busy_until_us[user] = start_us + busy_us  # the last session of a listener stays
    return start_us
