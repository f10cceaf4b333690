"""RecBole atomic files: tab-separated ``.inter``, ``.item`` and ``.user`` with typed headers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.derived import wanted_folder
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Column, FileMapping
from crossfade.data.importing.plan import Plan, PlannedTable, Read, file_reader
from crossfade.data.target import Target
from crossfade.errors import DataError

KNOWN_NAMES = {
    "item_id": ("item_id", "movie_id", "artist_id", "business_id", "asin", "book_id"),
    "timestamp": ("timestamp", "time", "date"),
    "value": ("rating", "stars", "label", "weight", "play_count"),
    "session_id": ("session_id",),
    "title": ("title", "movie_title", "name", "item_name", "artist_name", "book_title"),
    "creator": ("artist", "author", "brand", "artist_name", "book_author"),
    "genres": ("class", "genre", "genres", "categories", "tags"),
    "release_date": ("release_year", "year", "release_date", "publication_year"),
}
"""The field names that published atomic files use for what we call otherwise."""

MIN_RATING = 4.0


def recbole_plan(source: Path) -> Plan:
    """The plan for a folder with one set of atomic files, or for its ``.inter`` file.

    Field names vary from set to set; the usual ones are recognised. Labels in
    ``token_seq`` fields are separated by blanks. Ratings count from 4.

    Raises:
        DataError: If there is no ``.inter`` file, or more than one, or no field of it
            is known as the item.
    """
    wanted_folder(source)
    logs = [source] if source.is_file() else sorted(source.glob("*.inter"))
    if len(logs) != 1:
        found = ", ".join(path.name for path in logs) or "none"
        raise DataError(f"{source}: expected one .inter file, found {found}; give the file itself")
    log = logs[0]
    items, users = log.with_suffix(".item"), log.with_suffix(".user")
    fields = _fields(log)
    columns = _columns(fields, ("item_id", "timestamp", "value", "session_id"))
    # A rating is an opinion, a play count is not: only the former gets a threshold.
    rated = "value" in columns and columns["value"].column in ("rating", "stars")
    counted = "value" in columns and not rated
    return Plan(
        name=log.stem,
        events=PlannedTable(read=_untyped(log), columns={**columns, "event": _event(rated=rated)}),
        target=Target(
            name="likes" if rated else "engages",
            min_value=MIN_RATING if rated else None,
            strength="log_value" if counted else "one",
        ),
        items=_catalogue(items, ("item_id", "title", "creator", "genres", "release_date")),
        users=_catalogue(users, (), keep_others=True),
    )


def _event(*, rated: bool) -> Column:
    return Column(constant="rating" if rated else "view")


def _fields(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [name.partition(":")[0] for name in file.readline(65_536).strip().split("\t")]


def _columns(fields: list[str], ours: Sequence[str]) -> dict[str, Column]:
    found = {}
    for name in ours:
        source = next((field for field in KNOWN_NAMES[name] if field in fields), None)
        if source is not None:
            found[name] = Column(column=source, split=" ")
    return found


def _catalogue(
    path: Path, ours: Sequence[str], *, keep_others: bool = False
) -> PlannedTable | None:
    if not path.is_file():
        return None
    columns = _columns(_fields(path), ours)
    return PlannedTable(read=_untyped(path), columns=columns, keep_others=keep_others)


def _untyped(path: Path) -> Read:
    """The file's batches with ``rating`` in place of ``rating:float``."""
    inner = file_reader(path, FileMapping(file=path.name, kind="tsv"))

    def read(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        def typed(file: str) -> Choose:
            def choose(own: Sequence[str]) -> Sequence[str]:
                full = {name.partition(":")[0]: name for name in own}
                return [full[name] for name in choose_for(file)(list(full))]

            return choose

        for batch in inner(typed, findings):
            plain = {name: name.partition(":")[0] for name in batch.frame.columns}
            yield replace(batch, frame=batch.frame.rename(plain))

    return read
