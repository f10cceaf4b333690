"""A data set that went on: newer events and catalogue rows, and without some people."""

from collections.abc import Collection

import polars as pl

from crossfade.data.conform import conform, conform_catalogue, encode
from crossfade.data.dataset import Dataset
from crossfade.data.frames import Frame
from crossfade.data.schema import EVENT_COLUMNS, ITEM_COLUMNS
from crossfade.data.sessions import continued_session_rows
from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import DataError

SAME = ("user_id", "item_id", "timestamp")
"""Two events that agree in these are one."""


def has_session_ids(dataset: Dataset) -> bool:
    """Whether session ids decide where sessions end, not pauses."""
    events = dataset.events
    return "session_id" in events.columns and events["session_id"].count() > 0


def continued(
    dataset: Dataset,
    events: Frame,
    *,
    items: Frame | None = None,
    users: Frame | None = None,
    without_users: Collection[str] = (),
    without_sessions: Collection[str] = (),
) -> Dataset:
    """A data set with what came later.

    Sessions go on as they do for live histories: where the data set has session ids they decide,
    elsewhere pauses do, and between two events that it holds already its own word stands.

    Args:
        dataset: With times; it is not changed.
        events: As for `Dataset.build`, with ``timestamp``, in any order. What the data set holds
            already (same user, item and time) is left out.
        items: Rows of the catalogue that are new or take the place of older ones. Columns that
            the catalogue lacks are left out.
        users: Likewise, of people.
        without_users: Ids of people of whom nothing stays: event, tagging, friendship, attributes,
            id. What ``events`` and ``users`` say of them comes after that.
        without_sessions: Ids of sessions of which no event stays.

    Raises:
        DataError: If the data set has no times, nothing is left of it, or as `Dataset.build`.
    """
    if not dataset.has_times:
        raise DataError(
            f"{dataset.name}: events have no times, so nothing tells newer ones; import it with times"
        )
    new = conform(events, EVENT_COLUMNS, "events", ("user_id", "item_id"), others="context_")
    if "timestamp" not in new.columns or new["timestamp"].null_count():
        raise DataError(
            f"{dataset.name}: some newer events have no timestamp; fill in or drop them"
        )
    items = conform_catalogue(items, ITEM_COLUMNS, "item")
    users = conform_catalogue(users, {"user_id": pl.String()}, "user")
    gone = dataset.user_ids.ids.is_in(list(without_users))
    known = _kept(dataset, without_users, without_sessions)
    new = new.join(known, on=SAME, how="anti", maintain_order="left")
    if has_session_ids(dataset):
        known = known.drop("session_row")
    else:
        new = new.drop("session_id", strict=False)
    everything = pl.concat([known, new], how="diagonal_relaxed")
    if everything.is_empty():
        raise DataError(f"{dataset.name}: no event is left; import a log with events")
    user_ids = Vocabulary.of(
        "user", dataset.user_ids.ids.filter(~gone), new["user_id"], users["user_id"]
    )
    item_ids = Vocabulary.of("item", dataset.item_ids.ids, new["item_id"], items["item_id"])
    rows = encode(everything, user_id=user_ids, item_id=item_ids)
    rows = rows.sort("timestamp", maintain_order=True)
    if "session_row" in rows.columns:
        rows = rows.with_columns(continued_session_rows(rows))
    # Today's row of each row of the data set; null for who is gone, also where they came back.
    user_rows = user_ids.encode(dataset.user_ids.ids).zip_with(
        ~gone, pl.Series([None], dtype=pl.Int32)
    )
    item_rows = item_ids.encode(dataset.item_ids.ids)
    return Dataset.from_rows(
        rows,
        _catalogue(dataset.items, items, item_ids),
        _catalogue(dataset.users.filter(~gone), users, user_ids),
        name=dataset.name,
        target=dataset.target,
        taggings=_moved(dataset.taggings, user_row=user_rows, item_row=item_rows),
        friends=_moved(dataset.friends, user_row=user_rows, friend_row=user_rows),
        # Rows follow the order of the ids in both, so moved ones still ascend.
        vectors={
            name: table.with_columns(item_rows.gather(table["item_row"]).alias("item_row"))
            for name, table in dataset.vectors.items()
        },
    )


def _kept(
    dataset: Dataset, without_users: Collection[str], without_sessions: Collection[str]
) -> pl.DataFrame:
    """Events that stay, with ids in place of rows, and their sessions."""
    events = dataset.events.select(
        dataset.user_ids.ids.gather(dataset.events["user_row"]),
        dataset.item_ids.ids.gather(dataset.events["item_row"]),
        pl.exclude("user_row", "item_row", "strength"),
    )
    events = events.filter(~pl.col("user_id").is_in(list(without_users)))
    if without_sessions and "session_id" in events.columns:
        theirs = pl.col("session_id").is_in(list(without_sessions)).fill_null(value=False)
        events = events.filter(~theirs)
    return events


def _catalogue(old: pl.DataFrame, new: pl.DataFrame, ids: Vocabulary) -> pl.DataFrame:
    """One row for each id, the new one where there are two."""
    key = ids.ids.name
    new = new.select(name for name in old.columns if name in new.columns)
    new = new.cast({name: old.schema[name] for name in new.columns})
    both = pl.concat([old.join(new, on=key, how="anti"), new], how="diagonal")
    return pl.DataFrame({key: ids.ids}).join(both, on=key, how="left", maintain_order="left")


def _moved(table: pl.DataFrame | None, **rows: pl.Series) -> pl.DataFrame | None:
    """A table with today's rows; lines of who is gone are left out."""
    if table is None:
        return None
    moved = [today.gather(table[name]).alias(name) for name, today in rows.items()]
    return table.with_columns(moved).drop_nulls(list(rows))
