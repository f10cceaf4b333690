"""Where one session ends and the next begins."""

import polars as pl

SESSION_GAP_MINUTES = 30.0


def session_rows(events: pl.DataFrame, gap_minutes: float = SESSION_GAP_MINUTES) -> pl.Series:
    """Session number of each event.

    Session ids in the data decide; without any, a session ends when the next event
    of the same user starts more than ``gap_minutes`` later. Whether an event opens a
    session depends on earlier events only.

    Args:
        events: Sorted by time; ``user_row``, ``timestamp`` and optionally ``session_id``.
        gap_minutes: Idle minutes that end a session.

    Returns:
        Int32 numbers from 0. Null where neither ids nor times are known, and for single
        events without an id in data that has ids.
    """
    if "session_id" in events.columns and events["session_id"].null_count() < events.height:
        key = pl.struct("user_row", "session_id").rank("dense").cast(pl.Int32) - 1
        given = pl.col("session_id").is_not_null()
        return events.select(pl.when(given).then(key).alias("session_row")).to_series()
    if "timestamp" not in events.columns:
        return pl.Series("session_row", [None] * events.height, dtype=pl.Int32)
    idle = pl.duration(microseconds=round(gap_minutes * 60_000_000))
    opens = (
        (pl.col("user_row") != pl.col("user_row").shift())
        | (pl.col("timestamp") - pl.col("timestamp").shift() > idle)
    ).fill_null(value=True)
    return (
        events.select("user_row", "timestamp")
        .with_row_index("place")
        .sort("user_row", "timestamp", "place")
        .with_columns(session_row=(opens.cum_sum().cast(pl.Int32) - 1))
        .sort("place")
        .get_column("session_row")
    )


def continued_session_rows(events: pl.DataFrame) -> pl.Series:
    """Session number of each event of a log without session ids that went on.

    Between two events that have a session already its own word stands: they may have been told
    apart by another pause.

    Args:
        events: Sorted by time; ``user_row``, ``timestamp``, and ``session_row``, null for new events.

    Returns:
        Int32 numbers from 0.
    """
    idle = pl.duration(microseconds=round(SESSION_GAP_MINUTES * 60_000_000))
    session, known = pl.col("session_row"), pl.col("session_row").is_not_null()
    opens = (
        (pl.col("user_row") != pl.col("user_row").shift())
        | pl.when(known & known.shift())
        .then(session != session.shift())
        .otherwise(pl.col("timestamp").diff() > idle)
    ).fill_null(value=True)
    return (
        events.select("user_row", "timestamp", "session_row")
        .with_row_index("place")
        .sort("user_row", "timestamp", "place")
        .with_columns(session_row=(opens.cum_sum().cast(pl.Int32) - 1))
        .sort("place")
        .get_column("session_row")
    )
