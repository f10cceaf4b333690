"""Every error crossfade raises on purpose, in one tree.

CrossfadeError
├── ConfigError          a setting is wrong; lists every wrong one
├── DataError            outside data is wrong; carries every `Problem` found
├── UnknownIdError       an id that is not in the data set or bundle
├── NotFittedError       a model was asked before `fit` or `load`
├── TrainingError        training broke down, such as a loss that is not a number
├── BundleError          a saved directory is missing, damaged or too new
├── StoreError           the event log cannot be read or written
├── ConflictError        an idempotency key or request id that stands for something else
└── MissingExtraError    an optional dependency is not installed

Each message names the thing, the value and the mend.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class CrossfadeError(Exception):
    """Base of all errors a caller may want to catch."""


class ConfigError(CrossfadeError):
    """One or more settings are wrong."""


@dataclass(frozen=True)
class Problem:
    """One kind of fault in outside data.

    Attributes:
        check: Short stable name, such as ``"bad_timestamp"``.
        n_rows: How many rows have it; 0 where the fault is of a whole file.
        where: File and first line, such as ``"ratings.csv: line 17"``.
        found: The first offending value, as text, shortened.
        mend: What the person can do about it.
    """

    check: str
    n_rows: int
    where: str
    found: str
    mend: str

    def __str__(self) -> str:
        rows = (
            f"{self.n_rows:,} {'row' if self.n_rows == 1 else 'rows'}, first at "
            if self.n_rows
            else ""
        )
        return f"{self.check}: {rows}{self.where}: {self.found}; {self.mend}"


class DataError(CrossfadeError):
    """Outside data cannot be used as it is."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  {problem}" for problem in problems)]))


class UnknownIdError(CrossfadeError):
    """An id that the data set or bundle has never seen."""


class NotFittedError(CrossfadeError):
    """A model was asked for scores before it learned anything."""


class TrainingError(CrossfadeError):
    """Training broke down and its weights are of no use."""


class BundleError(CrossfadeError):
    """A saved directory cannot be read safely, or could not be written."""


class StoreError(CrossfadeError):
    """The event log cannot be read or written; nothing of a failed call was kept by halves."""


class ConflictError(CrossfadeError):
    """A name that may be given once was given again, to something else."""


class MissingExtraError(CrossfadeError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'crossfade[{extra}]'")
