"""What a data set holds, at a glance: the library side of ``crossfade check``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from crossfade.data.dataset import Dataset
from crossfade.data.directory import load_dataset
from crossfade.data.importing.run import SIDE_FILE
from crossfade.data.schema import AUDIO_FEATURES, EVENT_COLUMNS
from crossfade.files import MANIFEST


@dataclass(frozen=True)
class DatasetSummary:
    """Counts and shares of one data set.

    Attributes:
        name: Name of the data set.
        target: What counts as positive.
        n_users: User rows; ``n_users_with_events`` of them did something.
        n_items: Item rows; ``n_items_with_events`` of them were met with.
        n_events: Events; ``n_positives`` of them count as positive.
        density: Share of all user-item pairs that occur, in [0, 1].
        first: Time of the first event, ISO 8601; None without times.
        last: Time of the last event.
        n_sessions: Sessions; None where neither times nor ids tell them.
        share_with_genres: Share of items with a genre.
        share_with_audio: Share of items with all eight audio features.
        columns: Optional event columns that are there.
        n_taggings: Tags put by users; 0 if there are none.
        n_friend_pairs: Directed friend pairs; 0 if there are none.
        n_vectors: Items with a vector, by modality.
        problems: Oddities worth knowing.
        side_file: Rows that the import left out, or None.
    """

    name: str
    target: dict[str, Any]
    n_users: int
    n_users_with_events: int
    n_items: int
    n_items_with_events: int
    n_events: int
    n_positives: int
    density: float
    first: str | None
    last: str | None
    n_sessions: int | None
    share_with_genres: float
    share_with_audio: float
    columns: tuple[str, ...]
    n_taggings: int
    n_friend_pairs: int
    n_vectors: dict[str, int]
    problems: tuple[str, ...]
    side_file: str | None

    def facts(self) -> dict[str, Any]:
        """The summary as JSON-ready values."""
        return asdict(self)


def summarise(directory: Path) -> DatasetSummary:
    """Load a saved data set, verify its checksums, and count.

    Raises:
        BundleError: If it is missing, damaged or of a newer schema.
    """
    data = load_dataset(directory)
    # Loading has verified the manifest and every part.
    manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    side = directory / f"parts-{manifest['version']}" / SIDE_FILE
    return summary_of(data, manifest.get("source") or {}, side if side.is_file() else None)


def summary_of(
    data: Dataset, imported: Mapping[str, Any] = MappingProxyType({}), side_file: Path | None = None
) -> DatasetSummary:
    """Count what a data set holds.

    Args:
        data: The data set.
        imported: What its import told, as its manifest has it.
        side_file: Rows that the import left out.
    """
    events = data.events
    pairs = events.select(pl.struct("user_row", "item_row").n_unique()).item()
    times = events["timestamp"] if data.has_times else None
    sessions = events["session_row"]
    return DatasetSummary(
        name=data.name,
        target=data.target.model_dump(),
        n_users=data.n_users,
        n_users_with_events=events["user_row"].n_unique(),
        n_items=data.n_items,
        n_items_with_events=events["item_row"].n_unique(),
        n_events=data.n_events,
        n_positives=int((events["strength"] > 0).sum()),
        density=pairs / (data.n_users * data.n_items),
        first=None if times is None else times[0].isoformat(),
        last=None if times is None else times[-1].isoformat(),
        n_sessions=None
        if sessions.null_count() == len(sessions)
        else sessions.drop_nulls().n_unique(),
        share_with_genres=_share(data, ("genres",)),
        share_with_audio=_share(data, AUDIO_FEATURES),
        columns=tuple(
            name for name in events.columns if name in EVENT_COLUMNS or name.startswith("context_")
        ),
        n_taggings=0 if data.taggings is None else data.taggings.height,
        n_friend_pairs=0 if data.friends is None else data.friends.height,
        n_vectors={name: table.height for name, table in data.vectors.items()},
        problems=tuple(_problems(data, imported)),
        side_file=None if side_file is None else str(side_file),
    )


def _share(data: Dataset, names: tuple[str, ...]) -> float:
    if not set(names) <= set(data.items.columns):
        return 0.0
    known = pl.all_horizontal(pl.col(name).is_not_null() for name in names)
    return float(data.items.select(known.mean()).item())


def _problems(data: Dataset, imported: Mapping[str, Any]) -> list[str]:
    found = []
    for kind in ("problems", "warnings"):
        for one in imported.get(kind, ()):
            rows = f"{one['n_rows']:,} rows, first at " if one["n_rows"] else ""
            found.append(f"{one['check']}: {rows}{one['where']}: {one['found']}; {one['mend']}")
    if not (data.events["strength"] > 0).any():
        found.append("no event counts as positive; check the target")
    if not data.has_times:
        found.append("events have no times; only per-user protocols are possible")
    return found
