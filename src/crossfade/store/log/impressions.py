"""Impressions: what was shown to whom, one row to each request."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from crossfade.errors import ConflictError
from crossfade.store.log.events import naming, pieces
from crossfade.store.log.rows import Impression, ImpressionItem
from crossfade.store.log.tables import impressions


def add(connection: Connection, new: Sequence[Impression]) -> None:
    """Write the impressions that are not there yet.

    Raises:
        ConflictError: If another impression of a request is there; nothing was written then.
    """
    known = find_by_request(connection, [impression.request_id for impression in new])
    rows = []
    for impression in new:
        first = known.setdefault(impression.request_id, impression)
        if first is impression:
            rows.append(_row(impression))
        elif first != impression:
            raise ConflictError(
                f'request "{impression.request_id}" already has another impression; '
                "give each request an id of its own"
            )
    if rows:
        connection.execute(insert(impressions), rows)


def find_by_request(connection: Connection, request_ids: Sequence[str]) -> dict[str, Impression]:
    """The impressions of those requests that have one, by request."""
    found = dict[str, Impression]()
    for some in pieces(request_ids):
        query = select(impressions).where(impressions.c.request_id.in_(some))
        rows = connection.execute(query)
        found.update({row.request_id: _impression(row._asdict()) for row in rows})
    return found


def find_of(
    connection: Connection, user_id: str | None, session_id: str | None, limit: int | None
) -> list[Impression]:
    """Impressions that name all who are given, newest first."""
    where = naming(impressions, user_id, session_id)
    order = (impressions.c.time_us.desc(), impressions.c.request_id)
    rows = connection.execute(select(impressions).where(*where).order_by(*order).limit(limit))
    return [_impression(row._asdict()) for row in rows]


def _row(impression: Impression) -> dict[str, Any]:
    items = [vars(item) for item in impression.items]
    return {**vars(impression), "items": json.dumps(items, allow_nan=False)}


def _impression(row: dict[str, Any]) -> Impression:
    items = [ImpressionItem(**item) for item in json.loads(row["items"])]
    return Impression(**{**row, "items": items})
