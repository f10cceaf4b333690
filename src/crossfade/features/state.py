"""One user's past, kept up to date play by play."""

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, fields

import numpy as np

from crossfade.data.sessions import SESSION_GAP_MINUTES
from crossfade.errors import DataError
from crossfade.features.reference import NO_TIME, SessionReference
from crossfade.features.statistics import Statistics, finish, n_log_n, on_the_clock
from crossfade.types import MICROSECONDS_PER_DAY, Doubles


@dataclass(frozen=True)
class Play:
    """One event of one user.

    Attributes:
        item_row: The item.
        time_us: When, in microseconds since 1970; None where the data has no times.
        session: Session id, where the data has them.
        played_ms: Length, where known.
        skipped: Whether it was skipped, where known.
    """

    item_row: int
    time_us: int | None = None
    session: Hashable | None = None
    played_ms: int | None = None
    skipped: bool | None = None


@dataclass
class _Session:
    first_us: int
    played_us: int = 0
    length_us: int = 0


class SessionState:
    """The 18 session features of one user, updated with each play.

    After any number of updates `features` gives what `session_features` gives for the same
    plays. Memory grows with the different items played, and with the sessions where the
    data has session ids.
    """

    def __init__(
        self,
        reference: SessionReference,
        session_gap_minutes: float | None = SESSION_GAP_MINUTES,
    ) -> None:
        """Start with no plays.

        Args:
            reference: Facts of the base block, from `fit_reference`.
            session_gap_minutes: Idle minutes that end a session; None where `Play.session`
                says which session a play belongs to.
        """
        self.reference = reference
        self._gap_us = None if session_gap_minutes is None else round(session_gap_minutes * 60e6)
        self._totals: Counter[str] = Counter()
        self._items: set[int] = set()
        self._genres: Counter[int] = Counter()
        self._sessions: dict[Hashable, _Session] = {}
        self._recent: deque[tuple[int, bool]] = deque()
        self._first_us = self._last_us = NO_TIME
        self._streak = 0

    @property
    def n_plays(self) -> int:
        """Plays so far."""
        return self._totals["plays"]

    @property
    def last_us(self) -> int:
        """Time of the last play; `NO_TIME` where there is none or the data has no times."""
        return self._last_us

    def update(self, play: Play) -> None:
        """Take in one more play.

        Raises:
            DataError: If it is earlier than the last one, its item is outside the catalogue,
                or only some plays have a time. The state is then as it was before.
        """
        self._check(play)
        totals, reference = self._totals, self.reference
        new_item = play.item_row not in self._items
        self._items.add(play.item_row)
        popularity = int(reference.popularity[play.item_row])
        totals["plays"] += 1
        totals["new_items"] += new_item
        totals["tail_items"] += new_item and not reference.head[play.item_row]
        if popularity >= 0:
            totals["known_items"] += 1
            totals["popularity"] += popularity
        if play.skipped is not None:
            totals["skip_known"] += 1
            totals["skipped"] += play.skipped
        if play.played_ms is not None:
            totals["length_known"] += 1
            totals["played_ms"] += play.played_ms
        for genre in reference.genres_of(play.item_row).tolist():
            self._genres[genre] += 1
        self._enter_session(play)
        if play.time_us is not None:
            self._pass_time(play.item_row, play.time_us, new_item)

    def features(self, as_of_us: int | None) -> Doubles:
        """The 18 features as of a moment after the last play, shape ``(18,)``.

        Args:
            as_of_us: The moment; None where the data has no times.

        Raises:
            DataError: If a play is not strictly before ``as_of_us``, or it is missing although
                the plays have times.
        """
        if self._last_us != NO_TIME and (as_of_us is None or as_of_us <= self._last_us):
            raise DataError(
                f"session features as of {as_of_us}: the last play was at {self._last_us}; "
                "give a later moment, a state cannot look back"
            )
        moment = None if as_of_us is None else np.array([as_of_us], dtype=np.int64)
        row: Doubles = finish(self._statistics(as_of_us), moment, self.reference)[0]
        return row

    def _check(self, play: Play) -> None:
        if not 0 <= play.item_row < self.reference.n_items:
            raise DataError(
                f"item row {play.item_row} is outside the catalogue of {self.reference.n_items:,} items; "
                "fit the reference again after the catalogue has changed"
            )
        if self.n_plays and (play.time_us is None) != (self._last_us == NO_TIME):
            raise DataError("some plays have a time and some have none; give all of them one")
        if play.time_us is not None and play.time_us < self._last_us:
            raise DataError(
                f"a play at {play.time_us} came after one at {self._last_us}; "
                "give plays in order of time, or build the state again"
            )

    def _enter_session(self, play: Play) -> None:
        session = play.session
        if self._gap_us is not None:
            if play.time_us is None:
                return
            session = self._totals["sessions"]
            if self._last_us == NO_TIME or play.time_us - self._last_us > self._gap_us:
                self._sessions.clear()
                session += 1
        if session is None:
            return
        at_us = play.time_us if play.time_us is not None else 0
        if session not in self._sessions:
            self._sessions[session] = _Session(at_us)
            self._totals["sessions"] += 1
        current = self._sessions[session]
        current.played_us += 1_000 * (play.played_ms or 0)
        if play.time_us is not None:
            length_us = max(at_us - current.first_us, current.played_us)
            self._totals["session_us"] += length_us - current.length_us
            current.length_us = length_us

    def _pass_time(self, item_row: int, time_us: int, new_item: bool) -> None:
        totals, birth_us = self._totals, int(self.reference.birth_us[item_row])
        totals["timed"] += 1
        if new_item and birth_us != NO_TIME and time_us >= birth_us:
            totals["born_items"] += 1
            totals["early_items"] += time_us < birth_us + self.reference.config.early_us
        cos, sin = on_the_clock(np.array([time_us]))
        totals["hour_cos"] += int(cos[0])
        totals["hour_sin"] += int(sin[0])

        day, week = _day(time_us), _week(time_us)
        if self._last_us == NO_TIME:
            self._first_us = time_us
        if self._last_us == NO_TIME or day != _day(self._last_us):
            follows = self._last_us != NO_TIME and day == _day(self._last_us) + 1
            self._streak = self._streak + 1 if follows else 1
            totals["longest_streak"] = max(totals["longest_streak"], self._streak)
            totals["active_days"] += 1
        totals["active_weeks"] += self._last_us == NO_TIME or week != _week(self._last_us)

        self._recent.append((time_us, new_item))
        # Any later as_of lies after this play, so what is too old for it is too old for good.
        while self._recent[0][0] < time_us - self.reference.config.recent_us:
            self._recent.popleft()
        self._last_us = time_us

    def _statistics(self, as_of_us: int | None) -> Statistics:
        values: dict[str, int] = {
            field.name: self._totals[field.name] for field in fields(Statistics)
        }
        counts = np.array(list(self._genres.values()), dtype=np.int64)
        values["genre_plays"] = int(counts.sum())
        values["genre_nlogn"] = int(n_log_n(counts).sum())
        values["first_us"] = self._first_us
        if as_of_us is not None:
            start_us = as_of_us - self.reference.config.recent_us
            recent = [new for time_us, new in self._recent if time_us >= start_us]
            values["recent_plays"], values["recent_new"] = len(recent), sum(recent)
        return Statistics(
            **{name: np.array([value], dtype=np.int64) for name, value in values.items()}
        )


def _day(time_us: int) -> int:
    return time_us // MICROSECONDS_PER_DAY


def _week(time_us: int) -> int:
    # 1970-01-01 was a Thursday; weeks start on Monday.
    return (_day(time_us) + 3) // 7
