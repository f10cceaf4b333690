"""The 18 session features of many users or moments at once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
from scipy.stats import rankdata

from crossfade.data import Dataset
from crossfade.data.dataset import to_us
from crossfade.errors import DataError
from crossfade.features.batch import statistics_at
from crossfade.features.dictionary import SESSION_FEATURE_NAMES
from crossfade.features.reference import NO_TIME, SessionFeatureConfig, SessionReference
from crossfade.features.statistics import finish, fixed
from crossfade.types import Bools, Doubles, Ints, Rows, Times


def session_features(
    dataset: Dataset, as_of: datetime | None, reference: SessionReference
) -> pl.DataFrame:
    """The 18 session features of every user as of one moment.

    Args:
        dataset: The log; events at or after ``as_of`` are not looked at.
        as_of: The moment; None takes everything, for data without times.
        reference: Facts of the base block, from `fit_reference`.

    Returns:
        One row per user row: ``user_row`` and the features of the data dictionary as
        Float64, NaN where missing.

    Raises:
        DataError: If the data has times and no moment is given or the other way round, or
            the reference belongs to another catalogue.
    """
    users = np.arange(dataset.n_users, dtype=np.int32)
    moments = None if as_of is None else np.full(len(users), to_us(as_of), dtype=np.int64)
    values = session_features_at(dataset, users, moments, reference)
    return pl.DataFrame(values, schema=list(SESSION_FEATURE_NAMES)).insert_column(
        0, pl.Series("user_row", users)
    )


def session_features_at(
    dataset: Dataset,
    user_rows: Sequence[int] | Rows,
    as_of_us: Times | None,
    reference: SessionReference,
) -> Doubles:
    """The 18 session features of many users, each as of a moment of their own.

    Args:
        dataset: The log.
        user_rows: Who, shape ``(n,)``; one user may ask several times, -1 is a stranger.
        as_of_us: When, in microseconds, ``(n,)``; None takes everything, for data without times.
        reference: Facts of the base block, from `fit_reference`.

    Returns:
        Shape ``(n, 18)`` in the order of the data dictionary, NaN where missing.

    Raises:
        DataError: As `session_features`.
    """
    if reference.n_items != dataset.n_items:
        raise DataError(
            f"session features: the reference knows {reference.n_items:,} items, {dataset.name} has "
            f"{dataset.n_items:,}; fit the reference on a block of the same data set"
        )
    past = statistics_at(dataset, np.asarray(user_rows, dtype=np.int32), as_of_us, reference)
    return finish(past, as_of_us, reference)


def fit_reference(base: Dataset, config: SessionFeatureConfig | None = None) -> SessionReference:
    """Measure what the session features need to know about items and users.

    Args:
        base: The base block; no later event may be in it. Its catalogue gives genres and
            release dates.
        config: Windows and thresholds.
    """
    config = config if config is not None else SessionFeatureConfig()
    items = base.events["item_row"].to_numpy()
    n_plays = np.bincount(items, minlength=base.n_items)
    indptr, genre = _genres(base)
    facts = SessionReference(
        config=config,
        popularity=_percentile(n_plays),
        head=_head(n_plays, config.head_share),
        birth_us=_births(base, config),
        genre_indptr=indptr,
        genre=genre,
        streaks=np.zeros(0, dtype=np.int64),
        repeat_quantiles=(np.nan, np.nan),
        fitted_until_us=NO_TIME if base.time_us is None else int(base.time_us[-1]) + 1,
    )
    # Streaks and types compare a user with the base block's users, so those come first.
    users = np.arange(base.n_users, dtype=np.int32)
    until = None if base.time_us is None else np.full(len(users), facts.fitted_until_us)
    past = statistics_at(base, users, until, facts)
    enough = past.plays >= config.min_plays_for_type
    repeat_rate = (past.plays - past.new_items)[enough] / past.plays[enough]
    low, high = np.nan, np.nan
    if enough.any():
        low = float(np.quantile(repeat_rate, config.explorer_quantile))
        high = float(np.quantile(repeat_rate, config.loyalist_quantile))
    streaks = np.sort(past.longest_streak[past.longest_streak > 0])
    return replace(facts, streaks=streaks, repeat_quantiles=(low, high))


def _percentile(n_plays: Ints) -> Ints:
    """Mid-rank of each item among the items with a play, times `FIXED`; -1 without a play."""
    known = n_plays > 0
    out = np.full(len(n_plays), -1, dtype=np.int64)
    out[known] = fixed((rankdata(n_plays[known]) - 0.5) / max(1, known.sum()))
    return out


def _head(n_plays: Ints, share: float) -> Bools:
    """The most played items up to the one that completes ``share`` of all plays."""
    order = np.argsort(-n_plays, kind="stable")
    before = np.cumsum(n_plays[order]) - n_plays[order]
    head = np.zeros(len(n_plays), dtype=np.bool_)
    head[order[before < share * n_plays.sum()]] = True
    return head


def _births(base: Dataset, config: SessionFeatureConfig) -> Times:
    """When each item came out: its release date, else its first play if that can be trusted."""
    birth_us = np.full(base.n_items, NO_TIME, dtype=np.int64)
    if base.time_us is not None:
        first_us = np.full(base.n_items, np.iinfo(np.int64).max)
        np.minimum.at(first_us, base.events["item_row"].to_numpy(), base.time_us)
        # A first play soon after the log began tells nothing: the item may be years old.
        trusted = first_us < np.iinfo(np.int64).max
        trusted &= first_us >= base.time_us[0] + config.early_us
        birth_us[trusted] = first_us[trusted]
    if "release_date" in base.items.columns:
        released = base.items["release_date"].cast(pl.Datetime("us")).to_physical()
        known = released.is_not_null().to_numpy()
        birth_us[known] = released.drop_nulls().to_numpy()
    return birth_us


def _genres(base: Dataset) -> tuple[Ints, Rows]:
    """Genres of every item as numbers, item by item, with where each item's begin."""
    if "genres" not in base.items.columns:
        return np.zeros(base.n_items + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    pairs = (
        base.items.select(item_row=pl.int_range(pl.len()), genre=pl.col("genres").list.unique())
        .explode("genre")
        .drop_nulls()
        .with_columns(pl.col("genre").rank("dense").cast(pl.Int32) - 1)
        .sort("item_row", "genre")
    )
    counts = np.bincount(pairs["item_row"].to_numpy(), minlength=base.n_items)
    return np.concatenate([[0], np.cumsum(counts)]), pairs["genre"].to_numpy()
