"""What comes in: features as served, events, and what is known of the items in both."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from crossfade.data.schema import EVENT_KINDS
from crossfade.evaluation.statistics import unit_means
from crossfade.features.dictionary import SESSION_FEATURE_NAMES
from crossfade.monitoring.drift import Sample, energy, stability
from crossfade.monitoring.facts import Facts
from crossfade.monitoring.measure import Measure, Z, apart
from crossfade.monitoring.window import Lists, Window
from crossfade.types import Doubles

_HOUR_US = 3_600_000_000

CALENDAR = ("season_sin", "season_cos")
"""What no two stretches have in common, whatever people do."""

Samples = dict[str, Sample]
"""By name: ``request NAME``, ``item NAME``, ``event NAME``, ``weight BASE``, and those of shown items."""


def samples(window: Window, facts: Facts) -> Samples:
    """Everything whose drift is looked at; what nobody has a value of is left out."""
    found = {**_served(window.lists), **_shown(window.lists, facts), **_done(window, facts)}
    return {name: one for name, one in found.items() if not np.isnan(one.values).all()}


def pooled(parts: Sequence[Samples]) -> Samples:
    """Several stretches of time as one."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: Sample.joined([part[name] for part in parts if name in part]) for name in names}


def drift(current: Samples, reference: Samples) -> list[Measure]:
    """Stability index and energy coefficient of everything that both have."""
    both = [name for name in current if name in reference]
    found = []
    for name in both:
        # Of so many features one moves by chance; the limit is that of all of them together.
        level = 1 - 0.001 / len(both)
        index = stability(reference[name], current[name], level=level)
        n = current[name].n_people
        found += [
            Measure(name="psi", of=name, value=index.debiased, n=n, chance=index.chance),
            Measure(name="energy", of=name, value=energy(reference[name], current[name]), n=n),
        ]
    return found


def normalisation(current: Samples, reference: Samples) -> list[Measure]:
    """How far session features are from mean 0 and spread 1, on the scale of the reference.

    ``session_shift`` is the absolute distance of the mean, with an interval over the people of both sides,
    ``session_spread`` the absolute logarithm of the spread, ``session_outside`` the share of people beyond
    everything in the reference.
    """
    found = []
    for name in SESSION_FEATURE_NAMES:
        both = [part.get(f"request {name}") for part in (reference, current)]
        if both[0] is None or both[1] is None:
            continue
        (mean, deviation), (now, spread) = _moments(both[0]), _moments(both[1])
        if not deviation > 0:
            continue
        n = both[1].n_people
        shift = abs(now - mean) / deviation
        reach = Z * float(np.hypot(_unsure(both[0]), _unsure(both[1]))) / deviation
        wide = abs(float(np.log(spread / deviation))) if spread > 0 else np.nan
        found += [
            Measure(
                name="session_shift",
                of=name,
                value=shift,
                low=max(0.0, shift - reach),
                high=shift + reach,
                n=n,
            ),
            Measure(name="session_spread", of=name, value=wide, n=n),
            Measure(name="session_outside", of=name, value=_outside(both[0], both[1]), n=n),
        ]
    return found


def _served(lists: Lists) -> Samples:
    """Features as they were served, and the weights they led to."""
    person = apart(lists.person)
    told, place = person[lists.told], person[lists.owner]
    request = {
        f"request {name}": Sample(v, told)
        for name, v in lists.request.items()
        if name not in CALENDAR
    }
    of_item = place[lists.told[lists.owner]]
    return {**request, **{f"item {name}": Sample(v, of_item) for name, v in lists.item.items()}}


def _shown(lists: Lists, facts: Facts) -> Samples:
    """What is known of the items that were shown."""
    person = apart(lists.person)[lists.owner]
    known: Mapping[str, Doubles | None] = {
        "shown completeness": facts.completeness,
        "shown audio confidence": facts.audio_confidence,
        "shown log users": facts.log_users,
    }
    found = {name: Sample(v[lists.item_row], person) for name, v in known.items() if v is not None}
    found["probability"] = Sample(lists.probability, person)
    weights = zip(facts.labels, lists.weights.T, strict=True)
    return {**found, **{f"weight {label}": Sample(values, person) for label, values in weights}}


def _done(window: Window, facts: Facts) -> Samples:
    """What people did."""
    acts = window.acts
    said = acts.said.select(
        kind=pl.col("event").replace_strict(
            {kind: float(at) for at, kind in enumerate(EVENT_KINDS)},
            default=float(len(EVENT_KINDS)),
            return_dtype=pl.Float64,
        ),
        value=pl.col("value").cast(pl.Float64),
        log_played_ms=pl.col("played_ms").cast(pl.Float64).log1p(),
        skipped=pl.col("skipped").cast(pl.Float64),
    )
    columns: dict[str, Doubles] = {
        name: said[name].fill_null(np.nan).to_numpy().astype(np.float64) for name in said.columns
    }
    columns["kind"][acts.said["event"].is_null().to_numpy()] = np.nan
    columns["wanted"] = acts.wanted.astype(np.float64)
    columns["hour"] = (acts.time_us // _HOUR_US % 24).astype(np.float64)
    columns["popularity"] = facts.first_wanted.popularity(
        acts.user_row, acts.item_row, window.since_us
    )
    columns["completeness"] = facts.completeness[acts.item_row]
    person = apart(acts.person)
    return {f"event {name}": Sample(values, person) for name, values in columns.items()}


def _moments(sample: Sample) -> tuple[float, float]:
    known = ~np.isnan(sample.values)
    weight, values = sample.weight[known], sample.values[known]
    if not len(values):
        return np.nan, np.nan
    mean = float(np.average(values, weights=weight))
    return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def _unsure(sample: Sample) -> float:
    """Standard deviation of the mean, as people are drawn."""
    known = ~np.isnan(sample.values)
    who = np.unique(sample.person[known], return_inverse=True)[1].astype(np.int64)
    each = unit_means(sample.values[known][:, None], who, int(who.max(initial=-1)) + 1)[:, 0]
    return float(each.std() / np.sqrt(len(each))) if len(each) else np.nan


def _outside(reference: Sample, current: Sample) -> float:
    known = ~np.isnan(current.values)
    if not known.any():
        return np.nan
    low, high = np.nanmin(reference.values), np.nanmax(reference.values)
    beyond = (current.values < low) | (current.values > high)
    return float(np.average(beyond[known], weights=current.weight[known]))
