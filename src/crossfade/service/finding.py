"""What a check says; light, since it must be said also where packages are missing."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["ok", "warn", "wrong"]

MIN_FREE_GB, GOOD_FREE_GB = 1.0, 5.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What it is.
        state: ``warn`` serves for now; ``wrong`` does not.
        said: What was found, and the mend where something is the matter.
    """

    check: str
    state: State
    said: str


def disk(path: Path) -> Finding:
    """Whether a folder's disk has room."""
    free_gb = shutil.disk_usage(path).free / 1e9
    said = f"{free_gb:,.1f} GB free at {path.resolve()}"
    if free_gb < MIN_FREE_GB:
        return Finding("free disk", "wrong", f"{said}; make room or choose another place")
    if free_gb < GOOD_FREE_GB:
        return Finding("free disk", "warn", f"{said}; make room before it is full")
    return Finding("free disk", "ok", said)
