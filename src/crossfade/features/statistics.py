"""Sufficient statistics of a user's past, and the 18 features made from them.

Every statistic but three is a sum over plays of a whole number that depends on that
play and on earlier plays of the same user only. That is what makes one definition serve
both ways: a batch takes differences of running sums, a live state adds one play at a time,
and whole numbers make the two agree to the last bit in any order.
"""

from dataclasses import dataclass, fields

import numpy as np

from crossfade.features.reference import SessionReference
from crossfade.types import MICROSECONDS_PER_DAY, Bools, Doubles, Ints, Times

FIXED = 2**32
"""Fractions are kept as whole multiples of 1 / FIXED, so that sums have no rounding."""


@dataclass(frozen=True)
class Statistics:
    """What is known of each user (or request) before a moment; shapes ``(n,)``.

    Attributes:
        plays: Plays.
        timed: Plays with a known time; all of them or none.
        new_items: Different items.
        tail_items: Different items in the long tail.
        born_items: Different items first played at or after their known birth.
        early_items: Those of ``born_items`` first played within the early days.
        known_items: Plays of items with a popularity percentile.
        popularity: Summed percentile of those, times `FIXED`.
        skip_known: Plays that say whether they were skipped.
        skipped: Those that were.
        length_known: Plays with a length.
        played_ms: Their summed length.
        sessions: Different sessions.
        session_us: Summed length of the sessions.
        active_days: UTC days with a play.
        active_weeks: ISO weeks with a play.
        hour_cos: Summed cosine of the time of day, times `FIXED`.
        hour_sin: Summed sine of the time of day, times `FIXED`.
        genre_plays: Genre labels of all plays.
        genre_nlogn: Sum over genres of c log2 c with c plays of the genre, times `FIXED`.
        longest_streak: Longest run of consecutive active days (a maximum, not a sum).
        first_us: Time of the first play; anything where there is none.
        recent_plays: Plays in the recent window.
        recent_new: Those that were the first play of their item.
    """

    plays: Ints
    timed: Ints
    new_items: Ints
    tail_items: Ints
    born_items: Ints
    early_items: Ints
    known_items: Ints
    popularity: Ints
    skip_known: Ints
    skipped: Ints
    length_known: Ints
    played_ms: Ints
    sessions: Ints
    session_us: Ints
    active_days: Ints
    active_weeks: Ints
    hour_cos: Ints
    hour_sin: Ints
    genre_plays: Ints
    genre_nlogn: Ints
    longest_streak: Ints
    first_us: Times
    recent_plays: Ints
    recent_new: Ints

    @classmethod
    def empty(cls, n: int) -> "Statistics":
        """Nobody has played anything yet."""
        return cls(**{field.name: np.zeros(n, dtype=np.int64) for field in fields(cls)})


NOT_SUMS = ("longest_streak", "first_us", "recent_plays", "recent_new")
SUMS = tuple(field.name for field in fields(Statistics) if field.name not in NOT_SUMS)
"""Statistics that are sums over plays."""


def on_the_clock(time_us: Times) -> tuple[Ints, Ints]:
    """Cosine and sine of the time of day, times `FIXED`."""
    angle = (time_us % MICROSECONDS_PER_DAY) * (2 * np.pi / MICROSECONDS_PER_DAY)
    return fixed(np.cos(angle)), fixed(np.sin(angle))


def n_log_n(count: Ints) -> Ints:
    """``count * log2(count)`` times `FIXED`; 0 for a count of 0."""
    return fixed(count.astype(np.float64) * np.log2(np.maximum(count, 1)))


def fixed(value: Doubles) -> Ints:
    """A fraction as a whole multiple of 1 / `FIXED`."""
    return np.rint(value * FIXED).astype(np.int64)


def finish(past: Statistics, as_of_us: Times | None, reference: SessionReference) -> Doubles:
    """The 18 features in the order of the data dictionary.

    Args:
        past: Statistics of everything strictly before ``as_of_us``.
        as_of_us: Moments, shape ``(n,)``; None where the data has no times.
        reference: What the base block says about items and users.

    Returns:
        Shape ``(n, 18)``; NaN where a feature is missing.
    """
    none, timed = past.plays == 0, past.timed > 0
    repeat_rate = _ratio(past.plays - past.new_items, past.plays)
    mean_ms = _ratio(past.played_ms, past.length_known)
    plays_per_active_day = _ratio(past.plays, past.active_days)
    explorer, loyalist = _types(past.plays, repeat_rate, reference)
    columns = (
        _known(past.sessions, none | (past.sessions > 0)),  # total_sessions
        _known(_ratio(past.session_us, past.sessions) / 60e6, timed),  # avg_session_length
        _ratio(past.new_items, past.active_weeks),  # discovery_rate_per_active_week
        _ratio(past.recent_new, past.recent_plays),  # exploration_score
        _ratio(past.tail_items, past.new_items),  # novelty_seeking
        repeat_rate,
        _ratio(past.skipped, past.skip_known),  # skip_rate
        _entropy(past),  # genre_diversity
        _consistency(past),  # temporal_consistency
        _ratio(past.popularity, past.known_items) / FIXED,  # mainstream_score
        _ratio(past.early_items, past.born_items),  # early_adopter_score
        _per_day(past, as_of_us),  # plays_per_day
        _known(past.active_days, none | timed),  # active_days
        reference.streak_percentile(past.longest_streak),  # longest_streak_percentile
        _known(_ratio(past.sessions, past.active_days), past.sessions > 0),  # session_density
        mean_ms * plays_per_active_day / 60e3,  # listening_intensity
        explorer,
        loyalist,
    )
    return np.column_stack(columns)


def _ratio(part: Ints, whole: Ints) -> Doubles:
    """``part / whole``, NaN where there is no whole."""
    return _known(part / np.maximum(whole, 1), whole > 0)


def _known(value: Bools | Ints | Doubles, known: Bools) -> Doubles:
    return np.where(known, value, np.nan)


def _entropy(past: Statistics) -> Doubles:
    # With c of N labels on each genre, -sum (c/N) log2 (c/N) = log2 N - (sum c log2 c) / N.
    bits = (
        np.log2(np.maximum(past.genre_plays, 1))
        - _ratio(past.genre_nlogn, past.genre_plays) / FIXED
    )
    return np.maximum(bits, 0.0)  # rounding leaves -1e-10 where there is one genre; NaN stays


def _consistency(past: Statistics) -> Doubles:
    length = np.hypot(past.hour_cos / FIXED, past.hour_sin / FIXED) / np.maximum(past.timed, 1)
    # One play has no spread to speak of.
    return _known(np.minimum(length, 1.0), past.timed >= 2)


def _per_day(past: Statistics, as_of_us: Times | None) -> Doubles:
    if as_of_us is None:
        return np.full(len(past.plays), np.nan)
    days = np.maximum((as_of_us - past.first_us) / MICROSECONDS_PER_DAY, 1.0)
    return _known(past.plays / days, past.timed > 0)


def _types(
    plays: Ints, repeat_rate: Doubles, reference: SessionReference
) -> tuple[Doubles, Doubles]:
    low, high = reference.repeat_quantiles
    known = (plays >= reference.config.min_plays_for_type) & np.isfinite(low)
    return _known(repeat_rate < low, known), _known(repeat_rate > high, known)
