"""Mapping settings: which file and column holds what the event contract asks for."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, StringConstraints, model_validator

from crossfade.config import Field, Settings, validate
from crossfade.data.sessions import SESSION_GAP_MINUTES
from crossfade.data.target import Target
from crossfade.data.vectors import NAME
from crossfade.errors import ConfigError

Duplicates = Literal["report", "keep", "set_aside"]
FileKind = Literal["csv", "tsv", "jsonl", "json", "parquet"]
SUFFIXES: dict[str, FileKind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}


class Column(Settings):
    """Where one column of ours comes from; plain text is short for ``{ column = … }``.

    Of several source columns, ids and texts are joined with a space, labels united,
    and of numbers, times and flags the first known one is taken.
    """

    column: str | None = Field(None, description="Name of the source column.")
    columns: tuple[str, ...] = Field((), description="Several source columns, see above.")
    constant: str | None = Field(None, description="The same value in every row.")
    scale: float = Field(1.0, description="Numbers are multiplied by this (seconds to ms: 1000).")
    format: str | None = Field(
        None, description='Form of text times, such as "%d %b %Y, %H:%M"; unset: ISO or Unix time.'
    )
    split: str = Field(
        "|", min_length=1, description="What separates labels (genres, moods) in one text."
    )
    plus: str | None = Field(None, description="Source column of a number to add to a time.")
    plus_seconds: float = Field(1.0, description="Seconds that one unit of `plus` stands for.")

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.sources and self.constant is None:
            raise ValueError("needs column, columns or constant")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source column this one needs, the time offset aside."""
        return self.columns if self.column is None else (self.column, *self.columns)


def _long_form(columns: Any) -> Any:
    if not isinstance(columns, dict):
        return columns
    out: dict[str, Any] = {}
    for name, value in columns.items():
        if isinstance(value, str):
            out[name] = {"column": value}
        else:
            out[name] = {"columns": value} if isinstance(value, (list, tuple)) else value
    return out


Columns = Annotated[dict[str, Column], BeforeValidator(_long_form)]


class FileMapping(Settings):
    """One source file and how to read it."""

    file: str = Field(description="Path of the file; a relative one starts at the root folder.")
    kind: FileKind | None = Field(None, description="Form of the file; unset: by its suffix.")
    delimiter: str | None = Field(
        None, min_length=1, max_length=4, description="Unset: comma in csv files, tab in tsv files."
    )
    quote: str | None = Field(
        None, max_length=1, description="Quote character, empty for none; unset: none in tsv files."
    )
    encoding: Literal["utf-8", "latin-1", "cp1252"] = Field("utf-8", description="Text encoding.")
    header: tuple[str, ...] | None = Field(
        None, description="Column names of a file whose first line is data already."
    )

    def path(self, root: Path) -> Path:
        """The file, found from the root folder."""
        return root / self.file

    def file_kind(self) -> FileKind:
        """The form of the file, by setting or suffix; ``.gz`` is looked through.

        Raises:
            ConfigError: If neither tells.
        """
        if self.kind is not None:
            return self.kind
        name = Path(self.file)
        suffix = (name.with_suffix("") if name.suffix == ".gz" else name).suffix.lower()
        if suffix not in SUFFIXES:
            raise ConfigError(
                f'{self.file}: suffix "{suffix}" tells no kind of file; set kind to one of '
                f"{', '.join(sorted(set(SUFFIXES.values())))}"
            )
        return SUFFIXES[suffix]


class JoinMapping(FileMapping):
    """A further file whose columns become available as ``name.column``."""

    name: str = Field(min_length=1, description="Prefix of the joined columns.")
    on: str = Field(description="Key column in the joined file; the first row of a key counts.")
    key: str | None = Field(None, description="Key column in the table itself; unset: as in `on`.")


class TableMapping(FileMapping):
    """One table: a file, the columns of ours it fills, and further files joined to it.

    A column of the event contract that is not named here is taken from a source
    column of the same name, if there is one.
    """

    columns: Columns = Field(default_factory=dict, description="Our column = source column.")
    joins: tuple[JoinMapping, ...] = Field((), description="Further files (not for events).")
    keep_others: bool = Field(False, description="Keep source columns that are mapped nowhere.")
    require: tuple[str, ...] = Field(
        (), description="Rows without these source columns are set aside, not reported as faults."
    )


class ItemsMapping(TableMapping):
    """The catalogue: from its own file, or collected from the events."""

    file: str = Field("", description="Catalogue file; empty: the events' own columns are used.")


class VectorsMapping(FileMapping):
    """A file of item vectors, such as what a network made of images; one row per item."""

    item_id: str = Field("item_id", description="Source column of the ids.")
    columns: tuple[str, ...] = Field(
        (),
        description="One column of lists, or the columns of numbers in their order; empty: all but the ids, "
        "numbered columns by their numbers.",
    )


class ImportMapping(Settings):
    """A whole import."""

    name: str = Field("dataset", min_length=1, description="Short name of the data set.")
    events: TableMapping = Field(description="The log.")
    items: ItemsMapping | None = Field(None, description="The catalogue.")
    users: TableMapping | None = Field(None, description="Attributes of users.")
    taggings: TableMapping | None = Field(None, description="Tags users put on items.")
    friends: TableMapping | None = Field(None, description="Directed friend pairs.")
    vectors: dict[Annotated[str, StringConstraints(pattern=f"^{NAME}$")], VectorsMapping] = Field(
        default_factory=dict, description="Vectors of items, by modality, such as `image`."
    )
    target: Target = Field(default_factory=Target, description="What counts as positive.")
    duplicates: Duplicates = Field(
        "report",
        description="A repeated event (user, item, time, kind) is a fault, kept, or set aside.",
    )
    session_gap_minutes: float = Field(
        SESSION_GAP_MINUTES,
        gt=0,
        description="Idle minutes that end a session, without session ids.",
    )


TABLES = ("events", "items", "users", "taggings", "friends")


def mapping_from_flags(
    events: str,
    items: str | None = None,
    users: str | None = None,
    maps: tuple[str, ...] = (),
    name: str = "dataset",
) -> ImportMapping:
    """The mapping that a command line spells out.

    Args:
        events: Path of the log.
        items: Path of the catalogue, or None.
        users: Path of the user table, or None; all its columns are kept.
        maps: ``table.column=source`` pairs, such as ``"events.timestamp=rated_at"``; also
            ``target.min_value=4``.
        name: Short name of the data set.

    Raises:
        ConfigError: If a pair is misspelt, repeated, or names a table without a file.
    """
    values: dict[str, Any] = {"name": name, "events": {"file": events, "columns": {}}}
    if items is not None:
        values["items"] = {"file": items, "columns": {}}
    if users is not None:
        values["users"] = {"file": users, "columns": {}, "keep_others": True}
    values["target"] = {}
    wrong = []
    for pair in maps:
        place, equals, source = pair.partition("=")
        table, dot, column = place.partition(".")
        if not (equals and dot and column and source) or table not in (*TABLES, "target"):
            wrong.append(f'"{pair}" is no mapping; write it like events.timestamp=rated_at')
        elif table not in values:
            wrong.append(f'"{pair}" names {table}, which has no file; add --{table} FILE')
        elif column in (into := values[table] if table == "target" else values[table]["columns"]):
            wrong.append(f'"{pair}" comes after {place}={into[column]}; give it once')
        else:
            into[column] = source
    if wrong:
        raise ConfigError("--map: " + "\n  ".join(wrong))
    return validate(ImportMapping, values, "--map")
