"""What a log and its catalogue say to a blend, measured once as plain arrays that a bundle can keep."""

from dataclasses import fields, replace

import numpy as np
import polars as pl

from crossfade.arrays import as_part, pack_strings
from crossfade.data import Dataset
from crossfade.features.audio import RANGES, AudioFeatures
from crossfade.features.audio_scale import unit_width
from crossfade.features.dynamics import DYNAMICS, item_dynamics
from crossfade.features.environment import EnvironmentSchema
from crossfade.features.items import ItemArrays, ItemSchema, LabelRows
from crossfade.features.labels import label_pairs
from crossfade.features.pairs import PAIR_FEATURES
from crossfade.features.session import fit_reference
from crossfade.features.social import FriendFeatures
from crossfade.types import Arrays, Bools, Doubles, Floats

COMPLETENESS = (
    "title",
    "creator",
    "collection",
    "genres",
    "moods",
    "duration_ms",
    "release_date",
)
"""Columns of the catalogue whose presence makes an item well described; blank texts, empty lists and
durations of 0 say nothing."""

ITEM_CONTENT = ("completeness", "release_year", "log_duration")


def measure(dataset: Dataset, environment: EnvironmentSchema) -> Arrays:
    """Everything `ContextReader` reads but the record, as of the end of the log.

    Args:
        dataset: The log; release dates past its end are not looked at.
        environment: Which situations are columns.

    Returns:
        ``fixed``: features of items that do not depend on who asks, one row more than there are
        items, which -1 finds, and room for `PAIR_FEATURES`, all NaN; ``columns``: names of the
        others. ``items``, ``genres``, ``moods``: labels. ``reference``: see `fit_reference`.
        ``situations``, ``friends``: what their classes make of them, the latter only where there
        is a friend table. ``sigma``: of audio features in the unit of their columns,
        ``(n_items + 1, 8)``, only where a value is a guess.
    """
    end_us = None if dataset.time_us is None else int(dataset.time_us[-1]) + 1
    dataset = _released(dataset, end_us)
    schema = ItemSchema.fit(dataset.items, dataset.known_items(end_us))
    items = schema.transform(dataset.items)
    fixed, columns = _item_columns(dataset, items, end_us)
    labels = {field.name: getattr(items, field.name) for field in fields(LabelRows)}
    found = {
        "fixed": np.pad(fixed, ((0, 1), (0, len(PAIR_FEATURES))), constant_values=np.nan),
        **pack_strings("columns", columns),
        **as_part(labels, "items"),
        **schema.genres.to_arrays("genres"),
        **schema.moods.to_arrays("moods"),
        **as_part(fit_reference(dataset).to_arrays(), "reference"),
        **as_part(environment.of(dataset).to_arrays(), "situations"),
    }
    if dataset.friends is not None:
        found |= as_part(FriendFeatures.of(dataset).to_arrays(), "friends")
    sigma = _audio_sigma(dataset.items)
    return found if sigma is None else {**found, "sigma": sigma}


def _audio_sigma(items: pl.DataFrame) -> Floats | None:
    """The last row is NaN; None where no value is a guess."""
    if not any(f"{name}_sigma" in items.columns for name in RANGES):
        return None
    audio = AudioFeatures.from_items(items)
    if not (audio.known & (audio.sigma != 0)).any():
        return None
    sigma = unit_width(audio.sigma).astype(np.float32)
    return np.pad(sigma, ((0, 1), (0, 0)), constant_values=np.nan)


def _released(dataset: Dataset, end_us: int | None) -> Dataset:
    """The data set without release dates at or after the end of its log."""
    if end_us is None or "release_date" not in dataset.items.columns:
        return dataset
    past = pl.col("release_date").cast(pl.Datetime("us")).to_physical() < end_us
    items = dataset.items.with_columns(pl.when(past).then("release_date").alias("release_date"))
    return replace(dataset, items=items)


def _item_columns(
    dataset: Dataset, arrays: ItemArrays, end_us: int | None
) -> tuple[Floats, tuple[str, ...]]:
    """Features of items that do not depend on who asks, ``(n_items, C)``; audio where there is any."""
    complete = completeness(dataset.items)
    columns: list[Doubles | Floats] = [
        item_dynamics(dataset, end_us),
        complete[:, None],
        arrays.numeric,
    ]
    names = [*DYNAMICS, *ITEM_CONTENT]
    if np.isfinite(arrays.audio).any():
        columns += [arrays.audio, arrays.audio_confidence]
        names += [*RANGES, *(f"{name}_confidence" for name in RANGES)]
    return np.hstack(columns).astype(np.float32), tuple(names)


def completeness(items: pl.DataFrame) -> Doubles:
    """Share of `COMPLETENESS` that is known of each item, ``(n_items,)``, in [0, 1]."""
    there = [_given(items, name) for name in COMPLETENESS if name in items.columns]
    if not there:
        return np.zeros(items.height)
    return np.asarray(np.sum(there, axis=0) / len(COMPLETENESS), dtype=np.float64)


def _given(items: pl.DataFrame, name: str) -> Bools:
    """Which items have something in a column, shape ``(n_items,)``."""
    kind = items.schema[name]
    if isinstance(kind, pl.List):
        given = np.zeros(items.height, dtype=np.bool_)
        given[label_pairs(items, name)["row"].to_numpy()] = True
        return given
    there = pl.col(name).is_not_null()
    if kind == pl.String:
        there = pl.col(name).str.strip_chars() != ""
    elif kind.is_numeric():
        there = pl.col(name) > 0
    return items.select(there.fill_null(value=False)).to_series().to_numpy().astype(np.bool_)
