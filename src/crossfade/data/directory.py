"""A data set on disk: Parquet parts and a manifest."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from crossfade.config import validate
from crossfade.data.dataset import TABLES, Dataset
from crossfade.data.target import Target
from crossfade.data.vectors import PREFIX
from crossfade.errors import BundleError
from crossfade.files import publish, read_published, write_parquet

SCHEMA = 1


def save_dataset(
    dataset: Dataset,
    directory: Path | str,
    source: dict[str, object] | None = None,
    side_files: Sequence[Path] = (),
) -> str:
    """Write a data set so that readers see the old or the new one.

    Args:
        dataset: What to save.
        directory: Where; an older data set there is replaced.
        source: JSON-ready facts of where it came from, kept in the manifest.
        side_files: Files to keep beside the tables, such as the rows an import left out.

    Returns:
        The version id of the saved directory.

    Raises:
        BundleError: If the place holds something else or the disk refuses.
    """

    def write(parts: Path) -> None:
        for name, table in dataset.tables().items():
            write_parquet(table, parts / f"{name}.parquet")
        for file in side_files:
            shutil.copyfile(file, parts / file.name)

    header = {
        **dataset.facts,
        "has_times": dataset.has_times,
        "source": json.loads(json.dumps(source or {}, default=str)),
    }
    return publish(Path(directory), "dataset", SCHEMA, header, write)


def load_dataset(directory: Path | str) -> Dataset:
    """Read a saved data set, every file checked.

    Raises:
        BundleError: If it is missing, damaged or from a newer crossfade.
    """
    return read_published(Path(directory), "dataset", SCHEMA, _read)


def _read(manifest: dict[str, Any], parts: Path) -> Dataset:
    directory, frames = parts.parent, {}
    for file in sorted(manifest["files"]):
        table = file.removesuffix(".parquet")
        if table in TABLES or table.startswith(PREFIX):
            try:
                frames[table] = pl.read_parquet(parts / file)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise BundleError(
                    f"{parts / file}: damaged ({error}); import the data again"
                ) from None
    try:
        target = validate(Target, manifest["target"], str(directory))
        return Dataset.from_tables(frames, manifest["name"], target)
    except KeyError as error:
        raise BundleError(
            f"{directory}: damaged ({error} is missing); import the data again"
        ) from None
