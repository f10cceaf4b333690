"""Audio features of a catalogue: a value, how sure it is, and where it comes from."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import polars as pl

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.errors import DataError, Problem
from crossfade.types import Bools, Floats

TEMPO_RANGE_BPM = (30.0, 300.0)
"""What a tempo can be. Values outside are another unit (beats per second, milliseconds per beat)."""

RANGES = dict.fromkeys(AUDIO_FEATURES, (0.0, 1.0)) | {"tempo": TEMPO_RANGE_BPM}
"""Smallest and largest possible value of each feature."""


class Source(IntEnum):
    """Where a value comes from."""

    MISSING = 0
    ACTUAL = 1
    PREDICTED = 2
    PRIOR = 3


@dataclass(frozen=True)
class AudioFeatures:
    """The eight audio features of some items, in the order of ``AUDIO_FEATURES``.

    Attributes:
        mean: Value or best guess in its own unit, shape ``(n, 8)``; NaN where missing.
        sigma: Standard deviation of the guess in the same unit, shape ``(n, 8)``: 0 for actual
            values, NaN where missing.
        source: `Source` of each value, int8, shape ``(n, 8)``.
    """

    mean: Floats
    sigma: Floats
    source: np.ndarray[tuple[int, int], np.dtype[np.int8]]

    @property
    def known(self) -> Bools:
        """Where there is a value, measured or guessed, shape ``(n, 8)``."""
        return np.not_equal(self.source, Source.MISSING.value)

    @classmethod
    def from_items(cls, items: pl.DataFrame) -> "AudioFeatures":
        """What a catalogue says.

        A value counts as actual unless ``<feature>_source`` and ``<feature>_sigma`` stand
        beside it (see `to_items`).

        Raises:
            DataError: With every feature that has values outside its range.
        """
        shape = (items.height, len(AUDIO_FEATURES))
        mean, sigma = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        source = np.zeros(shape, dtype=np.int8)
        for column, name in enumerate(AUDIO_FEATURES):
            if name not in items.columns:
                continue
            mean[:, column] = items[name].cast(pl.Float32).fill_null(np.nan).to_numpy()
            known = ~np.isnan(mean[:, column])
            source[known, column], sigma[known, column] = Source.ACTUAL, 0.0
            if f"{name}_source" in items.columns:
                said = items[f"{name}_source"].to_list()
                source[:, column] = [Source[(text or "missing").upper()] for text in said]
                sigma[:, column] = (
                    items[f"{name}_sigma"].cast(pl.Float32).fill_null(np.nan).to_numpy()
                )
        refuse_out_of_range(mean, items)
        return cls(mean, sigma, source)

    def to_items(self, items: pl.DataFrame) -> pl.DataFrame:
        """The catalogue with these features: ``<feature>``, ``<feature>_sigma``, ``<feature>_source``."""
        columns = []
        for column, name in enumerate(AUDIO_FEATURES):
            source = [Source(code).name.lower() for code in self.source[:, column].tolist()]
            columns += [
                pl.Series(name, self.mean[:, column]).fill_nan(None),
                pl.Series(f"{name}_sigma", self.sigma[:, column]).fill_nan(None),
                pl.Series(f"{name}_source", source, dtype=pl.String),
            ]
        return items.with_columns(columns)


def refuse_out_of_range(mean: Floats, items: pl.DataFrame) -> None:
    """Raise for values that cannot be the feature they are said to be.

    Args:
        mean: Shape ``(n, 8)``; NaN is fine.
        items: For the ids in the message.

    Raises:
        DataError: With one problem per feature, each with a count, the first item and the mend.
    """
    problems = []
    for column, (name, (low, high)) in enumerate(RANGES.items()):
        value = mean[:, column]
        wrong = np.flatnonzero((value < low) | (value > high) | np.isinf(value))
        if len(wrong):
            first = int(wrong[0])
            item = items["item_id"][first] if "item_id" in items.columns else f"row {first}"
            unit = "beats per minute" if name == "tempo" else "a share"
            problems.append(
                Problem(
                    check=f"{name}_out_of_range",
                    n_rows=len(wrong),
                    where=f"item {item}",
                    found=f"{name} {value[first]:g}",
                    mend=f"{name} is {unit} from {low:g} to {high:g}: convert it or leave it empty",
                )
            )
    if problems:
        raise DataError("items: audio features that cannot be right", problems)
