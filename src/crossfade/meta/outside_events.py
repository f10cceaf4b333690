"""What happened: a saved data set or a Parquet log, beside somebody else's scores."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from crossfade.data import Dataset, load_dataset
from crossfade.errors import DataError
from crossfade.meta.outside_checks import Known
from crossfade.meta.outside_table import ScoreTable


@dataclass(frozen=True, eq=False)
class Events:
    """Events from one of two places.

    Attributes:
        name: Short name for reports.
        dataset: A saved data set, whose ids are all there are; None for a log.
        log: Events with ids; None for a data set.
        items: Catalogue of the log, whose items are all there are; None where nobody gave one.
    """

    name: str
    dataset: Dataset | None = None
    log: pl.DataFrame | None = None
    items: pl.DataFrame | None = None

    @property
    def known(self) -> Known:
        """The ids that scores may use; a log alone does not say who and what else there is."""
        if self.dataset is not None:
            return {"user_id": self.dataset.user_ids.ids, "item_id": self.dataset.item_ids.ids}
        if self.items is None or self.log is None:
            return {}
        both = [frame["item_id"].cast(pl.String) for frame in (self.items, self.log)]
        return {"item_id": pl.concat(both).unique().drop_nulls().sort()}

    def joined(self, table: ScoreTable) -> Dataset:
        """The events as a data set that has a row for every user and item of the scores.

        Raises:
            DataError: If the log does not follow the event contract.
        """
        if self.dataset is not None:
            return self.dataset
        assert self.log is not None
        scored = pl.DataFrame({"item_id": table.item_id.unique().sort()})
        items = scored
        if self.items is not None:
            catalogue = self.items.with_columns(pl.col("item_id").cast(pl.String))
            items = pl.concat(
                [catalogue, scored.join(catalogue, on="item_id", how="anti")], how="diagonal"
            )
        users = table.requests.select(pl.col("user_id").unique().sort())
        return Dataset.build(self.log, items, users, name=self.name)


def read_events(path: Path, items: Path | None = None) -> Events:
    """A directory of `crossfade import`, or a Parquet file of the event contract.

    Args:
        path: The directory or file.
        items: Catalogue of a log, as Parquet with ``item_id``.

    Raises:
        DataError: If a file is not readable or lacks its id columns, or a data set is given a catalogue.
        BundleError: If the directory is no data set.
    """
    if path.is_dir():
        if items is not None:
            raise DataError(f"{path}: a data set has its own catalogue; leave --items out")
        dataset = load_dataset(path)
        return Events(dataset.name, dataset)
    log = _read(path, ("user_id", "item_id"), "events")
    catalogue = None if items is None else _read(items, ("item_id",), "items")
    return Events(path.stem, log=log, items=catalogue)


def _read(path: Path, required: tuple[str, ...], noun: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file or directory; check the path of the {noun}"
        ) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}; "
            "bring other files in with crossfade import"
        ) from None
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; the columns are {', '.join(frame.columns)}"
        )
    return frame
