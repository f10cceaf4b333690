"""30Music (Turrin et al. 2015): sessions, tracks, artists and users in the Idomaar format.

A line is ``type``, ``id``, ``time``, a JSON object of properties and one of linked
entities. The two objects are separated by a tab in entity files and by a space in
``sessions.idomaar``.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose, decoded_lines, text_blocks
from crossfade.data.importing.derived import wanted_file
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Column
from crossfade.data.importing.plan import Plan, PlannedTable, Read
from crossfade.data.importing.records import JSON_BATCH_ROWS, Record, chunks, record_batch
from crossfade.data.target import Target

MALFORMED = "a line holds type, id, time, properties and linked entities"
PLAY_FIELDS = ("user", "item", "at", "session", "played_s", "action")
TRACK_FIELDS = ("item_id", "title", "creator", "creator_id", "duration_ms")
USER_FIELDS = ("user_id", "gender", "age", "country")

Opened = Callable[[str, str, Record, Record], Iterator[Record]]
"""From id, time, properties and links to the rows a line stands for."""


def thirtymusic_plan(source: Path) -> Plan:
    """The plan for the unpacked folder (``relations/``, ``entities/``).

    A play starts at the session's time plus its ``playstart``; the action ``skip``
    marks it as skipped. Play counts of users and tracks are snapshots and stay out.

    Raises:
        DataError: If ``relations/sessions.idomaar`` is not there.
    """
    sessions = wanted_file(source, ("relations/sessions.idomaar", "sessions.idomaar"), "30Music")
    folder = source.parent.parent if source.is_file() else source
    tracks, users = folder / "entities/tracks.idomaar", folder / "entities/users.idomaar"
    return Plan(
        name="30music",
        events=PlannedTable(
            read=_lines(sessions, PLAY_FIELDS, _plays),
            columns={
                "user_id": Column(column="user"),
                "item_id": Column(column="item"),
                "timestamp": Column(column="at"),
                "session_id": Column(column="session"),
                "played_ms": Column(column="played_s", scale=1000.0),
                "event": Column(column="action"),
            },
        ),
        target=Target(name="plays"),
        items=PlannedTable(read=_lines(tracks, TRACK_FIELDS, _track(_persons(folder))))
        if tracks.is_file()
        else None,
        users=PlannedTable(
            read=_lines(users, USER_FIELDS, _user),
            columns={name: Column(column=name) for name in USER_FIELDS},
        )
        if users.is_file()
        else None,
        duplicates="set_aside",
    )


def _lines(path: Path, fields: tuple[str, ...], opened: Opened) -> Read:
    def rows(findings: Findings) -> Iterator[tuple[int, str, Record]]:
        for number, text, parts in _split(path, findings):
            for row in opened(*parts):
                yield number, text, row

    def read(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        if choose_for(path.name)(fields):
            for chunk in chunks(rows(findings), JSON_BATCH_ROWS):
                yield record_batch(path.name, "line", chunk, fields)

    return read


def _split(
    path: Path, findings: Findings
) -> Iterator[tuple[int, str, tuple[str, str, Record, Record]]]:
    decoder = json.JSONDecoder()
    for block in text_blocks(path, findings):
        for number, line in decoded_lines(block, path, "utf-8", findings):
            text = line.rstrip("\n")
            if not text.strip():
                continue
            parts = _parts(decoder, text)
            if parts is None:
                where = (path.name, number)
                findings.row("bad_line", where, text, text, f"{MALFORMED}, in that order")
            else:
                yield number, text, parts


def _parts(decoder: json.JSONDecoder, text: str) -> tuple[str, str, Record, Record] | None:
    try:
        _, one_id, time, rest = text.split("\t", 3)
        properties, end = decoder.raw_decode(rest)
        links = json.loads(rest[end:].strip() or "{}")
    except ValueError:
        return None
    if not isinstance(properties, dict) or not isinstance(links, dict):
        return None
    return one_id, time, properties, links


def _plays(session: str, time: str, _: Record, links: Record) -> Iterator[Record]:
    user = next((subject.get("id") for subject in _entities(links, "subjects")), None)
    for play in _entities(links, "objects"):
        if play.get("type", "track") != "track":
            continue
        start = play.get("playstart")
        offset = start if isinstance(start, (int, float)) and start > 0 else 0
        at = str(int(time) + int(offset)) if time.isdigit() else time
        played = play.get("playtime")
        yield {
            "user": user,
            "item": play.get("id"),
            "at": at,
            "session": session,
            # -1 and null both stand for unknown.
            "played_s": None if played == -1 else played,
            "action": play.get("action") or "play",
        }


def _track(names: dict[str, str]) -> Opened:
    def track(one_id: str, _: str, properties: Record, links: Record) -> Iterator[Record]:
        # The name is an address: artist/_/title, with + for blanks.
        artist, _, title = str(properties.get("name") or "").partition("/_/")
        person = next((str(p.get("id")) for p in _entities(links, "artists")), None)
        duration = properties.get("duration")
        yield {
            "item_id": one_id,
            "title": unquote_plus(title) or None,
            "creator": names.get(person or "") or unquote_plus(artist) or None,
            "creator_id": person,
            "duration_ms": duration if isinstance(duration, int) and duration > 0 else None,
        }

    return track


def _user(one_id: str, _: str, properties: Record, __: Record) -> Iterator[Record]:
    age = properties.get("age")
    yield {
        "user_id": one_id,
        "gender": properties.get("gender"),
        "age": age if isinstance(age, int) and age > 0 else None,
        "country": properties.get("country"),
    }


def _persons(folder: Path) -> dict[str, str]:
    """Names of artists by id; those that cannot be read are left to the track's address."""
    path = folder / "entities/persons.idomaar"
    names: dict[str, str] = {}
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                parts = line.split("\t")
                if len(parts) > 3:
                    found = json.loads(parts[3]) if parts[3].startswith("{") else {}
                    names[parts[1]] = unquote_plus(str(found.get("name") or ""))
    return names


def _entities(links: Record, kind: str) -> list[dict[str, Any]]:
    found = links.get(kind)
    return (
        [entity for entity in found if isinstance(entity, dict)] if isinstance(found, list) else []
    )
