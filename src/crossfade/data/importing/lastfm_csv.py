"""Scrobbles of Last.fm users as CSV, in the two forms that exporters write.

With a header: ``uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid``.
Without one: ``artist,album,track,02 Jan 2015, 10:14`` (the date in quotes).
"""

import csv
from pathlib import Path

import polars as pl

from crossfade.data.importing.derived import Derived, chained, names_key, people, with_derived
from crossfade.data.importing.mapping import Column, FileMapping
from crossfade.data.importing.plan import Plan, PlannedTable, Read, file_reader
from crossfade.data.target import Target
from crossfade.errors import DataError

HEADERLESS = ("artist", "album", "track", "date")
DATE_FORMAT = "%d %b %Y, %H:%M"


def lastfm_csv_plan(source: Path) -> Plan:
    """The plan for one person's CSV file, or a folder of them.

    A file directly in the folder belongs to the person the file is named after, a file
    in a sub-folder to the person the sub-folder is named after. Tracks are known by
    artist and title, since the MusicBrainz ids of scrobbles come and go.

    Raises:
        DataError: If there is no CSV file, or files of both forms are mixed.
    """
    files = people(source, ("*.csv", "*.csv.gz"))
    if source.is_dir():
        files = [
            (path.name.split(".")[0] if path.parent == source else user, path)
            for user, path in files
        ]
    if not files:
        raise DataError(f"{source}: no .csv file here; give the exported file or its folder")
    headed = [_has_header(path) for _, path in files]
    if len(set(headed)) > 1:
        odd = files[headed.index(not headed[0])][1]
        raise DataError(
            f"{source}: {files[0][1].name} and {odd.name} have different forms (with and without header); "
            "import them one by one"
        )
    time = Column(column="uts") if headed[0] else Column(column="date", format=DATE_FORMAT)
    return Plan(
        name="lastfm-scrobbles",
        events=PlannedTable(
            read=chained([_scrobbles(path, user, headed[0]) for user, path in files]),
            columns={
                "user_id": Column(column="user"),
                "item_id": Column(column="item"),
                "timestamp": time,
                "event": Column(constant="play"),
            },
        ),
        target=Target(name="plays"),
        items_in_events={
            "title": Column(column="track"),
            "creator": Column(column="artist"),
            "creator_id": Column(column="artist"),
            "collection": Column(column="album"),
        },
        duplicates="set_aside",
        notes=("items are known by artist and title", "users are named after their files"),
    )


def _has_header(path: Path) -> bool:
    if path.suffix == ".gz":
        return True
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first = next(csv.reader([file.readline(65_536)]), [])
    names = {name.strip().lower() for name in first}
    return "artist" in names and ("uts" in names or "track" in names)


def _scrobbles(path: Path, user: str, headed: bool) -> Read:
    options = FileMapping(file=path.name, kind="csv", header=None if headed else HEADERLESS)
    return with_derived(
        file_reader(path, options),
        Derived("user", (), pl.lit(user)),
        Derived("item", ("artist", "track"), names_key("artist", "track")),
    )
