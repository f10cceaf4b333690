"""Last.fm-1K (Celma 2010): one tab-separated line per scrobble, no header, no quoting."""

from pathlib import Path

from crossfade.data.importing.derived import (
    Derived,
    known_text,
    names_key,
    optional_file,
    wanted_file,
    with_derived,
)
from crossfade.data.importing.mapping import Column, FileMapping
from crossfade.data.importing.plan import Plan, PlannedTable, file_reader
from crossfade.data.target import Target

LOG = "userid-timestamp-artid-artname-traid-traname.tsv"
PROFILES = "userid-profile.tsv"
HEADER = ("userid", "timestamp", "artid", "artname", "traid", "traname")


def lastfm_1k_plan(source: Path) -> Plan:
    """The plan for the folder of the set, or for its log file alone.

    About a tenth of the tracks have no MusicBrainz id; they are known by artist and
    title instead.

    Raises:
        DataError: If the log is not there.
    """
    log = wanted_file(source, (LOG, f"{LOG}.gz"), "Last.fm-1K")
    profiles = optional_file(source, (PROFILES,))
    item = Derived(
        "item",
        ("artname", "traid", "traname"),
        known_text("traid").fill_null(names_key("artname", "traname")),
    )
    creator = Derived(
        "creator", ("artid", "artname"), known_text("artid").fill_null(known_text("artname"))
    )
    options = FileMapping(file=log.name, kind="tsv", header=HEADER)
    return Plan(
        name="lastfm-1k",
        events=PlannedTable(
            read=with_derived(file_reader(log, options), item, creator),
            columns={
                "user_id": Column(column="userid"),
                "item_id": Column(column="item"),
                "timestamp": Column(column="timestamp"),
                "event": Column(constant="play"),
            },
        ),
        target=Target(name="plays"),
        items_in_events={
            "title": Column(column="traname"),
            "creator": Column(column="artname"),
            "creator_id": Column(column="creator"),
        },
        users=None
        if profiles is None
        else PlannedTable(
            read=file_reader(profiles, FileMapping(file=profiles.name, kind="tsv")),
            columns={
                "user_id": Column(column="#id"),
                "gender": Column(column="gender"),
                "age": Column(column="age"),
                "country": Column(column="country"),
            },
        ),
        duplicates="set_aside",
        notes=("items without a MusicBrainz id are known by artist and title",),
    )
