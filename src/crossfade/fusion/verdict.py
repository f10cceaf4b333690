"""Do no harm: whether a learned blend or the static one serves, decided on unseen lists."""

from dataclasses import dataclass

import numpy as np

from crossfade.fusion.base import Signals
from crossfade.types import Bools, Doubles, Ints

SLICES = ("cold", "warm", "hot")
"""People by positive events in their history: 0 to 5, 6 to 50, more."""

SLICE_EDGES = (5, 50)

# Edges become logarithms, not numbers powers: no number of events is too large then.
_LOG_EDGES = np.log1p(np.array(SLICE_EDGES) + 0.5)


@dataclass(frozen=True)
class Verdict:
    """The do-no-harm test of one slice.

    Attributes:
        name: Of the slice, or ``all``.
        n: Requests.
        learned: NDCG of the learned combination.
        static: NDCG of the static blend.
        certainty: Share of resamples in which the learned one is better; NaN without requests.
        n_later: Those of the requests that are of the later block.
        harm_later: Share of resamples of that block alone in which the learned one is worse.
        serves: Whether the learned one serves this slice.
    """

    name: str
    n: int
    learned: float
    static: float
    certainty: float
    n_later: int
    harm_later: float
    serves: bool


@dataclass(frozen=True, eq=False)
class Trials:
    """Lists that neither blend was trained on, N in all.

    Attributes:
        learned: NDCG of each by the learned combination, ``(N,)``.
        static: And by the static blend.
        place: Place of who asks in `SLICES`, ``(N,)``.
        person: Who asks, ``(N,)``, -1 for strangers.
        later: Which lie in time after all that was learned from, bool, ``(N,)``.
    """

    learned: Doubles
    static: Doubles
    place: Ints
    person: Ints
    later: Bools

    @classmethod
    def of(cls, learned: Doubles, static: Doubles, signals: Signals, *, later: bool) -> "Trials":
        """Of one block."""
        n = len(learned)
        nobody = np.full(n, -1, dtype=np.int64)
        person = nobody if signals.user_row is None else signals.user_row.astype(np.int64)
        return cls(learned, static, slice_of(signals), person, np.full(n, later))

    def __add__(self, other: "Trials") -> "Trials":
        """Both."""
        mine, others = vars(self), vars(other)
        return Trials(**{name: np.concatenate([mine[name], others[name]]) for name in mine})

    def take(self, chosen: Bools) -> "Trials":
        """Some of them."""
        return Trials(**{name: values[chosen] for name, values in vars(self).items()})


def judge(
    trials: Trials,
    rng: np.random.Generator,
    *,
    min_requests: int,
    certainty: float,
    resamples: int,
) -> tuple[Verdict, ...]:
    """A paired bootstrap over people: for everybody, then for each of `SLICES`.

    A gain is shown where the learned blend is better in enough resamples of all the lists, and
    harm where it is worse in enough of them, or of the later ones alone: those are most like
    what comes. Everybody is served what is learned where a gain is shown and no harm. A slice
    that differs from everybody has to show it: where everybody is served what is learned, a
    slice is not if harm is shown in it; where not, a slice still is if it shows a gain and no harm.

    Args:
        trials: Lists that neither blend was trained on.
        rng: For the resamples.
        min_requests: With fewer no gain is shown. A slice without any request is static: nothing
            says what the learned blend would do there.
        certainty: Share of the resamples that is enough.
        resamples: How many; people are drawn with all their requests.
    """

    def verdict(name: str, of: Bools, *, whole: bool) -> Verdict:
        mine = trials.take(of)
        n, n_later = len(mine.later), int(mine.later.sum())
        if not n:
            return Verdict(name, 0, np.nan, np.nan, np.nan, 0, np.nan, serves=False)
        better, worse = _shares_of_resamples(mine, rng, resamples)
        _, worse_later = _shares_of_resamples(mine.take(mine.later), rng, resamples)
        harmless = worse < certainty and not worse_later >= certainty
        serves = harmless and (whole or (n >= min_requests and better >= certainty))
        ours, plain = float(mine.learned.mean()), float(mine.static.mean())
        return Verdict(name, n, ours, plain, better, n_later, worse_later, serves)

    everybody = verdict("all", trials.place >= 0, whole=False)
    parts = (
        verdict(name, trials.place == place, whole=everybody.serves)
        for place, name in enumerate(SLICES)
    )
    return (everybody, *parts)


def _shares_of_resamples(
    trials: Trials, rng: np.random.Generator, resamples: int
) -> tuple[float, float]:
    """In which share of the resamples the learned blend is better, and worse; NaN without lists."""
    n = len(trials.person)
    if not n:
        return np.nan, np.nan
    # A stranger is a person of their own.
    own = np.where(trials.person >= 0, trials.person, -1 - np.arange(n))
    person = np.unique(own, return_inverse=True)[1]
    gain = np.bincount(person, weights=trials.learned - trials.static)
    total = gain[rng.integers(len(gain), size=(resamples, len(gain)))].sum(axis=1)
    return float((total > 0).mean()), float((total < 0).mean())


def slice_of(signals: Signals) -> Ints:
    """Place in `SLICES` of each request, shape ``(B,)``; middling where no context tells."""
    if signals.user is None or "log_positives" not in signals.columns.user:
        return np.ones(len(signals.mask), dtype=np.int64)
    log_n = signals.user[:, signals.columns.user.index("log_positives")]
    return np.searchsorted(_LOG_EDGES, np.where(np.isnan(log_n), 0, log_n)).astype(np.int64)
