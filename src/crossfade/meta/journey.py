"""Asking a served system at several moments of one user's history."""

from collections.abc import Sequence
from datetime import UTC

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.data.dataset import to_datetime
from crossfade.errors import ConfigError, DataError
from crossfade.evaluation.journey import Journey, Moment
from crossfade.fusion.auto import AutoFusion
from crossfade.meta.blending import Blend
from crossfade.meta.landscape import unweighed
from crossfade.meta.recommendation import Recommendation
from crossfade.meta.serving import ListMaker, Served
from crossfade.ranking import RankingConfig

STEPS = (1, 2, 5)
"""Of every power of ten: 1, 2, 5, 10, 20, 50, …; 0 and 3 come on top."""


def follow(
    dataset: Dataset,
    lists: ListMaker,
    user: str,
    ranking: RankingConfig,
    *,
    n_points: int = 12,
    k: int = 10,
) -> Journey:
    """What weighs how much in a user's list, from no event to the whole history.

    A moment is just before the next event, and the last one the end of the log. The history ends
    there; the bases, and the record of how they did for the user, are those of the system, which
    has seen the whole log. So this is what today's system makes of a history that was
    shorter, not what a system of that day would have said.

    Args:
        dataset: What the system was fitted on.
        lists: Its lists.
        user: Somebody in the log.
        ranking: How candidates become a list; nothing is left to chance whatever it says.
        n_points: Most moments, 2 or more.
        k: Items of each list that are looked at, 1 or more.

    Raises:
        UnknownIdError: If there is no such user.
        DataError: If the user has no event.
        ConfigError: If the model that serves weighs no bases, or a number is too small.
    """
    if n_points < 2 or k < 1:
        raise ConfigError(f"points must be 2 or more and k 1 or more, got {n_points} and {k}")
    row = dataset.user_ids.row(user)
    whole = dataset.queries([row])
    n_events = len(whole.item_row)
    if not n_events:
        raise DataError(
            f'user "{user}" is known but has no event in {dataset.name}, so there is no history to follow; '
            "name somebody with events"
        )
    plain = ranking.changed(explore=0.0)
    blend = lists.blend
    moments: list[Moment] = []
    silent: dict[str, float] = {}
    for query in _requests(dataset, row, whole, moments_of(n_events, n_points)):
        (served,) = lists.serve(query, k, plain)
        moments.append(_moment(query, served, lists))
        if moments[-1].by == "model" and blend.learned is not None and served.told is not None:
            silent = unweighed(blend.learned.fusion, served.told[0])
    model = blend.name if blend.learned is not None else "static"
    if not any(one.weights for one in moments) and any(one.n_items for one in moments):
        raise ConfigError(
            f"{model} weighs no bases: its scores are no weighted means, so there is no weight to follow; fit with "
            "--fusion auto, meta or static"
        )
    return Journey(user, model, blend.labels, k, tuple(moments), silent)


def moments_of(n_events: int, n_points: int) -> list[int]:
    """Lengths of history to look at: 0, 1, 2, 3, 5, 10, 20, 50, … and all of it.

    Args:
        n_events: In the whole history, 1 or more.
        n_points: Most of them, 2 or more; both ends stay.
    """
    ladder = {0, 3, *(step * 10**p for p in range(len(str(n_events))) for step in STEPS)}
    lengths = [*sorted(n for n in ladder if n < n_events), n_events]
    if len(lengths) <= n_points:
        return lengths
    kept = np.unique(np.linspace(0, len(lengths) - 1, n_points).round().astype(np.int64))
    return [lengths[at] for at in kept]


def _requests(dataset: Dataset, row: int, whole: Queries, lengths: Sequence[int]) -> list[Queries]:
    """One request per length; lengths that end inside events of one moment fall together."""
    if dataset.time_us is None:
        return [_first(whole, n) for n in lengths]
    assert whole.time_us is not None
    end_us = int(dataset.time_us[-1]) + 1
    times = [*whole.time_us.tolist(), end_us]
    # Who asks just before the next event has just come back: that is when lists are asked for.
    as_of = dict.fromkeys(times[n] for n in lengths)
    return [dataset.queries([row], np.array([us], dtype=np.int64)) for us in as_of]


def _first(whole: Queries, n: int) -> Queries:
    """The same request with the first n events alone."""
    return Queries(
        user_row=whole.user_row,
        as_of_us=None,
        indptr=np.array([0, n], dtype=np.int64),
        item_row=whole.item_row[:n],
        time_us=None,
        strength=whole.strength[:n],
        session_row=whole.session_row[:n],
        n_items=whole.n_items,
    )


def _moment(query: Queries, served: Served, lists: ListMaker) -> Moment:
    lines = lists.lines(query, served)
    as_of = None if query.as_of_us is None else to_datetime(int(query.as_of_us[0]))
    first = lines[0] if lines else None
    return Moment(
        n_events=len(query.item_row),
        as_of=None if as_of is None else as_of.astimezone(UTC).isoformat(timespec="seconds"),
        by=_by(served, lists.blend) if lines else "nobody",
        weights=_mean([line for line in lines if line.weights], lists.blend.labels),
        n_items=len(lines),
        item_id=None if first is None else first.item_id,
        probability=None if first is None else first.probability,
        uncertainty=None if first is None else first.uncertainty,
    )


def _by(served: Served, blend: Blend) -> str:
    if not served.by_model or blend.learned is None or served.told is None:
        return "static"
    model, (signals, _) = blend.learned.fusion, served.told
    if isinstance(model, AutoFusion) and not model.serves(signals)[0]:
        return "static"
    return "static" if model.name == "static" else "model"


def _mean(lines: Sequence[Recommendation], bases: Sequence[str]) -> dict[str, float]:
    if not lines:
        return {}
    return {base: float(np.mean([line.weights.get(base, 0.0) for line in lines])) for base in bases}
