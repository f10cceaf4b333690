"""Catalogues from where they lie: a data set's directory, or a Parquet or CSV file."""

from pathlib import Path

import polars as pl

from crossfade.data import load_dataset
from crossfade.data.conform import conform_catalogue
from crossfade.data.schema import ITEM_COLUMNS
from crossfade.errors import DataError

_BETWEEN_LABELS = "|"


def read_items(path: Path) -> pl.DataFrame:
    """The items of a data set or of a catalogue file.

    Args:
        path: Directory written by `crossfade import`, or a ``.parquet`` or ``.csv`` file whose
            columns are named after ``ITEM_COLUMNS``; in CSV, genres and moods stand in one cell with
            ``|`` between them.

    Raises:
        BundleError: If the directory is no data set.
        DataError: If the file cannot be read, or a value does not fit its column.
    """
    if path.is_dir():
        return load_dataset(path).items
    if not path.exists():
        raise DataError(f"{path}: no such file or directory; check the path")
    if path.suffix not in {".parquet", ".csv"}:
        raise DataError(
            f"{path}: not a catalogue; give a .parquet or .csv file, or the directory of a data set"
        )
    try:
        items = pl.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read ({reason}); save it again") from None
    try:
        return conform_catalogue(items, ITEM_COLUMNS, "item")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _read_csv(path: Path) -> pl.DataFrame:
    items = pl.read_csv(path, infer_schema=False)
    return items.with_columns(
        pl.col(name).str.split(_BETWEEN_LABELS)
        for name in ("genres", "moods")
        if name in items.columns
    )
