"""Prequential losses of the lists of a version, day by day, and whether their mean changed.

Each list was made before anybody knew what came of it, so its loss is that of a test: nothing has to be held out.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from crossfade.evaluation.statistics import resampled_means, unit_means
from crossfade.monitoring.concept import ConceptDrift
from crossfade.monitoring.config import MonitorConfig
from crossfade.monitoring.facts import Facts
from crossfade.monitoring.measure import Measure, mean_over_people
from crossfade.monitoring.outcomes import matured, pairs, wanted_after
from crossfade.monitoring.window import Acts, Lists, People, Window, acts_of, lists_of
from crossfade.rng import generator
from crossfade.store.log import Log
from crossfade.types import MICROSECONDS_PER_DAY, Doubles, Ints


class DayLoss(BaseModel):
    """The lists of one day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day_us: int
    """When it begins, UTC."""
    loss: float
    """Mean over people."""
    n: int
    """People."""


class Concept(BaseModel):
    """How well lists did since the version serves, or for as long as is looked back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[DayLoss, ...]
    """Those with a list that has an outcome, oldest first."""
    changed_us: int | None = None
    """First day of the newer part, where the mean changed; the newest change counts."""


def follow(
    log: Log, facts: Facts, since_us: int, until_us: int, *, config: MonitorConfig, seed: int
) -> tuple[Concept, list[Measure], list[Measure]]:
    """Losses of a version's lists, followed for as long as it serves or `concept_days`.

    Args:
        log: What was shown and done.
        facts: Of the version.
        since_us: Beginning of the stretch that is reported on.
        until_us: Its end; outcomes are known up to here.
        config: Settings.
        seed: Of samples and intervals.

    Returns:
        The days; ``loss`` of the lists of the stretch; ``loss_change``. No measure where no list has an outcome.
    """
    model, people, rng = facts.model, People(), generator(seed, "monitoring.losses")
    back_us = round(config.concept_days * MICROSECONDS_PER_DAY)
    first_us = min(since_us, until_us - back_us)
    shown = log.monitoring.impressions(model.version, first_us, until_us, config.max_lists)
    lists = lists_of(shown, model.dataset, facts.labels, people)
    first_us = min((one.time_us for one in shown), default=until_us)
    events = (one.event for one in log.monitoring.events(first_us, until_us))
    window = Window(lists, acts_of(events, model.dataset, people), first_us)
    met = model.dataset.events if model.blend.exclude_seen else None
    loss = list_losses(window, until_us, config.horizon_us, met)
    lately = (lists.time_us >= since_us) & ~np.isnan(loss)
    draws = config.resamples
    mean = mean_over_people(
        "loss", "lists", loss[lately], lists.person[lately], rng=rng, resamples=draws
    )
    concept, change = concept_drift(
        window, loss, delta=config.concept_delta, rng=rng, resamples=draws
    )
    return concept, [mean] if mean.n else [], change


def list_losses(
    window: Window, until_us: int, horizon_us: int, met: pl.DataFrame | None
) -> Doubles:
    """1 − NDCG of each list over what its person wanted within the horizon.

    Args:
        window: What was shown and done.
        until_us: The moment up to which outcomes are known.
        horizon_us: How long an outcome may take.
        met: ``user_row`` and ``item_row`` of what was met before the version served, where lists leave out what
            somebody has met: of what they leave out nothing is missed. None where they leave out nothing.

    Returns:
        In [0, 1], ``(n,)``; NaN for lists that have not matured, and where nothing was wanted that could
        have been listed: such a list has shown nothing, good or bad.
    """
    lists = window.lists
    of = matured(lists, until_us, horizon_us)
    wanted = wanted_after(lists, window.acts, of, horizon_us)
    if met is not None:
        wanted = _unmet(wanted, lists, window.acts, met)
    hit = np.isin(
        pairs(lists.owner, lists.item_row),
        pairs(wanted["owner"].to_numpy(), wanted["item_row"].to_numpy()),
    )
    n = len(lists)
    gain = np.bincount(lists.owner[hit], 1 / np.log2(1 + lists.place[hit]), minlength=n)
    length = np.bincount(lists.owner, minlength=n)
    most = np.minimum(np.bincount(wanted["owner"].to_numpy(), minlength=n), length)
    ideal = np.append(0.0, np.cumsum(1 / np.log2(2 + np.arange(length.max(initial=0)))))[most]
    loss: Doubles = np.full(n, np.nan)
    np.divide(gain, ideal, out=loss, where=ideal > 0)
    # Rounding may make a perfect list a speck better than perfect.
    return np.maximum(1 - loss, 0.0)


def concept_drift(
    window: Window, loss: Doubles, *, delta: float, rng: np.random.Generator, resamples: int
) -> tuple[Concept, list[Measure]]:
    """Losses by day, whether their mean changed, and by how much.

    Of everybody one number counts a day. ``loss_change`` is the mean over people after the newest change less that
    before, with an interval over people, of whom ``n`` is those of the side with fewer; 0 without a change.

    Args:
        window: The lists, from the first one on that is looked at.
        loss: Of each; see `list_losses`.
        delta: See `ConceptDrift`; there is one check a day.
        rng: Draws people.
        resamples: Draws of all of them.
    """
    told = ~np.isnan(loss)
    if not told.any():
        return Concept(days=()), []
    person, loss = window.lists.person[told], loss[told]
    day = window.lists.time_us[told] // MICROSECONDS_PER_DAY * MICROSECONDS_PER_DAY
    days, changed_us, drift = [], None, ConceptDrift(delta)
    each = list(_by_day(day, person, loss))
    for at_us, _, value in each:
        days.append(DayLoss(day_us=at_us, loss=float(value.mean()), n=len(value)))
        change = drift.add(value, np.full(len(value), at_us))
        changed_us = changed_us if change is None else change.at_us
    whose = np.concatenate([one for _, one, _ in each])
    value = np.concatenate([one for _, _, one in each])
    when = np.repeat([at_us for at_us, _, _ in each], [len(one) for _, one, _ in each])
    found = _difference(value, when, whose, changed_us, rng=rng, resamples=resamples)
    return Concept(days=tuple(days), changed_us=changed_us), [found]


def _unmet(wanted: pl.DataFrame, lists: Lists, acts: Acts, met: pl.DataFrame) -> pl.DataFrame:
    """What the person had nothing to do with before the list was shown, before the version served or since."""
    done = pl.DataFrame({"person": acts.person, "item_row": acts.item_row, "time_us": acts.time_us})
    first = done.group_by("person", "item_row").agg(pl.col("time_us").min())
    owner = wanted["owner"].to_numpy()
    told = wanted.with_columns(
        person=lists.person[owner], user_row=lists.user_row[owner], shown_us=lists.time_us[owner]
    )
    return (
        told.join(met, on=["user_row", "item_row"], how="anti")
        .join(first, on=["person", "item_row"], how="left")
        .filter(pl.col("time_us") > pl.col("shown_us"))
        .select("owner", "item_row")
    )


def _by_day(day: Ints, person: Ints, loss: Doubles) -> Iterator[tuple[int, Ints, Doubles]]:
    """Each day with its people, ascending, and the mean loss of each."""
    for at_us in np.unique(day):
        of = day == at_us
        who, place = np.unique(person[of], return_inverse=True)
        yield int(at_us), who, unit_means(loss[of][:, None], place, len(who))[:, 0]


def _difference(
    loss: Doubles,
    when: Ints,
    person: Ints,
    changed_us: int | None,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> Measure:
    who, place = np.unique(person, return_inverse=True)
    if changed_us is None:
        return Measure(name="loss_change", of="lists", value=0.0, n=len(who))
    is_new = when >= changed_us
    sides = np.stack([np.where(is_new, np.nan, loss), np.where(is_new, loss, np.nan)], axis=1)
    each = unit_means(sides, place, len(who))
    before, after = np.nanmean(each, axis=0).tolist()
    drawn = np.diff(resampled_means(each, resamples, rng), axis=1)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    n = int((~np.isnan(each)).sum(axis=0).min())
    return Measure(name="loss_change", of="lists", value=after - before, low=low, high=high, n=n)
