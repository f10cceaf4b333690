"""What adaptation is worth: test on what people want next, then learn from it, beside a shadow.

The shadow is the same gate on the same lists without adaptation. Bases are not refitted in
between, so a difference is the work of the adapted weights alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.data import Dataset, Queries
from crossfade.evaluation.statistics import bootstrap
from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.fusion.maml.adapting import Adapted
from crossfade.fusion.maml.model import Maml
from crossfade.fusion.maml.tasks import Episodes, order_of, split_list, teachable
from crossfade.fusion.static import list_ndcg
from crossfade.types import Bools, Doubles, Ints

COUNTS = (1, 3, 5, 10)
"""Known reactions at which adaptation is judged."""

DEPTH = 10
HARM = 0.02
"""Loss of NDCG beyond which somebody counts as harmed."""


def wanted_times(labelled: LabelledSignals, queries: Queries, dataset: Dataset) -> Doubles | None:
    """When each wanted candidate was first wanted after its request.

    Args:
        labelled: Lists of the requests.
        queries: The same requests, in the same order.
        dataset: The whole log.

    Returns:
        Microseconds since 1970, ``(B, L)``; NaN for what was not wanted, and where the log has no
        positive event of that person and item from the request on. None where no time is known.

    Raises:
        ValueError: If lists and requests are not of the same people.
    """
    if not np.array_equal(labelled.signals.user_row, queries.user_row):  # type: ignore[arg-type]
        raise ValueError("lists and requests must name the same people in the same order")
    if not dataset.has_times or queries.as_of_us is None:
        return None
    request, place = np.nonzero(labelled.relevant)
    wanted = pl.DataFrame(
        {
            "request": request,
            "place": place,
            "user_row": queries.user_row[request],
            "item_row": labelled.item_row[request, place],
            "as_of_us": queries.as_of_us[request],
        }
    )
    events = dataset.events.filter(pl.col("strength") > 0).select(
        "user_row", "item_row", time_us=pl.col("timestamp").to_physical()
    )
    first = (
        wanted.join(events, on=["user_row", "item_row"])
        .filter(pl.col("time_us") >= pl.col("as_of_us"))
        .group_by("request", "place")
        .agg(pl.col("time_us").min())
    )
    when = np.full(labelled.relevant.shape, np.nan)
    when[first["request"].to_numpy(), first["place"].to_numpy()] = first["time_us"].to_numpy()
    return when


@dataclass(frozen=True, eq=False)
class Step:
    """Everybody who wanted more than ``n_known`` candidates, judged by what they wanted after.

    P people of B requests; NDCG is at `DEPTH`, of lists from which known reactions are gone.

    Attributes:
        n_known: First reactions that were learned from.
        place: Which of the requests each is, ``(P,)``.
        shadow: NDCG without adaptation, ``(P,)``.
        adapted: NDCG with the person's own weights, ``(P,)``.
        kept: Whose weights differ from the start, ``(P,)``.
    """

    n_known: int
    place: Ints
    shadow: Doubles
    adapted: Doubles
    kept: Bools

    @property
    def gain(self) -> Doubles:
        """NDCG that adaptation adds, ``(P,)``."""
        return self.adapted - self.shadow


def cut_after(
    labelled: LabelledSignals, when: Doubles | None, n_known: int, rng: np.random.Generator
) -> tuple[Ints, Episodes]:
    """Lists cut after the first reactions, of who wanted more than those.

    A reaction is a wanted candidate that some base can score. What was wanted but not listed
    counts as missed after the cut, for whoever is judged on it.

    Args:
        labelled: One list per person.
        when: See `wanted_times`; None draws the order.
        n_known: Reactions before the cut, from 1 to `N_SUPPORT`.
        rng: Draws the order of equal times, and of all where no time is known.

    Returns:
        Places of the lists, and the two sides of each, alike in order.
    """
    places: Ints = np.flatnonzero(teachable(labelled).sum(axis=1) > n_known)
    cut = split_list(
        labelled.take(places),
        rng,
        None if when is None else when[places],
        n_support=np.full(len(places), n_known),
        n_query=labelled.relevant.shape[1],
    )
    return places, cut


def prequential(
    model: Maml,
    labelled: LabelledSignals,
    when: Doubles | None,
    rng: np.random.Generator,
    counts: Sequence[int] = COUNTS,
) -> list[Step]:
    """Adapted gate and shadow after each of some counts of reactions.

    Args:
        model: Fitted on earlier blocks; does not change.
        labelled: One list per person.
        when: See `wanted_times`; None draws the order.
        rng: See `cut_after`; one order of a person holds for all counts.
        counts: Known reactions.

    Returns:
        One step per count; one without people where nobody wanted more than that.
    """
    order = order_of(teachable(labelled), when, rng).astype(np.float64)
    steps = []
    for n_known in counts:
        places, cut = cut_after(labelled, order, n_known, rng)
        adapted = model.adapt(cut.support.signals, cut.support.relevant)
        shadow = ndcg(model.forward(cut.query.signals), cut.query)
        served = ndcg(model.forward_adapted(cut.query.signals, adapted), cut.query)
        steps.append(Step(n_known, places, shadow, served, adapted.kept))
    return steps


@dataclass(frozen=True)
class Gain:
    """A step in numbers.

    Attributes:
        n: People.
        shadow: Mean NDCG without adaptation; NaN without people, like all that follow.
        adapted: Mean NDCG with it.
        gain: Mean difference.
        low: Lower end of its 95 % interval, paired, over people; NaN with fewer than two.
        high: Upper end.
        harmed: Share of people who lost more than `HARM`.
        helped: Share who won more than that.
        kept: Share whose weights differ from the start.
    """

    n: int
    shadow: float
    adapted: float
    gain: float
    low: float
    high: float
    harmed: float
    helped: float
    kept: float


def gain_of(
    shadow: Doubles, adapted: Doubles, kept: Bools, rng: np.random.Generator, resamples: int = 2_000
) -> Gain:
    """Means, interval and shares over people.

    Args:
        shadow: NDCG without adaptation: of people, ``(P,)``, or of several runs, ``(P, R)``.
        adapted: With it; the same shape.
        kept: Whose weights differ from the start; the same shape.
        rng: For the interval, which is over people; their runs stay together.
        resamples: Bootstrap draws of people.
    """
    n = len(shadow)
    if not n:
        return Gain(0, *[float("nan")] * 8)
    gain = adapted - shadow
    each = gain.reshape(n, -1).mean(axis=1, keepdims=True)
    found = bootstrap(each, rng, resamples=resamples)
    return Gain(
        n,
        float(shadow.mean()),
        float(adapted.mean()),
        float(found.mean[0]),
        float(found.low[0]),
        float(found.high[0]),
        float((gain < -HARM).mean()),
        float((gain > HARM).mean()),
        float(kept.mean()),
    )


@dataclass(frozen=True, eq=False)
class Retained:
    """Requests from before the adaptation, answered again after it.

    Attributes:
        before: NDCG of each request before anybody adapted, ``(B,)``.
        after: NDCG once people have weights of their own, each request with those of its person.
        own: Whether the person has such weights, ``(B,)``; all others are retention proper.
    """

    before: Doubles
    after: Doubles
    own: Bools


def retention(model: Maml, earlier: LabelledSignals, adapted: Adapted, before: Doubles) -> Retained:
    """How requests are answered now that some people adapted; see `Retained`.

    Args:
        model: Served them before and serves them now.
        earlier: Older requests, of these people and of others.
        adapted: What the people made of the start.
        before: NDCG of the requests, taken from the model before it adapted, ``(B,)``.
    """
    served = model.forward_adapted(earlier.signals, adapted)
    people, known = earlier.signals.user_row, adapted.user_row
    own = (
        np.zeros(len(earlier), dtype=np.bool_)
        if people is None or known is None
        else np.isin(people, known[adapted.kept & (known >= 0)])
    )
    return Retained(before, ndcg(served, earlier), own)


def ndcg(fused: Fused, labelled: LabelledSignals) -> Doubles:
    """NDCG of each blended list at `DEPTH`, ``(B,)``."""
    return list_ndcg(fused.score, labelled.relevant, labelled.n_relevant, DEPTH)
