"""Do no harm: whether a learned blend or the static one serves, decided on unseen lists."""

from dataclasses import dataclass

import numpy as np

from crossfade.fusion.base import Signals
from crossfade.types import Bools, Doubles, Ints

SLICES = ("cold", "warm", "hot")
"""People by positive events in their history: 0 to 5, 6 to 50, more."""

SLICE_EDGES = (5, 50)


@dataclass(frozen=True)
class Verdict:
    """The do-no-harm test of one slice on the calibrate block.

    Attributes:
        name: Of the slice, or ``all``.
        n: Requests.
        learned: NDCG of the learned combination.
        static: NDCG of the static blend.
        certainty: Share of resamples in which the learned one is better; NaN without requests.
        serves: Whether the learned one serves this slice.
    """

    name: str
    n: int
    learned: float
    static: float
    certainty: float
    serves: bool


def judge(
    learned: Doubles,
    static: Doubles,
    signals: Signals,
    rng: np.random.Generator,
    *,
    min_requests: int,
    certainty: float,
    resamples: int,
) -> tuple[Verdict, ...]:
    """A paired bootstrap over people: for everybody, then for each of `SLICES`.

    Args:
        learned: NDCG of each request's list by the learned blend, ``(B,)``.
        static: And by the static one.
        signals: Who asks, and how long their histories are.
        rng: For the resamples.
        min_requests: With fewer, a gain is not taken as shown. Static also serves a slice without
            any: nothing says what the learned one would do there.
        certainty: Share of the resamples in which the learned one must be better to serve
            everybody. Whoever differs from everybody has to show it: then a slice is static if
            the static one is better in this share of its own resamples, and else a slice is
            learned if the learned one is.
        resamples: How many; people are drawn with all their requests.
    """
    slices, people = slice_of(signals), _people(signals)

    def verdict(name: str, of: Bools, *, whole: bool) -> Verdict:
        n = int(of.sum())
        if not n:
            return Verdict(name, 0, np.nan, np.nan, np.nan, serves=False)
        person = np.unique(people[of], return_inverse=True)[1]
        gain = np.bincount(person, weights=(learned - static)[of])
        drawn = rng.integers(len(gain), size=(resamples, len(gain)))
        total = gain[drawn].sum(axis=1)
        sure, harm = float((total > 0).mean()), float((total < 0).mean())
        ours, plain = float(learned[of].mean()), float(static[of].mean())
        serves = harm < certainty if whole else n >= min_requests and sure >= certainty
        return Verdict(name, n, ours, plain, sure, serves)

    everybody = verdict("all", slices >= 0, whole=False)
    parts = (
        verdict(name, slices == place, whole=everybody.serves) for place, name in enumerate(SLICES)
    )
    return (everybody, *parts)


def _people(signals: Signals) -> Ints:
    """Whose each request is, ``(B,)``; a stranger is a person of their own."""
    strangers = -1 - np.arange(len(signals.mask), dtype=np.int64)
    if signals.user_row is None:
        return strangers
    return np.where(signals.user_row >= 0, signals.user_row, strangers)


def slice_of(signals: Signals) -> Ints:
    """Place in `SLICES` of each request, shape ``(B,)``; middling where no context tells."""
    if signals.user is None or "log_positives" not in signals.columns.user:
        return np.ones(len(signals.mask), dtype=np.int64)
    log_n = signals.user[:, signals.columns.user.index("log_positives")]
    # Edges become logarithms, not numbers powers: no number of events is too large then.
    edges = np.log1p(np.array(SLICE_EDGES) + 0.5)
    return np.searchsorted(edges, np.nan_to_num(log_n)).astype(np.int64)
