"""What people wanted after they were asked, and what they had met before."""

import numpy as np
import polars as pl

from crossfade.data import Dataset
from crossfade.types import Rows, Times

ASKED = {"request": pl.Int64, "item_row": pl.Int32, "time_us": pl.Int64}


def requests_frame(user_row: Rows, as_of_us: Times | None) -> pl.DataFrame:
    """Requests with the time at which the same person is next asked, null for never.

    Args:
        user_row: Who asks, shape ``(B,)``.
        as_of_us: When; None where nobody says.
    """
    frame = pl.DataFrame(
        {"request": np.arange(len(user_row)), "user_row": user_row.astype(np.int32)}
    )
    if as_of_us is None:
        return frame
    frame = frame.with_columns(as_of_us=pl.Series(as_of_us))
    moments = frame.select("user_row", "as_of_us").unique().sort("user_row", "as_of_us")
    moments = moments.with_columns(until_us=pl.col("as_of_us").shift(-1).over("user_row"))
    return frame.join(moments, on=["user_row", "as_of_us"], how="left", maintain_order="left")


def wanted_items(dataset: Dataset, requests: pl.DataFrame) -> pl.DataFrame:
    """Positive items of each request: from its moment until the same person's next one.

    Args:
        dataset: Its target says what is positive.
        requests: From `requests_frame`; without moments everything positive counts.

    Returns:
        ``request``, ``item_row``, and ``time_us`` of the first time, null without times.
    """
    found = _events(dataset, requests, pl.col("strength") > 0)
    if "as_of_us" in requests.columns:
        time = pl.col("time_us")
        found = found.filter(
            time >= pl.col("as_of_us"), (time < pl.col("until_us")).fill_null(value=True)
        )
    return (
        found.group_by("request", "item_row")
        .agg(pl.col("time_us").min())
        .sort("request", "item_row")
    )


def met_items(dataset: Dataset, requests: pl.DataFrame) -> pl.DataFrame:
    """``request`` and ``item_row`` of everything in each history, wanted or not."""
    if "as_of_us" not in requests.columns:
        return pl.DataFrame(schema={"request": pl.Int64, "item_row": pl.Int32})
    found = _events(dataset, requests, pl.lit(value=True))
    return (
        found.filter(pl.col("time_us") < pl.col("as_of_us")).select("request", "item_row").unique()
    )


def _events(dataset: Dataset, requests: pl.DataFrame, which: pl.Expr) -> pl.DataFrame:
    time = pl.col("timestamp").to_physical() if dataset.has_times else pl.lit(None, pl.Int64)
    events = dataset.events.filter(which).select("user_row", "item_row", time_us=time)
    return requests.join(events, on="user_row", how="inner")
