"""A log written, imported, and looked at again."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportReport, import_table, mapping_from_flags

NOW = datetime(2024, 1, 1, tzinfo=UTC)

Import = Callable[..., tuple[ImportReport, Dataset]]


@pytest.fixture
def import_log(tmp_path: Path) -> Import:
    """Imports text as a log: file name, text or bytes, ``--map`` pairs."""

    def run(
        text: str | bytes,
        *maps: str,
        name: str = "log.csv",
        items: str | None = None,
        on_error: Any = "fail",
    ) -> tuple[ImportReport, Dataset]:
        log = tmp_path / name
        log.write_bytes(text if isinstance(text, bytes) else text.encode())
        catalogue = None
        if items is not None:
            catalogue = tmp_path / "items.csv"
            catalogue.write_text(items)
        mapping = mapping_from_flags(
            str(log), None if catalogue is None else str(catalogue), maps=maps
        )
        report = import_table(mapping, tmp_path / "data", now=NOW, on_error=on_error)
        return report, load_dataset(report.directory)

    return run


def events_of(data: Dataset) -> list[tuple[str, str]]:
    """User and item id of every event, in time order."""
    users = data.user_ids.decode(data.events["user_row"].to_numpy())
    items = data.item_ids.decode(data.events["item_row"].to_numpy())
    return list(zip(users, items, strict=True))


@pytest.fixture
def pairs() -> Callable[[Dataset], list[tuple[str, str]]]:
    return events_of


@pytest.fixture
def left_out() -> Callable[[ImportReport], list[dict[str, Any]]]:
    def read(report: ImportReport) -> list[dict[str, Any]]:
        assert report.side_file is not None
        return [json.loads(line) for line in report.side_file.read_text().splitlines()]

    return read


@pytest.fixture
def now() -> datetime:
    return NOW
