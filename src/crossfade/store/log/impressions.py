"""Impressions: what was shown to whom, one row to each request."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select

from crossfade.errors import ConflictError
from crossfade.store.log.events import naming, pieces
from crossfade.store.log.features import Features
from crossfade.store.log.rows import Impression, ImpressionItem, Shadow
from crossfade.store.log.tables import feature_names, impressions


def add(connection: Connection, new: Sequence[Impression]) -> None:
    """Write the impressions that are not there yet.

    Raises:
        ConflictError: If another impression of a request is there, or features of a version have
            other names than before; nothing was written then.
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
    names = _new_names(connection, new)
    if names:
        connection.execute(insert(feature_names), names)
    if rows:
        connection.execute(insert(impressions), rows)


def find_by_request(connection: Connection, request_ids: Sequence[str]) -> dict[str, Impression]:
    """The impressions of those requests that have one, by request."""
    found = dict[str, Impression]()
    for some in pieces(request_ids):
        query = select(impressions).where(impressions.c.request_id.in_(some))
        found.update({one.request_id: one for one in read(connection, query)})
    return found


def find_of(
    connection: Connection, user_id: str | None, session_id: str | None, limit: int | None
) -> list[Impression]:
    """Impressions that name all who are given, newest first."""
    where = naming(impressions, user_id, session_id)
    order = (impressions.c.time_us.desc(), impressions.c.request_id)
    return read(connection, select(impressions).where(*where).order_by(*order).limit(limit))


def read(connection: Connection, query: Select[Any]) -> list[Impression]:
    """The impressions that a query of whole rows finds."""
    rows = connection.execute(query).all()
    names = _names(connection, {row.version for row in rows if row.features is not None})
    return [_impression(row, names) for row in rows]


def _new_names(connection: Connection, new: Sequence[Impression]) -> list[dict[str, Any]]:
    """Names of features by version, as far as they are not there yet."""
    told = [(one.version, one.features) for one in new if one.features is not None]
    there = _names(connection, {version for version, _ in told})
    known = dict(there)
    for version, features in told:
        mine = (features.request_names, features.item_names)
        if known.setdefault(version, mine) != mine:
            raise ConflictError(
                f"features of version {version} have other names than before; "
                "a version reads the same features for ever"
            )
    return [
        {
            "version": version,
            "request": json.dumps(known[version][0]),
            "item": json.dumps(known[version][1]),
        }
        for version in known.keys() - there.keys()
    ]


def _names(
    connection: Connection, versions: Iterable[str]
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Names of the features of requests and of items, by version."""
    query = select(feature_names).where(feature_names.c.version.in_(list(versions)))
    return {
        row.version: (tuple(json.loads(row.request)), tuple(json.loads(row.item)))
        for row in connection.execute(query)
    }


def _row(impression: Impression) -> dict[str, Any]:
    items = [
        {name: told for name, told in vars(item).items() if name != "arm" or told is not None}
        for item in impression.items
    ]
    features = None if impression.features is None else impression.features.packed
    shadow = None if impression.shadow is None else json.dumps(vars(impression.shadow))
    told = {"items": json.dumps(items, allow_nan=False), "features": features, "shadow": shadow}
    return {**vars(impression), **told}


def _impression(
    row: Row[Any], names: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
) -> Impression:
    items = [ImpressionItem(**item) for item in json.loads(row.items)]
    features = None
    if row.features is not None:
        features = Features(*names[row.version], bytes(row.features))
    shadow = None if row.shadow is None else Shadow(**json.loads(row.shadow))
    told = {"items": items, "features": features, "shadow": shadow}
    return Impression(**{**row._asdict(), **told})
