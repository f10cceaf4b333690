"""Data sets small enough to know the right answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries, Target

START = datetime(2024, 1, 1, tzinfo=UTC)


def checkerboard(n: int = 20, *, timed: bool = True, rated: bool = False) -> Dataset:
    """Even users like even items, odd users odd ones; each user's own number is held out.

    So the one unseen item that belongs to user ``i`` is item ``i``. Rows are the
    numbers. One more item, row ``n``, has a catalogue entry like the even ones and no
    event: a cold item. Each user's events are one session, in an order that differs from
    user to user.

    Args:
        n: Number of users, and of items with events; even, 4 or more.
        timed: Whether events have times (and therefore sessions).
        rated: Whether events are ratings: 5 for a liked item, and the user's first item
            of the other colour with 1.
    """
    rng = np.random.default_rng(n)
    rows = []
    for user in range(n):
        liked = [item for item in range(user % 2, n, 2) if item != user]
        order = [liked[place] for place in rng.permutation(len(liked))]
        ratings = [5.0] * len(order)
        if rated:
            order, ratings = [*order, 1 - user % 2], [*ratings, 1.0]
        # Users take turns, so that every part of the log holds both colours.
        begin = START + timedelta(days=int(rng.integers(30)))
        rows += [
            (f"user{user:03d}", f"item{item:03d}", begin + timedelta(minutes=minute), rating)
            for minute, (item, rating) in enumerate(zip(order, ratings, strict=True))
        ]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp", "value"], orient="row")
    if not timed:
        events = events.drop("timestamp")
    if not rated:
        events = events.drop("value")
    items = pl.DataFrame(
        {
            "item_id": [f"item{item:03d}" for item in range(n + 1)],
            "genres": [["odd" if item % 2 else "even"] for item in range(n + 1)],
        }
    )
    target = Target(min_value=4.0) if rated else Target()
    return Dataset.build(events, items, name="checkerboard", target=target)


def tiny_catalogue() -> Dataset:
    """Three listeners, five songs, two genres, tags: small enough for a pencil.

    ``ann`` played a, b, then a again; ``bob`` played b and c; ``cid`` tagged things and
    played d. Song ``e`` was never played. Rows follow the alphabet.
    """
    hours = [0, 1, 26, 2, 3, 4]
    events = pl.DataFrame(
        {
            "user_id": ["ann", "ann", "ann", "bob", "bob", "cid"],
            "item_id": ["a", "b", "a", "b", "c", "d"],
            "timestamp": [START + timedelta(hours=hour) for hour in hours],
        }
    )
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d", "e"],
            "title": ["Blue Moon", "Moon River", "Blue Train", "Green River", "Blue River"],
            "creator": ["Ella", "Ella", "John", "Credence", "Joni"],
            "genres": [["jazz"], ["jazz"], ["jazz"], ["rock"], ["folk", "rock"]],
        }
    )
    taggings = pl.DataFrame(
        {
            "user_id": ["ann", "bob", "cid", "cid"],
            "item_id": ["a", "a", "d", "e"],
            "tag": ["night", "night", "swamp", "swamp"],
        }
    )
    return Dataset.build(events, items, name="tiny", taggings=taggings)


def one_event() -> Dataset:
    """The smallest log there is."""
    return Dataset.build(pl.DataFrame({"user_id": ["u"], "item_id": ["i"]}))


def only_unwanted(n_items: int) -> Queries:
    """Somebody who saw an item and did not want it."""
    return replace(Queries.of_items([3], n_items), strength=np.zeros(1, dtype=np.float32))
