"""A stretch of a log as if a system had served in it: what it would have shown, and what was done."""

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.features.situation import PREFIX
from crossfade.monitoring.window import SAID
from crossfade.online import Answer, Ask, LiveSystem, as_event, as_shown
from crossfade.store.log import Impression, NewEvent
from crossfade.types import Ints

AT_ONCE = 32


def lists_shown(
    live: LiveSystem,
    log: Dataset,
    since_us: int,
    until_us: int,
    *,
    n_lists: int,
    rng: np.random.Generator,
) -> list[Impression]:
    """Lists for some of the people who did anything, each asked for at the moment of one of their events.

    Args:
        live: The system.
        log: Its own log, or one that goes on after it; what is later than its own comes with the requests.
        since_us: Beginning of the stretch.
        until_us: Its end, which is not in it.
        n_lists: At most so many, one to a person.
        rng: Draws people and moments, and makes request ids.
    """
    assert log.time_us is not None
    start, stop = np.searchsorted(log.time_us, [since_us, until_us]).tolist()
    at = start + _one_each(log.events["user_row"][start:stop].to_numpy(), n_lists, rng)
    users = log.user_ids.decode(log.events["user_row"].to_numpy()[at])
    own = live.model.dataset.time_us
    after_us = int(own[-1]) + 1 if own is not None and len(own) else since_us
    later = _by_user(log, after_us, until_us)
    shown = []
    for first in range(0, len(at), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        asks = [
            Ask(user, [as_event(one) for one in later.get(user, ())], now_us=now, features=True)
            for user, now in zip(users[some], log.time_us[at[some]].tolist(), strict=True)
        ]
        for ask, answer in zip(asks, live.answer(asks), strict=True):
            if isinstance(answer, Answer) and ask.now_us is not None:
                request_id = rng.bytes(16).hex()
                told = as_shown(answer, request_id, live.version, ask.now_us, user_id=ask.user_id)
                shown.append(told)
    return shown


def events_done(log: Dataset, since_us: int, until_us: int) -> list[NewEvent]:
    """The events of a stretch of time, as a service would have taken them."""
    within = (pl.col("timestamp") >= to_datetime(since_us)) & (
        pl.col("timestamp") < to_datetime(until_us)
    )
    frame = log.with_ids().filter(within)
    context = [name for name in frame.columns if name.startswith(PREFIX)]
    said = [name for name in (*SAID, "session_id") if name in frame.columns]
    frame = frame.with_columns(time_us=pl.col("timestamp").dt.epoch("us"))
    return [
        NewEvent(
            row["item_id"],
            row["time_us"],
            row["user_id"],
            **{name: row[name] for name in said if row[name] is not None},
            context={name: row[name] for name in context if row[name] is not None},
        )
        for row in frame.iter_rows(named=True)
    ]


def _by_user(log: Dataset, since_us: int, until_us: int) -> dict[str, list[NewEvent]]:
    found: dict[str, list[NewEvent]] = {}
    for event in events_done(log, since_us, until_us) if since_us < until_us else []:
        found.setdefault(event.user_id or "", []).append(event)
    return found


def _one_each(person: Ints, n: int, rng: np.random.Generator) -> Ints:
    """The place of one random event of each of up to ``n`` random people, ascending."""
    order = rng.permutation(len(person))
    first = order[np.unique(person[order], return_index=True)[1]]
    chosen: Ints = np.sort(rng.permutation(first)[:n])
    return chosen
