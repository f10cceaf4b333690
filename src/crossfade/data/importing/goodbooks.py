"""Goodbooks-10k: ratings of books without times, and the catalogue."""

from pathlib import Path

import polars as pl

from crossfade.data.importing.derived import Derived, optional_file, wanted_file, with_derived
from crossfade.data.importing.mapping import Column, FileMapping
from crossfade.data.importing.plan import Plan, PlannedTable, Read, file_reader
from crossfade.data.target import Target


def goodbooks_plan(source: Path) -> Plan:
    """The plan for the unpacked folder.

    Average ratings and rating counts of the catalogue are snapshots: they are kept
    under the prefix ``snapshot_``, which no training input reads.

    Raises:
        DataError: If ``ratings.csv`` is not there.
    """
    log = wanted_file(source, ("ratings.csv",), "Goodbooks")
    books = optional_file(source, ("books.csv",))
    return Plan(
        name="goodbooks",
        events=PlannedTable(
            read=_csv(log),
            columns={
                "item_id": Column(column="book_id"),
                "value": Column(column="rating"),
                "event": Column(constant="rating"),
            },
        ),
        target=Target(name="likes", min_value=4.0),
        items=None
        if books is None
        else PlannedTable(
            read=with_derived(_csv(books), _year(), *_own_number(books)),
            columns={
                "item_id": Column(column="book_number"),
                "title": Column(column="title"),
                "creator": Column(column="authors"),
                "release_date": Column(column="year"),
                "isbn": Column(column="isbn"),
                "language": Column(column="language_code"),
                "snapshot_average_rating": Column(column="average_rating"),
                "snapshot_ratings_count": Column(column="ratings_count"),
            },
        ),
    )


def _year() -> Derived:
    # "2008.0"; the year of an ancient book is negative, and no date here.
    year = pl.col("original_publication_year").str.extract(r"^(\d{1,4})(?:\.0)?$").str.zfill(4)
    return Derived("year", ("original_publication_year",), year)


def _own_number(books: Path) -> tuple[Derived, ...]:
    """The first release calls the number that ratings use ``id``, later ones ``book_id``."""
    with books.open(encoding="utf-8-sig", errors="replace") as file:
        first = file.readline(65_536).strip().split(",")[0].strip('"')
    return (Derived("book_number", (first,), pl.col(first)),)


def _csv(path: Path) -> Read:
    return file_reader(path, FileMapping(file=path.name, kind="csv"))
