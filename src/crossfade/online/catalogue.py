"""What a service was told of items and users, as rows that the next data set takes."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

import polars as pl

from crossfade.data import Dataset
from crossfade.data.schema import ITEM_COLUMNS
from crossfade.store.log import Item, Log, User

PAGE = 10_000
"""Rows that are read at once."""

T = TypeVar("T", Item, User)


def kept_rows(
    log: Log, dataset: Dataset, *, without_users: Collection[str] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items and users that a log keeps, each with what a data set knows of them besides.

    Args:
        log: Of the service.
        dataset: What the version before learned from.
        without_users: Of whom the data set is not asked: they were forgotten.

    Returns:
        Items and users in the order of their ids, with the columns of the data set, and of items
        those of the event contract that say anything; deleted items are not among them. What was
        told goes over what the data set says, unless it does not fit the column.
    """
    item_kinds: dict[str, Any] = {**dataset.items.schema, **ITEM_COLUMNS}
    items = {one.item_id: one.columns for one in _all(log.catalogue.items, lambda one: one.item_id)}
    users = {one.user_id: one.columns for one in _all(log.catalogue.users, lambda one: one.user_id)}
    user_kinds: dict[str, Any] = {**dataset.users.schema, "user_id": pl.String}
    return (
        _rows("item_id", items, item_kinds, dataset.items),
        _rows(
            "user_id",
            users,
            user_kinds,
            dataset.users.filter(~pl.col("user_id").is_in(list(without_users))),
        ),
    )


def _all(read: Callable[[str, int], Sequence[T]], id_of: Callable[[T], str]) -> Iterator[T]:
    after = ""
    while page := read(after, PAGE):
        yield from page
        after = id_of(page[-1])


def _rows(
    key: str, told: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, Any], known: pl.DataFrame
) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in told.values()] for name in kinds}
    columns[key] = list(told)
    new = pl.DataFrame([_column(name, columns[name], kind) for name, kind in kinds.items()])
    both = new.join(known, on=key, how="left", suffix=" before", maintain_order="left")
    rows = both.select(
        pl.coalesce(name, f"{name} before") if f"{name} before" in both.columns else name
        for name in kinds
    )
    # A column that says nothing would look to a base like one that it can learn from.
    return rows.drop(name for name in kinds if name not in known.columns and not rows[name].count())


def _column(name: str, values: Sequence[Any], kind: Any) -> pl.Series:
    if kind == pl.Date:
        values = [None if value is None else _date(value) for value in values]
    return pl.Series(name, values, dtype=kind, strict=False)


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None
