"""HetRec 2011 Last.fm: play counts, artists, tags with times, friends."""

from pathlib import Path

from crossfade.data.importing.derived import optional_file, wanted_file
from crossfade.data.importing.mapping import Column, FileMapping
from crossfade.data.importing.plan import Plan, PlannedJoin, PlannedTable, Read, file_reader
from crossfade.data.target import Target

IDS = {"user_id": Column(column="userID"), "item_id": Column(column="artistID")}
TIMED_TAGS, TAGS = "user_taggedartists-timestamps.dat", "tags.dat"


def hetrec_plan(source: Path) -> Plan:
    """The plan for the unpacked folder.

    Plays carry no times. Tags carry them, and are kept as taggings: what a user tagged
    is evidence of what the same user played, so it never becomes catalogue content.

    Raises:
        DataError: If ``user_artists.dat`` is not there.
    """
    log = wanted_file(source, ("user_artists.dat",), "HetRec 2011 Last.fm")
    artists = optional_file(source, ("artists.dat",))
    timed_tags, tags = optional_file(source, (TIMED_TAGS,)), optional_file(source, (TAGS,))
    friends = optional_file(source, ("user_friends.dat",))
    return Plan(
        name="lastfm-hetrec2011",
        events=PlannedTable(
            read=_tabbed(log),
            columns={**IDS, "value": Column(column="weight"), "event": Column(constant="play")},
        ),
        target=Target(name="plays", strength="log_value"),
        items=None
        if artists is None
        else PlannedTable(
            read=_tabbed(artists),
            columns={
                "item_id": Column(column="id"),
                "title": Column(column="name"),
                "creator": Column(column="name"),
                "creator_id": Column(column="name"),
            },
        ),
        taggings=None
        if timed_tags is None or tags is None
        else PlannedTable(
            read=_tabbed(timed_tags),
            columns={
                **IDS,
                "tag": Column(column="tags.tagValue"),
                "timestamp": Column(column="timestamp"),
            },
            joins=(PlannedJoin("tags", "tagID", "tagID", _tabbed(tags, latin=True)),),
        ),
        friends=None
        if friends is None
        else PlannedTable(
            read=_tabbed(friends),
            columns={
                "user_id": Column(column="userID"),
                "friend_id": Column(column="friendID"),
            },
        ),
    )


def _tabbed(path: Path, *, latin: bool = False) -> Read:
    encoding = "latin-1" if latin else "utf-8"
    return file_reader(
        path, FileMapping.model_validate({"file": path.name, "kind": "tsv", "encoding": encoding})
    )
