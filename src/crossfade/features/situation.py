"""What somebody says of the situation they ask in, in the columns that a blend learned with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real

import numpy as np

from crossfade.data import Queries
from crossfade.data.query import Situation
from crossfade.errors import ConfigError
from crossfade.types import Floats

Context = Mapping[str, object]
"""What somebody says of the situation they ask in: values by column."""

PREFIX = "context_"
"""Event columns of this start describe the situation."""


@dataclass(frozen=True)
class EnvironmentColumn:
    """One event column.

    Attributes:
        name: Its name.
        values: Categories with a column of their own, in the order of their names; None for
            numbers.
    """

    name: str
    values: tuple[str, ...] | None

    @property
    def width(self) -> int:
        """Columns that it becomes."""
        return 1 if self.values is None else len(self.values)


def stated(columns: Sequence[EnvironmentColumn], said: Context) -> Situation:
    """A situation in the words of the outside world, checked.

    Args:
        columns: Those that the blend learned with.
        said: Value by name of the column, with ``context_`` before it or without. A number may
            be text, as it comes from a command line or a web address.

    Raises:
        ConfigError: With everything that is wrong: columns that the blend does not know,
            values that are no number, categories that it has not met, no columns at all.
    """
    if not isinstance(said, Mapping):
        raise ConfigError(
            f'context must be values by column, such as {{"device": "phone"}}, got {said!r}'
        )
    known = {column.name: column for column in columns}
    found: dict[str, float | str] = {}
    faults = []
    for name, value in said.items():
        column = known.get(PREFIX + str(name).removeprefix(PREFIX))
        if column is None:
            there = ", ".join(sorted(full.removeprefix(PREFIX) for full in known))
            faults.append(
                f'the blend knows no "{name}"; '
                + (f"it learned with {there}" if there else "it learned without any situation")
                + ", so leave it out, or fit again on a log with that column"
            )
            continue
        read = _number(value) if column.values is None else _category(value)
        if read is None:
            wanted = "a number" if column.values is None else "a text or a code"
            faults.append(
                f"{name} must be {wanted}, got {value!r}; leave it out if it is not known"
            )
        elif column.values is not None and read not in column.values:
            choices = ", ".join(column.values)
            faults.append(
                f"{name} is one of {choices}, got {value!r}; leave it out if it is another"
            )
        else:
            found[column.name] = read
    if faults:
        raise ConfigError("context: " + "; ".join(faults))
    return found


def noted(columns: Sequence[EnvironmentColumn], event: Context) -> Situation:
    """What an event says of the situation it happened in, as a log would have it.

    Unlike a request, an event may say anything: what the blend does not know or cannot read is
    left out, and a category that it has not met is none of those it knows.

    Args:
        columns: Those that the blend learned with.
        event: Value by name of the column, with ``context_`` before it or without.
    """
    given = {PREFIX + name.removeprefix(PREFIX): value for name, value in event.items()}
    found: dict[str, float | str] = {}
    for column in columns:
        value = given.get(column.name)
        read = _number(value) if column.values is None else _category(value)
        if read is not None and read != "":
            found[column.name] = read
    return found


def overlaid(latest: Floats, columns: Sequence[EnvironmentColumn], queries: Queries) -> Floats:
    """The latest known situations with those in their place that requests come with.

    Args:
        latest: Shape ``(B, C)``, the columns side by side.
        columns: As many as make C.
        queries: B requests.
    """
    if queries.situations is None:
        return latest
    out, start = latest.copy(), 0
    for column in columns:
        for row, situation in enumerate(queries.situations):
            value = situation.get(column.name)
            if value is not None:
                told = [value] if column.values is None else np.equal(column.values, value)
                out[row, start : start + column.width] = told
        start += column.width
    return out


def _number(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, Real | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _category(value: object) -> str | None:
    """A category as logs spell it, where a code is the same text whatever type of number it is."""
    if isinstance(value, Real):
        return str(float(value)).removesuffix(".0")
    return value.strip() if isinstance(value, str) else None
