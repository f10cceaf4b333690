"""`Catalogue`: what is kept of items and users between fits.

A deleted item leaves its id behind: versions that know it go on serving, and are told by it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, select

from crossfade.store.log.database import Database
from crossfade.store.log.entries import Item, User, Value, written
from crossfade.store.log.events import pieces
from crossfade.store.log.rows import MOST, check_text, check_whole
from crossfade.store.log.tables import items, users

Row = Mapping[str, Any]


class Catalogue:
    """Items and users; what is said of threads and faults of a `Log` holds here too.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- items -----------------------------------------------------------------------------

    def put_items(self, new: Sequence[Item], now_us: int) -> list[bool]:
        """Keep items as they are given, whatever was kept of them before; all or none.

        Args:
            new: With different ids.
            now_us: When.

        Returns:
            Whether each is new or differs from what was kept.
        """
        check_whole("now_us", now_us, -MOST)
        batch = [_item_row(item) for item in new]
        return self._database.write(lambda connection: _put_items(connection, batch, now_us))

    def change_item(
        self,
        item_id: str,
        columns: Mapping[str, Value | None],
        now_us: int,
        available: bool | None = None,
    ) -> Item | None:
        """Change some of what is kept of an item; None takes a column away.

        Returns:
            What is kept now; None where nothing is kept of it.
        """
        check_text("item_id", item_id)
        check_whole("now_us", now_us, -MOST)

        def change(connection: Connection) -> Item | None:
            there = self._item(connection, item_id)
            if there is None:
                return None
            is_there = there.available if available is None else available
            item = Item(item_id, _merged(there.columns, columns), is_there)
            _put_items(connection, [_item_row(item)], now_us)
            return self._item(connection, item_id)

        return self._database.write(change)

    def delete_item(self, item_id: str, now_us: int) -> bool:
        """Keep nothing of an item but that it was deleted.

        Returns:
            Whether anything was kept of it.
        """
        gone = {**_item_row(Item(item_id, available=False)), "deleted": True}
        check_whole("now_us", now_us, -MOST)

        def change(connection: Connection) -> bool:
            there = self._item(connection, item_id) is not None
            _put_items(connection, [gone], now_us)
            return there

        return self._database.write(change)

    def item(self, item_id: str) -> Item | None:
        """What is kept of an item; None where nothing is."""
        check_text("item_id", item_id)
        with self._database.read() as connection:
            return self._item(connection, item_id)

    def items(self, after: str = "", limit: int | None = None) -> list[Item]:
        """Items in the order of their ids as UTF-8.

        Args:
            after: Only later ids.
            limit: At most so many, the first ones.
        """
        query = select(items).where(items.c.item_id > after, items.c.deleted.is_(False))
        with self._database.read() as connection:
            found = connection.execute(query.order_by(items.c.item_id).limit(limit))
            return [_item(row) for row in found.mappings()]

    def availability(self, after: int = 0) -> tuple[int, dict[str, bool]]:
        """Which items may be in lists, of those that changed.

        Args:
            after: What this returned before; 0 for all.

        Returns:
            Up to which change this looked, and of each item that changed whether it may be listed.
        """
        query = select(items.c.change, items.c.item_id, items.c.available)
        with self._database.read() as connection:
            found = connection.execute(query.where(items.c.change > after)).all()
        return max((row.change for row in found), default=after), {
            row.item_id: row.available for row in found
        }

    @staticmethod
    def _item(connection: Connection, item_id: str) -> Item | None:
        query = select(items).where(items.c.item_id == item_id, items.c.deleted.is_(False))
        row = connection.execute(query).mappings().first()
        return None if row is None else _item(row)

    # -- users -----------------------------------------------------------------------------

    def put_users(self, new: Sequence[User], now_us: int) -> list[bool]:
        """Keep profiles as they are given; as `put_items`."""
        check_whole("now_us", now_us, -MOST)
        batch = [_user_row(user) for user in new]

        def change(connection: Connection) -> list[bool]:
            return _put(connection, users, batch, lambda _: {"changed_us": now_us})

        return self._database.write(change)

    def change_user(
        self, user_id: str, columns: Mapping[str, Value | None], now_us: int
    ) -> User | None:
        """Change some of a profile; as `change_item`."""
        check_text("user_id", user_id)
        check_whole("now_us", now_us, -MOST)

        def change(connection: Connection) -> User | None:
            there = self._user(connection, user_id)
            if there is None:
                return None
            user = User(user_id, _merged(there.columns, columns))
            _put(connection, users, [_user_row(user)], lambda _: {"changed_us": now_us})
            return self._user(connection, user_id)

        return self._database.write(change)

    def delete_user(self, user_id: str) -> bool:
        """Delete a profile and nothing else; `Log.forget` deletes all of a person.

        Returns:
            Whether there was one.
        """
        check_text("user_id", user_id)
        gone = delete(users).where(users.c.user_id == user_id)
        return self._database.write(lambda connection: connection.execute(gone).rowcount > 0)

    def user(self, user_id: str) -> User | None:
        """A profile; None where there is none."""
        check_text("user_id", user_id)
        with self._database.read() as connection:
            return self._user(connection, user_id)

    def users(self, after: str = "", limit: int | None = None) -> list[User]:
        """Profiles in the order of their ids; as `items`."""
        query = select(users).where(users.c.user_id > after).order_by(users.c.user_id).limit(limit)
        with self._database.read() as connection:
            return [_user(row) for row in connection.execute(query).mappings()]

    @staticmethod
    def _user(connection: Connection, user_id: str) -> User | None:
        query = select(users).where(users.c.user_id == user_id)
        row = connection.execute(query).mappings().first()
        return None if row is None else _user(row)


def _put_items(connection: Connection, batch: Sequence[Row], now_us: int) -> list[bool]:
    # Rows are never taken away, so numbers of changes go up; see `Catalogue.availability`.
    last: int = connection.scalar(select(func.max(items.c.change))) or 0
    return _put(
        connection, items, batch, lambda at: {"changed_us": now_us, "change": last + 1 + at}
    )


def _put(
    connection: Connection, table: Table, batch: Sequence[Row], stamp: Callable[[int], Row]
) -> list[bool]:
    """Write the rows that are not there yet as they are.

    Args:
        connection: In a transaction.
        table: With its id as the first column.
        batch: Rows with different ids, without what the stamp adds.
        stamp: What the row at a place gets besides.

    Returns:
        Whether each was written.
    """
    id_ = next(iter(table.c))
    there: dict[str, RowMapping] = {}
    for some in pieces(row[id_.name] for row in batch):
        found = connection.execute(select(table).where(id_.in_(some)))
        there |= {row[id_]: row for row in found.mappings()}
    differs = [not row.items() <= dict(there.get(row[id_.name], {})).items() for row in batch]
    changed = [
        {**row, **stamp(at)}
        for at, (row, is_new) in enumerate(zip(batch, differs, strict=True))
        if is_new
    ]
    for some in pieces(row[id_.name] for row in changed):
        connection.execute(delete(table).where(id_.in_(some)))
    if changed:
        connection.execute(insert(table), changed)
    return differs


def _merged(old: Mapping[str, Value], new: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in {**old, **new}.items() if value is not None}


def _item_row(item: Item) -> Row:
    columns = written(item.columns)
    kept = {"item_id": item.item_id, "available": item.available}
    return {**kept, "deleted": False, "columns": columns}


def _user_row(user: User) -> Row:
    return {"user_id": user.user_id, "columns": written(user.columns)}


def _item(row: RowMapping) -> Item:
    return Item(row["item_id"], json.loads(row["columns"]), row["available"], row["changed_us"])


def _user(row: RowMapping) -> User:
    return User(row["user_id"], json.loads(row["columns"]), row["changed_us"])
