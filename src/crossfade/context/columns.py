"""Finding the columns an extractor reads among those there are."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.features.dictionary import SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES
from crossfade.features.situation import PREFIX
from crossfade.features.social import SOCIAL
from crossfade.types import Floats, Ints

_CONFIDENCE = tuple(f"{name}_confidence" for name in AUDIO_FEATURES)
_METADATA = ("completeness", "log_age_days", "log_users")

SOURCE = "predicted"
"""Name of the column that `with_source` adds."""

REST = "rest"
"""The modality of columns that belong to no other."""

UNCERTAINTY_NAMES = (*AUDIO_FEATURES, *_CONFIDENCE, SOURCE, *_METADATA)
"""Columns of `uncertainty_columns`: audio values and the confidence in each, both in [0, 1]; 1 where any of
the values is a guess, else 0; completeness of the catalogue entry; log1p of days since the item's first
event, and of the users who wanted it."""


def columns_of(columns: Sequence[str], names: Sequence[str]) -> Ints:
    """Where each wanted column stands.

    Args:
        columns: Names of the columns there are; ones that are not wanted are passed over.
        names: Names of the wanted ones.

    Returns:
        Shape ``(len(names),)``; -1 for columns that are not there.

    Raises:
        ValueError: If a wanted column is there more than once.
    """
    twice = [name for name, n in Counter(columns).items() if n > 1 and name in set(names)]
    if twice:
        raise ValueError(f"column {twice[0]} is there more than once; keep one")
    place = {name: index for index, name in enumerate(columns)}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)


def take_columns(values: Floats, columns: Sequence[str], names: Sequence[str]) -> Floats:
    """Wanted columns in the wanted order.

    Args:
        values: Shape ``(..., C)``.
        columns: Their C names; see `columns_of`.
        names: Names of the wanted ones.

    Returns:
        Shape ``(..., len(names))``; NaN, which is missing, in columns that are not there.

    Raises:
        ValueError: If there are more or fewer columns than names of them, or as `columns_of`.
    """
    if values.shape[-1] != len(columns):
        raise ValueError(f"{len(columns)} names for {values.shape[-1]} columns")
    places = columns_of(columns, names)
    taken = np.full((*values.shape[:-1], len(names)), np.nan, dtype=np.float32)
    there = places >= 0
    taken[..., there] = values[..., places[there]]
    return taken


def uncertainty_columns(values: Floats, columns: Sequence[str]) -> Floats:
    """What is known of candidates, how surely, and from where, before any scaling.

    A measured audio value has confidence 1. So a value with less is a guess, also one of
    confidence 0, which explains nothing.

    Args:
        values: Context of candidates as it was read, shape ``(..., C)``, NaN where missing.
        columns: Their names.

    Returns:
        Shape ``(..., len(UNCERTAINTY_NAMES))``, NaN where missing: the flag too, where no value
        comes with a confidence.

    Raises:
        ValueError: As `take_columns`.
    """
    taken = take_columns(values, columns, UNCERTAINTY_NAMES)
    taken[..., UNCERTAINTY_NAMES.index(SOURCE)] = _source(values, columns)
    return taken


def with_source(values: Floats, columns: Sequence[str]) -> Floats:
    """Context of candidates and, as its last column, where their audio values come from.

    Args:
        values: As it was read, shape ``(..., C)``, NaN where missing.
        columns: Their names.

    Returns:
        Shape ``(..., len(source_names(columns)))``: the values themselves where no confidence
        is among the columns. See `uncertainty_columns` for the added one.
    """
    if len(source_names(columns)) == len(columns):
        return values
    return np.concatenate([values, _source(values, columns)[..., None]], axis=-1)


def source_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of `with_source`."""
    return (*columns, SOURCE) if set(_CONFIDENCE) & set(columns) else tuple(columns)


def _source(values: Floats, columns: Sequence[str]) -> Floats:
    """1 where any audio value is a guess, 0 where all are measured, NaN where nothing tells."""
    audio = take_columns(values, columns, AUDIO_FEATURES)
    confidence = take_columns(values, columns, _CONFIDENCE)
    confidence[~np.isfinite(audio)] = np.nan
    told = np.isfinite(confidence).any(axis=-1)
    return np.where(told, (confidence < 1).any(axis=-1), np.nan).astype(np.float32)


def request_modalities(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which columns of requests belong together.

    Args:
        columns: Names of the columns there are.

    Returns:
        By modality, the columns its extractor reads, there or not; modalities without a column
        are left out. Those of `EnvironmentContext` and of the rest are all there.
    """
    named = {"session": SESSION_FEATURE_NAMES, "temporal": TEMPORAL_FEATURE_NAMES}
    situations = tuple(name for name in columns if name.startswith(PREFIX))
    return _modalities(columns, {**named, "environment": situations})


def candidate_modalities(columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Which columns of candidates belong together; as `request_modalities`."""
    return _modalities(columns, {"uncertainty": UNCERTAINTY_NAMES, "social": SOCIAL})


def _modalities(
    columns: Sequence[str], named: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    taken = {name for names in named.values() for name in names}
    everything = {**named, REST: tuple(name for name in columns if name not in taken)}
    return {key: names for key, names in everything.items() if set(names) & set(columns)}
