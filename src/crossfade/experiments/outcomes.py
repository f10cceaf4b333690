"""What came of each list, and of each unit: one number, which never changes once it counts."""

import polars as pl

from crossfade.data.schema import NEGATIVE_KINDS, SKIP
from crossfade.experiments.config import Experiment, Metric
from crossfade.types import MICROSECONDS_PER_DAY

LISTS = pl.Schema(
    {
        "request_id": pl.String(),
        "time_us": pl.Int64(),
        "unit_id": pl.String(),
        "arm": pl.String(),
        "item_ids": pl.List(pl.String()),
        "version": pl.String(),
        "item_arms": pl.List(pl.String()),
    }
)
"""Lists as they were shown, one a row; the arm is null where none answered, or where the list is interleaved: then
each item has one. The version is what answered."""

EVENTS = pl.Schema(
    {
        "time_us": pl.Int64(),
        "unit_id": pl.String(),
        "item_id": pl.String(),
        "request_id": pl.String(),
        "event": pl.String(),
        "value": pl.Float64(),
        "played_ms": pl.Int64(),
        "skipped": pl.Boolean(),
    }
)
"""What units did, one event a row; the request is null where the event names none."""

_SKIPPED = pl.col("skipped").fill_null(value=False) | (pl.col("event") == SKIP)
_AGAINST = _SKIPPED | pl.col("event").is_in(NEGATIVE_KINDS)
_N_ITEMS = pl.col("n_items").first()

OF_A_LIST: dict[Metric, pl.Expr] = {
    "wanted": (pl.col("strength") > 0).sum(),
    "wanted_any": (pl.col("strength") > 0).any(),
    "click_share": pl.col("item_id").filter(~_AGAINST).n_unique() / _N_ITEMS,
    "skip_share": pl.col("item_id").filter(_SKIPPED).n_unique() / _N_ITEMS,
    "value": pl.col("value").sum(),
}
"""From the events that react to a list; a list that nobody reacts to has 0."""

FEWER_IS_BETTER: tuple[Metric, ...] = ("skip_share",)


def counted(
    experiment: Experiment,
    lists: pl.DataFrame,
    events: pl.DataFrame,
    now_us: int,
    team: str | None = None,
) -> pl.DataFrame:
    """Units whose time is over, with what came of them.

    A unit is watched for ``days`` from its first list on and counts once the last of those lists can get
    no more reactions. So it counts once, and its number stays what it is.

    Args:
        experiment: Its settings.
        lists: As `LISTS`, those that its arms answered.
        events: As `EVENTS`, at least those of the units.
        now_us: The moment of asking.
        team: Arm of interleaved lists that has to have put an item there, for its events to count.

    Returns:
        One row per unit in the order in which they came to count: ``unit_id``, ``arm``, ``value``
        (mean over its lists) and ``n_lists``.
    """
    watched = lists.with_columns(first_us=pl.col("time_us").min().over("unit_id")).filter(
        pl.col("time_us") <= pl.col("first_us") + _days_us(experiment)
    )
    over = watched.filter(
        pl.col("first_us") + _days_us(experiment) + window_us(experiment) < now_us
    )
    return _means(experiment, over, events, team)


def before(experiment: Experiment, lists: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """What came of units before the experiment: ``unit_id`` and ``before``; who got no list is not in it."""
    first = lists.with_columns(first_us=pl.col("time_us").min().over("unit_id"))
    return _means(experiment, first, events).select("unit_id", before="value")


def window_us(experiment: Experiment) -> int:
    """How long a list may be reacted to."""
    return round(experiment.window_hours / 24 * MICROSECONDS_PER_DAY)


def _days_us(experiment: Experiment) -> int:
    return round(experiment.days * MICROSECONDS_PER_DAY)


def _means(
    experiment: Experiment, lists: pl.DataFrame, events: pl.DataFrame, team: str | None = None
) -> pl.DataFrame:
    found = _reactions(lists, events, window_us(experiment))
    if team is not None:
        found = found.filter(pl.col("item_arm") == team)
    found = found.with_columns(experiment.target.expression(found.columns))
    of_a_list = found.group_by("request_id").agg(
        OF_A_LIST[experiment.metric].cast(pl.Float64).alias("value")
    )
    return (
        lists.join(of_a_list, on="request_id", how="left")
        .with_columns(pl.col("value").fill_null(0.0))
        .sort("time_us", "request_id")
        .group_by("unit_id", maintain_order=True)
        .agg(pl.col("first_us", "arm").first(), pl.col("value").mean(), n_lists=pl.len())
        .sort("first_us", "unit_id")
        .drop("first_us")
    )


def _reactions(lists: pl.DataFrame, events: pl.DataFrame, window: int) -> pl.DataFrame:
    """Events with the list they react to: the one they name, else the unit's latest with the item."""
    shown = (
        lists.select(
            "request_id",
            "unit_id",
            pl.col("item_ids").alias("item_id"),
            pl.col("item_arms").alias("item_arm"),
            pl.col("item_ids").list.len().alias("n_items"),
            pl.col("time_us").alias("shown_us"),
        )
        .explode("item_id", "item_arm")
        .unique(["request_id", "item_id"])
        .sort("shown_us", "request_id")
    )
    named = events.join(shown.drop("unit_id"), on=["request_id", "item_id"]).filter(
        pl.col("time_us") <= pl.col("shown_us") + window  # clocks of phones may be behind ours
    )
    nameless = events.filter(pl.col("request_id").is_null()).drop("request_id").sort("time_us")
    latest = nameless.join_asof(
        shown,
        left_on="time_us",
        right_on="shown_us",
        by=["unit_id", "item_id"],
        strategy="backward",
        tolerance=window,
        allow_exact_matches=False,
        check_sortedness=False,  # it cannot be checked within groups; both are sorted above
        coalesce=False,
    ).filter(pl.col("request_id").is_not_null())
    return pl.concat([named, latest.select(named.columns)])
