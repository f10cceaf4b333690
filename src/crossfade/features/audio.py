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
        beside it (see `to_items`); one whose source is empty, as of an item that joined a completed
        catalogue, does too. A value whose source is "missing" is not looked at.

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
                source[:, column] = _sources(items[f"{name}_source"], known, items)
                if f"{name}_sigma" in items.columns:
                    said = items[f"{name}_sigma"].cast(pl.Float32).fill_null(np.nan).to_numpy()
                    sigma[:, column] = np.where(known, said, np.nan)
                unsaid = items[f"{name}_source"].is_null().to_numpy() & known
                source[unsaid, column], sigma[unsaid, column] = Source.ACTUAL, 0.0
                missing = source[:, column] == Source.MISSING
                mean[missing, column] = sigma[missing, column] = np.nan
        refuse_out_of_range(mean, items)
        return cls(mean, sigma, source)

    def counts(self) -> list[list[str]]:
        """How many values of each feature come from where: rows of text, heading first."""
        names = [source.name.lower() for source in Source]
        rows = [
            [name, *(f"{int((self.source[:, column] == source).sum()):,}" for source in Source)]
            for column, name in enumerate(AUDIO_FEATURES)
        ]
        return [["feature", *names], *rows]

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


def _sources(
    said: pl.Series, known: Bools, items: pl.DataFrame
) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """Codes of a column ``<feature>_source``; where there is no value nothing has a source."""
    names = [source.name.lower() for source in Source]
    texts = said.cast(pl.String).fill_null("missing").to_list()
    wrong = [row for row, text in enumerate(texts) if text not in names]
    if wrong:
        item = items["item_id"][wrong[0]] if "item_id" in items.columns else f"row {wrong[0]}"
        mend = f"a source is one of {', '.join(names)}"
        where, found = f"item {item}", f"{said.name} {texts[wrong[0]]}"
        problem = Problem("unknown_source", len(wrong), where, found, mend)
        raise DataError("items: audio features from nowhere", [problem])
    codes = np.array([names.index(text) for text in texts], dtype=np.int8)
    return np.where(known, codes, np.int8(Source.MISSING.value))


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
            problems.append(
                Problem(
                    check=f"{name}_out_of_range",
                    n_rows=len(wrong),
                    where=f"item {item}",
                    found=f"{name} {value[first]:g}",
                    mend=_mend(name, float(value[first])),
                )
            )
    if problems:
        raise DataError("items: audio features that cannot be right", problems)


def _mend(name: str, value: float) -> str:
    """What to do about a value, with a guess at how it came about."""
    low, high = RANGES[name]
    if name != "tempo":
        cause = "; a percentage must be divided by 100" if high < value <= 100 else ""
        return f"{name} is a share from {low:g} to {high:g}{cause}: convert it or leave it empty"
    if value == 0:
        return "0 is how some sources write an unknown tempo: leave it empty"
    # Beats per second and milliseconds per beat, each for a tempo within the range.
    cause = ""
    if low <= 60 * value <= high:
        cause = f"; {value:g} may be beats per second, then multiply by 60"
    elif value > 0 and low <= 60_000 / value <= high:
        cause = f"; {value:g} may be milliseconds per beat, then divide 60,000 by it"
    return (
        f"tempo is beats per minute from {low:g} to {high:g}{cause}: convert it or leave it empty"
    )
