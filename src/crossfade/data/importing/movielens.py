"""MovieLens in the layouts of 100k, 1m and latest (also 20m, 25m, 32m)."""

from pathlib import Path

import polars as pl

from crossfade.data.importing.derived import TITLE_YEAR, Derived, optional_file, with_derived
from crossfade.data.importing.mapping import Column, FileMapping
from crossfade.data.importing.plan import Plan, PlannedTable, file_reader
from crossfade.data.target import Target
from crossfade.errors import DataError

GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
ITEM_100K = ("item_id", "title", "released", "video_released", "url", *GENRES_100K)
TARGET = Target(name="likes", min_value=4.0)
YEAR = Derived("year", ("title",), pl.col("title").str.extract(TITLE_YEAR))


def movielens_plan(source: Path) -> Plan:
    """The plan for the folder of any MovieLens set; the files in it tell which.

    Postal codes are left out.

    Raises:
        DataError: If the folder holds none of the layouts.
    """
    for log, plan in (
        ("u.data", _plan_100k),
        ("ratings.dat", _plan_1m),
        ("ratings.csv", _plan_latest),
    ):
        if (source / log).is_file():
            return plan(source)
    raise DataError(
        f"{source}: no u.data, ratings.dat or ratings.csv here; give the folder of an unpacked MovieLens set"
    )


def _plan_100k(source: Path) -> Plan:
    flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in GENRES_100K]
    genres = Derived("genres", GENRES_100K, pl.concat_str(flags, separator="|", ignore_nulls=True))
    released = pl.col("released").str.to_date("%d-%b-%Y", strict=False)
    return Plan(
        name="movielens-100k",
        events=_table(
            source / "u.data",
            "tsv",
            "\t",
            ("user_id", "item_id", "rating", "rated_at"),
            timestamp="rated_at",
            value="rating",
        ),
        target=TARGET,
        items=PlannedTable(
            read=with_derived(
                file_reader(source / "u.item", _options("u.item", "csv", "|", ITEM_100K)),
                genres,
                Derived("date", ("released",), released.cast(pl.String)),
            ),
            columns={
                "genres": Column(column="genres"),
                "release_date": Column(column="date"),
            },
        ),
        users=_table(
            source / "u.user",
            "csv",
            "|",
            ("user_id", "age", "gender", "occupation", "zip"),
            age="age",
            gender="gender",
            occupation="occupation",
        ),
    )


def _plan_1m(source: Path) -> Plan:
    movies = _options("movies.dat", "csv", "::", ("item_id", "title", "genres"))
    return Plan(
        name="movielens-1m",
        events=_table(
            source / "ratings.dat",
            "csv",
            "::",
            ("user_id", "item_id", "rating", "rated_at"),
            timestamp="rated_at",
            value="rating",
        ),
        target=TARGET,
        items=PlannedTable(
            read=with_derived(file_reader(source / "movies.dat", movies), YEAR),
            columns={"release_date": Column(column="year")},
        ),
        users=_table(
            source / "users.dat",
            "csv",
            "::",
            ("user_id", "gender", "age_group", "occupation", "zip"),
            gender="gender",
            age_group="age_group",
            occupation="occupation",
        ),
    )


def _plan_latest(source: Path) -> Plan:
    def read(name: str) -> FileMapping:
        return FileMapping(file=name, kind="csv")

    tags = optional_file(source, ("tags.csv",))
    ids = {"user_id": Column(column="userId"), "item_id": Column(column="movieId")}
    return Plan(
        name="movielens",
        events=PlannedTable(
            read=file_reader(source / "ratings.csv", read("ratings.csv")),
            columns={
                **ids,
                "value": Column(column="rating"),
                "timestamp": Column(column="timestamp"),
                "event": Column(constant="rating"),
            },
        ),
        target=TARGET,
        items=PlannedTable(
            read=with_derived(file_reader(source / "movies.csv", read("movies.csv")), YEAR),
            columns={
                "item_id": Column(column="movieId"),
                "release_date": Column(column="year"),
            },
        ),
        taggings=None
        if tags is None
        else PlannedTable(
            read=file_reader(tags, read("tags.csv")),
            columns={**ids, "tag": Column(column="tag"), "timestamp": Column(column="timestamp")},
        ),
    )


def _options(name: str, kind: str, delimiter: str, header: tuple[str, ...]) -> FileMapping:
    return FileMapping(
        file=name,
        kind="tsv" if kind == "tsv" else "csv",
        delimiter=delimiter,
        quote="",
        encoding="latin-1",
        header=header,
    )


def _table(
    path: Path, kind: str, delimiter: str, header: tuple[str, ...], **columns: str
) -> PlannedTable:
    mapped = {name: Column(column=source) for name, source in columns.items()}
    if "value" in mapped:
        mapped["event"] = Column(constant="rating")
    return PlannedTable(
        read=file_reader(path, _options(path.name, kind, delimiter, header)), columns=mapped
    )
