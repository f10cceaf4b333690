"""Weather, mood, device: what events say about the situation they happened in."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.arrays import as_part, pack_strings, part_of, unpack_strings
from crossfade.config import Field, Settings
from crossfade.data import Dataset, Queries
from crossfade.errors import DataError
from crossfade.features.past import Past, noted_moments
from crossfade.features.situation import PREFIX, EnvironmentColumn, overlaid
from crossfade.types import Arrays, Floats, Times


class EnvironmentConfig(Settings):
    """How event columns that start with ``context_`` are read."""

    categories: tuple[str, ...] = Field(
        (),
        description="Number columns whose numbers are codes of categories, such as context_weather.",
    )
    max_values: int = Field(
        32,
        ge=1,
        description="Values of a category that get a column of their own, the most common first.",
    )
    max_age_days: float | None = Field(
        None, gt=0, description="What was known longer ago counts as unknown; unset: no limit."
    )


@dataclass(frozen=True)
class EnvironmentSchema:
    """Which event columns are read and which categories they have, fitted on a training log.

    Attributes:
        config: How to read.
        columns: In the order of their names; those with no value in training are left out.
    """

    config: EnvironmentConfig
    columns: tuple[EnvironmentColumn, ...]

    @classmethod
    def fit(cls, log: Dataset, config: EnvironmentConfig | None = None) -> "EnvironmentSchema":
        """Learn columns and categories.

        Args:
            log: Events of training; no later one is to be in it.
            config: How to read.

        Raises:
            DataError: If a column holds neither numbers nor texts, or a category column of
                the settings is not there.
        """
        config = config if config is not None else EnvironmentConfig()
        events = log.events
        absent = [name for name in config.categories if name not in events.columns]
        if absent:
            raise DataError(
                f"{log.name}: the events have no column {', '.join(absent)}; leave it out of categories"
            )
        columns = []
        for name in sorted(name for name in events.columns if name.startswith(PREFIX)):
            if _is_number(events[name], config):
                if _numbers(events[name]).null_count() < events.height:
                    columns.append(EnvironmentColumn(name, None))
                continue
            counts = _texts(events[name]).drop_nulls().value_counts(name="n")
            common = counts.sort(["n", name], descending=[True, False])[name]
            if len(common):
                # By name: how common each is changes with the log, the columns must not.
                columns.append(
                    EnvironmentColumn(name, tuple(common.head(config.max_values).sort()))
                )
        return cls(config, tuple(columns))

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of `features`: the name of a number, name and value of a category."""
        return tuple(
            name
            for column in self.columns
            for name in (
                [column.name]
                if column.values is None
                else [f"{column.name}={value}" for value in column.values]
            )
        )

    def features(self, log: Dataset, queries: Queries) -> Floats:
        """The situation a request comes with, or the latest its person is known to have been in.

        Args:
            log: Events to look at. Columns that were not there at fit are passed over; those
                that are missing now are unknown.
            queries: Requests by users of this log. Only events strictly before each are looked
                at; all of them where a request has no time.

        Returns:
            Shape ``(B, len(names))``. A number stands as it is. A category has 1 in the column of
            its value and 0 in the others, 0 in all of them where training had not met the value.
            NaN where missing: strangers, people with no such value yet or none lately.

        Raises:
            DataError: If requests have times and the log has none, or a column holds another
                kind of value than at fit.
        """
        return self.of(log).features(queries)

    def of(self, log: Dataset) -> "EnvironmentFeatures":
        """The same for many requests: the log is put in order once.

        Raises:
            DataError: If a column holds another kind of value than at fit.
        """
        given = [self._read(log, column) for column in self.columns]
        moments = noted_moments(log, given)
        return EnvironmentFeatures(
            self,
            log.name,
            moments,
            tuple(None if one is None else Past.of(log, one, moments) for one in given),
        )

    def _read(self, log: Dataset, column: EnvironmentColumn) -> pl.Series | None:
        """Numbers of one column, or places of categories; null where missing, None where all are."""
        events = log.events
        if column.name not in events.columns or not events[column.name].count():
            return None
        series = events[column.name]
        if _is_number(series, self.config) != (column.values is None):
            was = "numbers" if column.values is None else "categories"
            raise DataError(
                f"{log.name}: {column.name} held {was} when it was fitted and is {series.dtype} now; "
                "convert it, or fit again"
            )
        return _numbers(series) if column.values is None else _codes(series, column.values)

    def to_arrays(self) -> Arrays:
        """Everything but the settings, as plain arrays."""
        n_values = [-1 if c.values is None else len(c.values) for c in self.columns]
        return {
            **pack_strings("names", [column.name for column in self.columns]),
            **pack_strings("values", [value for c in self.columns for value in c.values or ()]),
            "n_values": np.array(n_values, dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: EnvironmentConfig) -> "EnvironmentSchema":
        """The inverse of `to_arrays`."""
        values, columns = iter(unpack_strings("values", arrays)), []
        names = unpack_strings("names", arrays)
        for name, n in zip(names, arrays["n_values"].tolist(), strict=True):
            own = None if n < 0 else tuple(next(values) for _ in range(n))
            columns.append(EnvironmentColumn(name, own))
        return cls(config, tuple(columns))


def _is_number(series: pl.Series, config: EnvironmentConfig) -> bool:
    """Whether a column is read as a number; if not, it is a category."""
    kind = series.dtype
    if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
        return series.name not in config.categories
    if not isinstance(kind, pl.String | pl.Categorical | pl.Enum):
        raise DataError(
            f"events: column {series.name} is {kind}; turn it into numbers or texts, or leave it out"
        )
    return False


def _numbers(series: pl.Series) -> pl.Series:
    """As numbers; null where there is none, or none that is finite."""
    numbers = series.cast(pl.Float64)
    finite = numbers.is_finite().fill_null(value=False)
    return pl.select(pl.when(finite).then(numbers)).to_series().alias(series.name)


def _texts(series: pl.Series) -> pl.Series:
    """As texts; null where there is none. A code is the same text whatever type of number it is."""
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return _numbers(series).cast(pl.String).str.strip_suffix(".0")
    texts = series.cast(pl.String).str.strip_chars()
    return pl.select(pl.when(texts != "").then(texts)).to_series().alias(series.name)


def _codes(series: pl.Series, values: tuple[str, ...]) -> pl.Series:
    """Place of each text among the values, -1 for any other text; null where there is none."""
    texts = _texts(series)
    places = texts.cast(pl.Enum(values), strict=False).to_physical().cast(pl.Int32).fill_null(-1)
    return pl.select(pl.when(texts.is_not_null()).then(places)).to_series()


def _block(latest: Floats, n_values: int | None) -> Floats:
    """Numbers as one column, categories as one column per value."""
    if n_values is None:
        return latest[:, None]
    one_hot: Floats = (latest[:, None] == np.arange(n_values)).astype(np.float32)
    return one_hot


@dataclass(frozen=True, eq=False)
class EnvironmentFeatures:
    """The situations of one log, ready to be asked for; made by `EnvironmentSchema.of`.

    Attributes:
        schema: Which columns are read.
        log_name: For messages.
        moments: Different times at which a value was noted, ascending; None without times.
        past: Of each column of the schema; None where the log has no value of it.
    """

    schema: EnvironmentSchema
    log_name: str
    moments: Times | None
    past: tuple[Past | None, ...]

    def features(self, queries: Queries) -> Floats:
        """As `EnvironmentSchema.features`, shape ``(B, len(schema.names))``.

        Raises:
            DataError: If requests have times and the log has none.
        """
        if queries.as_of_us is not None and self.moments is None:
            raise DataError(
                f"{self.log_name}: events have no times, so as_of means nothing; leave it out"
            )
        blocks = [np.zeros((len(queries), 0), dtype=np.float32)]
        for column, past in zip(self.schema.columns, self.past, strict=True):
            n_values = None if column.values is None else len(column.values)
            block = np.full((len(queries), column.width), np.nan, dtype=np.float32)
            if past is not None:
                place = past.latest(queries, self.moments, self.schema.config.max_age_days)
                found = place >= 0
                block[found] = _block(past.value[place[found]], n_values)
            blocks.append(block)
        return overlaid(np.hstack(blocks), self.schema.columns, queries)

    def to_arrays(self) -> Arrays:
        """Everything but the schema, as plain arrays; columns under their places in it."""
        kept: Arrays = {} if self.moments is None else {"moments": self.moments}
        for place, past in enumerate(self.past):
            if past is not None:
                kept |= as_part(past.to_arrays(), str(place))
        return kept

    @classmethod
    def from_arrays(
        cls, arrays: Arrays, schema: EnvironmentSchema, log_name: str
    ) -> "EnvironmentFeatures":
        """The inverse of `to_arrays`."""
        parts = [part_of(arrays, str(place)) for place in range(len(schema.columns))]
        past = tuple(Past.from_arrays(part) if part else None for part in parts)
        moments = arrays["moments"].astype(np.int64, copy=False) if "moments" in arrays else None
        return cls(schema, log_name, moments, past)
