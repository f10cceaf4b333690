"""What a list is made from: the candidates of one request, and what must hold for it."""

from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from crossfade.errors import DataError
from crossfade.types import Doubles, Floats, Rows


def _nobody() -> Rows:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items that may be listed for one request, in any order.

    Attributes:
        item_row: Shape ``(n,)``, each once.
        score: Larger is better, on any scale, shape ``(n,)``; NaN where nobody can score the
            item, which is then never listed.
        probability: Calibrated probability in [0, 1], shape ``(n,)``, NaN where unknown; None
            if no calibrated model gave the scores.
        uncertainty: How unsure the score is, 0 or more, shape ``(n,)``; NaN where unknown.
            None if nobody knows.
        vectors: Item vectors, shape ``(n, width)``; a row with NaN, or of zeros alone, is
            unknown. None leaves likeness to the genres.

    Raises:
        DataError: If any of this does not hold; names everything that does not.
    """

    item_row: Rows
    score: Floats | Doubles
    probability: Floats | Doubles | None = None
    uncertainty: Floats | Doubles | None = None
    vectors: Floats | Doubles | None = None

    def __post_init__(self) -> None:
        faults = _rows_fault("item_row", self.item_row)
        if not faults:
            faults += _candidate_faults(self)
        if faults:
            raise DataError("candidates: " + "; ".join(faults))


@dataclass(frozen=True, eq=False)
class Conditions:
    """What must hold for one list besides the settings; none of it ever gives way.

    Unknown ids (rows of -1) in a list of items are ignored: they stand for no item.

    Attributes:
        seen: Items the person knows; they are not listed. Any shape ``(m,)``, doubles allowed.
        block: Items that are not listed for another reason; a block beats an allow.
        allow: Only these may be listed; None allows all, an empty list nothing.
        rules: Rules of this request, beside those of the settings.
        as_of_us: Moment of the request in microseconds; needed where items have windows.
        history: Share of each genre in what the person liked (`RankingCatalogue.genre_shares`),
            shape ``(n_genres,)``; None for strangers, whose lists are then not calibrated.

    Raises:
        DataError: If any of this is of the wrong kind; names everything that is.
    """

    seen: Rows = field(default_factory=_nobody)
    block: Rows = field(default_factory=_nobody)
    allow: Rows | None = None
    rules: tuple[str, ...] = ()
    as_of_us: int | None = None
    history: Doubles | None = None

    def __post_init__(self) -> None:
        faults = [
            *_rows_fault("seen", self.seen, unknown=True),
            *_rows_fault("block", self.block, unknown=True),
            *([] if self.allow is None else _rows_fault("allow", self.allow, unknown=True)),
        ]
        faults += _rules_fault(self.rules)
        if self.as_of_us is not None and not is_integer(self.as_of_us):
            faults.append(
                f"as_of_us must be whole microseconds since 1970, got {_shown(self.as_of_us)}; "
                "crossfade.data.dataset.to_us turns a datetime into them"
            )
        if self.history is not None:
            faults += _shares_fault(self.history)
        if faults:
            raise DataError("conditions: " + "; ".join(faults))


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value counts something; True and 1.0 do not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _rows_fault(name: str, rows: Any, *, unknown: bool = False) -> list[str]:
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "iu" or rows.ndim != 1:
        return [f"{name} must be an array of item rows, shape (n,), got {_shown(rows)}"]
    least = -1 if unknown else 0
    if len(rows) and rows.min() < least:
        return [f"{name} must hold item rows, {least} or more, got {rows.min()}"]
    return []


def _rules_fault(rules: Any) -> list[str]:
    if isinstance(rules, tuple) and all(isinstance(rule, str) for rule in rules):
        return []
    return [f"rules must be a tuple of texts, got {_shown(rules)}"]


def _candidate_faults(candidates: Candidates) -> list[str]:
    rows = candidates.item_row
    n, faults = len(rows), []
    ordered = np.sort(rows)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        faults.append(f"item row {twice[0]} stands there more than once; give each item once")
    for name, low, high in (
        ("score", -np.inf, np.inf),
        ("probability", 0.0, 1.0),
        ("uncertainty", 0.0, np.inf),
    ):
        values = getattr(candidates, name)
        if values is None and name != "score":
            continue
        if not _is_float(values) or values.shape != (n,):
            faults.append(f"{name} must be one float each, shape ({n},), got {_shown(values)}")
        elif np.isinf(values).any():
            faults.append(f"{name} of item row {rows[np.isinf(values)][0]} is infinite; mend it")
        elif (wrong := (values < low) | (values > high)).any():
            faults.append(f"{name} must lie in [{low:g}, {high:g}], got {values[wrong][0]:g}")
    vectors = candidates.vectors
    if vectors is None:
        return faults
    if not _is_float(vectors) or vectors.ndim != 2 or len(vectors) != n:
        faults.append(f"vectors must be floats, shape ({n}, width), got {_shown(vectors)}")
    elif np.isinf(vectors).any():
        infinite = rows[np.isinf(vectors).any(axis=1)]
        faults.append(f"the vector of item row {infinite[0]} is infinite; mend it")
    return faults


def _shares_fault(history: Any) -> list[str]:
    good = _is_float(history) and history.ndim == 1
    if good and (history >= 0).all() and abs(history.sum() - 1) < 1e-4:
        return []
    return [
        f"history must hold a share for each genre, 0 or more and 1 in sum, got {_shown(history)}; "
        "RankingCatalogue.genre_shares gives them"
    ]


def _is_float(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray):
        text = f"{value.dtype} of shape {value.shape}"
        return f"{text} with sum {value.sum():g}" if _is_float(value) and value.ndim == 1 else text
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
