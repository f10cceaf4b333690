"""What came of lists: only of those that are old enough for it to have come."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from crossfade.calibration.metrics import brier, calibration_error
from crossfade.monitoring.measure import Measure, apart, mean_over_people
from crossfade.monitoring.window import Acts, Lists, Window
from crossfade.types import Bools, Doubles, Ints, Rows

Proposed = Callable[[int, Sequence[int]], Sequence[bool | None]]
"""From a list and rows of items to whether they were among its candidates; None where they may not be."""


def matured(lists: Lists, until_us: int, horizon_us: int) -> Bools:
    """Lists whose outcome is known at a moment: shown ``horizon_us`` or longer before, to somebody."""
    return np.asarray((lists.time_us + horizon_us <= until_us) & (lists.person >= 0))


def wanted_after(lists: Lists, acts: Acts, of: Bools, horizon_us: int) -> pl.DataFrame:
    """Items that people wanted within the horizon after some lists were shown.

    Returns:
        ``owner`` (list), ``item_row`` (not -1), one row per pair.
    """
    shown = pl.DataFrame(
        {"owner": np.flatnonzero(of), "person": lists.person[of], "shown_us": lists.time_us[of]}
    )
    done = pl.DataFrame(
        {"person": acts.person, "item_row": acts.item_row, "time_us": acts.time_us}
    ).filter(pl.Series(acts.wanted), pl.col("item_row") >= 0)
    later = pl.col("time_us") - pl.col("shown_us")
    return (
        shown.join(done, on="person")
        .filter((later > 0) & (later <= horizon_us))
        .select("owner", "item_row")
        .unique()
        .sort("owner", "item_row")
    )


def outcomes(
    window: Window,
    until_us: int,
    horizon_us: int,
    *,
    blocks: float | None,
    rng: np.random.Generator,
    resamples: int,
) -> list[Measure]:
    """Hits and calibration of the lists that have matured.

    Args:
        window: What was shown and done.
        until_us: The moment up to which outcomes are known.
        horizon_us: How long an outcome may take.
        blocks: The horizon as a multiple of the time that probabilities are for; None judges no
            probabilities. See `Probability.predict`.
        rng: Draws people.
        resamples: Draws of all of them.
    """
    lists = window.lists
    of = matured(lists, until_us, horizon_us)
    place = of[lists.owner]
    owner, item_row = lists.owner[place], lists.item_row[place]
    wanted = wanted_after(lists, window.acts, of, horizon_us)
    hit = pairs(owner, item_row)
    hits = np.isin(hit, pairs(wanted["owner"].to_numpy(), wanted["item_row"].to_numpy()))
    person = apart(lists.person)[owner]
    any_hit = np.isin(np.flatnonzero(of), owner[hits])
    found = [
        mean_over_people("hit", "places", hits, person, rng=rng, resamples=resamples),
        mean_over_people("hit", "lists", any_hit, lists.person[of], rng=rng, resamples=resamples),
    ]
    if blocks is not None:
        found += _calibration(
            lists.probability[place],
            hits,
            person,
            blocks=blocks,
            rng=rng,
            resamples=resamples,
        )
    return found


def _calibration(
    probability: Doubles,
    wanted: Bools,
    person: Ints,
    *,
    blocks: float,
    rng: np.random.Generator,
    resamples: int,
) -> list[Measure]:
    chance = -np.expm1(blocks * np.log1p(-np.minimum(probability, 1 - 1e-12)))
    error = calibration_error(chance, wanted, person, rng, resamples=resamples)
    if not error.n:
        return []
    known = ~np.isnan(chance)
    n = error.n_requests
    return [
        Measure(
            name="calibration_error",
            of="",
            value=error.debiased,
            low=error.low,
            high=error.high,
            n=n,
        ),
        Measure(name="brier", of="", value=brier(chance, wanted).score, n=n),
        mean_over_people(
            "probability", "", chance[known], person[known], rng=rng, resamples=resamples
        ),
        mean_over_people("wanted", "", wanted[known], person[known], rng=rng, resamples=resamples),
    ]


def candidate_recall(
    window: Window,
    until_us: int,
    horizon_us: int,
    proposed: Proposed,
    *,
    most: int,
    rng: np.random.Generator,
    resamples: int,
) -> list[Measure]:
    """Share of what people wanted after a list that was among its candidates, of what may be listed at all.

    Args:
        window: What was shown and done.
        until_us: The moment up to which outcomes are known.
        horizon_us: How long an outcome may take.
        proposed: Tells candidates.
        most: Lists that are looked at, drawn at random.
        rng: Draws lists and people.
        resamples: Draws of all of them.
    """
    lists = window.lists
    of = matured(lists, until_us, horizon_us)
    wanted = wanted_after(lists, window.acts, of, horizon_us)
    owners = wanted["owner"].unique().sort().to_numpy()
    if len(owners) > most:
        owners = np.sort(rng.choice(owners, most, replace=False))
    rows = wanted.filter(pl.col("owner").is_in(owners.tolist())).group_by("owner").agg("item_row")
    share, person = [], []
    for owner, items in rows.sort("owner").iter_rows():
        there = [one for one in proposed(owner, items) if one is not None]
        if there:
            share.append(np.mean(there))
            person.append(lists.person[owner])
    if not share:
        return []
    values, whose = np.array(share, np.float64), np.array(person, np.int64)
    return [mean_over_people("candidate_recall", "", values, whose, rng=rng, resamples=resamples)]


def pairs(owner: Ints, item_row: Ints | Rows) -> Ints:
    """One number for each list and item."""
    return owner.astype(np.int64) * 2**32 + item_row
