"""`ImportReport`: what an import read, kept and left out, and how it understood the source."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from crossfade.data.target import Target
from crossfade.errors import Problem


@dataclass(frozen=True)
class ImportReport:
    """The outcome of one import.

    Attributes:
        name: Name of the data set.
        directory: Where the data set is.
        version: Version id of the saved directory.
        n_read: Rows of the log, good or bad.
        n_kept: Events in the data set.
        n_skipped: Rows of the log with faults.
        set_aside: Rows of the log left out on purpose, by reason.
        n_skipped_elsewhere: Rows with faults in the catalogue and other tables.
        n_users: Users, with or without events.
        n_items: Items, with or without events.
        span: First and last event time, or None without times.
        n_positives: Events that count as positive.
        target: What counts as positive.
        problems: Every fault with count, first place and mend.
        warnings: Oddities that were kept.
        notes: How times were read, and other decisions.
        side_file: Where the rows are that were left out, or None.
    """

    name: str
    directory: Path
    version: str
    n_read: int
    n_kept: int
    n_skipped: int
    set_aside: dict[str, int]
    n_skipped_elsewhere: int
    n_users: int
    n_items: int
    span: tuple[datetime, datetime] | None
    n_positives: int
    target: Target
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    notes: tuple[str, ...]
    side_file: Path | None

    def facts(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        plain = asdict(self)
        plain["target"] = self.target.model_dump()
        plain["directory"] = str(self.directory)
        plain["side_file"] = None if self.side_file is None else str(self.side_file)
        plain["span"] = None if self.span is None else [time.isoformat() for time in self.span]
        return plain
