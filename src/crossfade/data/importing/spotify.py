"""Spotify's extended streaming history, the JSON files a person can ask Spotify for."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.derived import chained, people
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Column
from crossfade.data.importing.plan import Plan, PlannedTable, Read
from crossfade.data.importing.records import JSON_BATCH_ROWS, chunks, json_array, record_batch
from crossfade.data.target import Target
from crossfade.errors import DataError

PATTERNS = ("Streaming_History_Audio_*.json", "endsong_*.json")
MIN_PLAYED_MS = 30_000
FIELDS = (
    "ts",
    "ms_played",
    "skipped",
    "shuffle",
    "platform",
    "conn_country",
    "reason_start",
    "reason_end",
    "offline",
    "incognito_mode",
    "spotify_track_uri",
    "master_metadata_track_name",
    "master_metadata_album_artist_name",
    "master_metadata_album_album_name",
    "episode_name",
    "spotify_episode_uri",
    "audiobook_uri",
)
PRIVATE = ("ip_addr", "ip_addr_decrypted", "username", "user_agent_decrypted", "city", "region")
"""Never kept, not even in the side file."""


def spotify_plan(source: Path) -> Plan:
    """The plan for one person's folder, or a folder with one sub-folder per person.

    ``ts`` is when a play ended; the event is placed at its start, ``ts - ms_played``.
    Podcasts and audiobooks are set aside, and so are plays that the export repeats.

    Raises:
        DataError: If there is no streaming history.
    """
    files = people(source, PATTERNS)
    if not files:
        raise DataError(
            f"{source}: no {PATTERNS[0]} here; unpack the extended streaming history and give its folder"
        )
    return Plan(
        name="spotify-history",
        events=PlannedTable(
            read=chained([_history(path, user) for user, path in files]),
            columns={
                "user_id": Column(column="user"),
                "item_id": Column(column="spotify_track_uri"),
                "timestamp": Column(column="ts", plus="ms_played", plus_seconds=-0.001),
                "event": Column(constant="play"),
                "played_ms": Column(column="ms_played"),
                "skipped": Column(column="skipped"),
                "context_shuffle": Column(column="shuffle"),
                "context_platform": Column(column="platform"),
                "context_country": Column(column="conn_country"),
                "context_reason_start": Column(column="reason_start"),
                "context_reason_end": Column(column="reason_end"),
                "context_offline": Column(column="offline"),
            },
        ),
        target=Target(name="plays_30_s", min_played_ms=MIN_PLAYED_MS),
        items_in_events={
            "title": Column(column="master_metadata_track_name"),
            "creator": Column(column="master_metadata_album_artist_name"),
            "creator_id": Column(column="master_metadata_album_artist_name"),
            "collection": Column(column="master_metadata_album_album_name"),
        },
        duplicates="set_aside",
        notes=(
            "events.timestamp is the start of a play: the export's ts (its end) less ms_played",
            "users are named after their folders",
        ),
    )


def _history(path: Path, user: str) -> Read:
    def read(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        names = choose_for(path.name)(["user", *FIELDS])
        if not names:
            return
        fields = list(dict.fromkeys([*names, *FIELDS]))
        rows = (
            (number, _public(record), record) for number, _, record in json_array(path, findings)
        )
        for chunk in chunks(rows, JSON_BATCH_ROWS):
            batch = record_batch(path.name, "row", chunk, fields)
            frame = batch.frame.with_columns(pl.lit(user).alias("user"))
            yield _only_tracks(Batch(batch.file, "row", batch.numbers, frame, batch.raw), findings)

    return read


def _only_tracks(batch: Batch, findings: Findings) -> Batch:
    def missing(batch: Batch, name: str) -> pl.Series:
        return batch.frame[name].fill_null("") == ""

    spoken = missing(batch, "spotify_track_uri") & ~(
        missing(batch, "spotify_episode_uri") & missing(batch, "episode_name")
    )
    batch = findings.put_aside(batch, "podcast", spoken)
    book = missing(batch, "spotify_track_uri") & ~missing(batch, "audiobook_uri")
    batch = findings.put_aside(batch, "audiobook", book)
    # Tracks that Spotify no longer knows have a time and nothing else.
    return findings.put_aside(batch, "no_track", missing(batch, "spotify_track_uri"))


def _public(record: dict[str, object]) -> str:
    kept = {name: value for name, value in record.items() if name not in PRIVATE}
    return json.dumps(kept, ensure_ascii=False)
