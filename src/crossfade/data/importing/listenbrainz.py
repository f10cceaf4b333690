"""ListenBrainz exports: JSON lines (also the data dumps), or the older JSON array."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.derived import chained, known_text, names_key, people
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Column
from crossfade.data.importing.plan import Plan, PlannedTable, Read
from crossfade.data.importing.records import (
    JSON_BATCH_ROWS,
    chunks,
    flat,
    json_array,
    json_lines,
    record_batch,
)
from crossfade.data.target import Target
from crossfade.errors import DataError

PATTERNS = ("*.jsonl", "*.ndjson", "*.jsonl.gz", "*.json", "*.listens")
NOT_LISTENS = ("user.json", "feedback.jsonl", "pinned_recording.jsonl")
META, INFO = "track_metadata", "track_metadata.additional_info"
FIELDS = {
    "listened_at": ("listened_at", "timestamp"),
    "user_name": ("user_name",),
    "artist": (f"{META}.artist_name",),
    "title": (f"{META}.track_name",),
    "release": (f"{META}.release_name",),
    "mbid": (f"{META}.mbid_mapping.recording_mbid", f"{INFO}.recording_mbid"),
    "duration_ms": (f"{INFO}.duration_ms",),
    "duration_s": (f"{INFO}.duration",),
    "player": (f"{INFO}.media_player", f"{INFO}.listening_from"),
}
"""Our name of a field, and where exports of different years keep it."""


def listenbrainz_plan(source: Path) -> Plan:
    """The plan for an export file or a folder of them.

    An item is its MusicBrainz recording where the listen is mapped to one, otherwise
    its printed artist and title. A listen without ``user_name`` belongs to the person
    its folder (or file) is named after.

    Raises:
        DataError: If there is no export.
    """
    files = [(user, path) for user, path in people(source, PATTERNS)]
    files = [(user, path) for user, path in files if path.name not in NOT_LISTENS]
    if not files:
        raise DataError(f"{source}: no .jsonl or .json export here; unpack it and give its folder")
    return Plan(
        name="listenbrainz",
        events=PlannedTable(
            read=chained([_listens(path, user) for user, path in files]),
            columns={
                "user_id": Column(column="user"),
                "item_id": Column(column="item"),
                "timestamp": Column(column="listened_at"),
                "event": Column(constant="play"),
                "context_player": Column(column="player"),
            },
        ),
        target=Target(name="plays"),
        items_in_events={
            "title": Column(column="title"),
            "creator": Column(column="artist"),
            "creator_id": Column(column="artist"),
            "collection": Column(column="release"),
            "duration_ms": Column(column="length_ms"),
        },
        duplicates="set_aside",
        notes=("items without a MusicBrainz recording are known by artist and title",),
    )


def _listens(path: Path, user: str) -> Read:
    def read(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        own = [*FIELDS, "user", "item", "length_ms"]
        if not choose_for(path.name)(own):
            return
        unit = "row" if path.suffix == ".json" else "line"
        rows = json_array(path, findings) if unit == "row" else json_lines(path, findings)
        picked = ((number, text, _pick(record)) for number, text, record in rows)
        for chunk in chunks(picked, JSON_BATCH_ROWS):
            batch = record_batch(path.name, unit, chunk, list(FIELDS))
            frame = batch.frame.with_columns(
                known_text("user_name").fill_null(user).alias("user"),
                known_text("mbid").fill_null(names_key("artist", "title")).alias("item"),
                pl.col("duration_ms")
                .cast(pl.Float64, strict=False)
                .fill_null(pl.col("duration_s").cast(pl.Float64, strict=False) * 1000)
                .alias("length_ms"),
            )
            # A length of no more than nothing is a player's way of not knowing it.
            known = pl.when(pl.col("length_ms") > 0).then("length_ms")
            yield replace(batch, frame=frame.with_columns(known.alias("length_ms")))

    return read


def _pick(record: dict[str, Any]) -> dict[str, Any]:
    values = flat(record)
    return {
        name: next((values[place] for place in places if values.get(place) is not None), None)
        for name, places in FIELDS.items()
    }
