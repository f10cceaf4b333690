"""Whatever is done to a log, in whatever order, it holds what a list in memory would."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crossfade.errors import ConflictError
from crossfade.store.log import Appended, Log, NewEvent, StoredEvent

USERS, SESSIONS, KEYS = ("ann", "bob"), ("s1", "s2"), ("k1", "k2", "k3")
MEMORY = Path(
    "/dev/shm"
)  # commits that wait for no disk: what kills and faults take is tried elsewhere

NEW = st.builds(
    lambda who, item, key: NewEvent(item, 0, who[0], who[1], key=key),
    who=st.tuples(st.sampled_from(USERS), st.none() | st.sampled_from(SESSIONS))
    | st.tuples(st.none(), st.sampled_from(SESSIONS)),
    item=st.sampled_from(["t1", "t2"]),
    key=st.none() | st.none() | st.none() | st.sampled_from(KEYS),
)


class ModelOfALog(RuleBasedStateMachine):
    """The log, and a list that does the same in the plainest way."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.url = f"sqlite:///{Path(self.folder.name) / 'log.db'}"
        self.log = Log.open(self.url)
        self.events: list[StoredEvent] = []
        self.last, self.now = 0, 0

    @rule(batch=st.lists(NEW, min_size=1, max_size=6))
    def append(self, batch: list[NewEvent]) -> None:
        self.now += 1
        after, done = self.appended(batch)
        if done is None:
            try:
                self.log.append(batch, self.now)
            except ConflictError:
                return
            raise AssertionError("a key stood for two events")
        assert self.log.append(batch, self.now) == done
        self.events = after
        self.last = max([self.last, *(one.sequence for one in done)])

    def appended(self, batch: list[NewEvent]) -> tuple[list[StoredEvent], list[Appended] | None]:
        """What would be there then, and what would be answered; None where a key is taken."""
        after, done, sequence = list(self.events), list[Appended](), self.last
        for event in batch:
            there = [one for one in after if event.key is not None and one.event.key == event.key]
            if there and there[0].event != event:
                return self.events, None
            if there:
                done.append(Appended(there[0].sequence, duplicate=True))
            else:
                sequence += 1
                after.append(StoredEvent(sequence, self.now, event))
                done.append(Appended(sequence, duplicate=False))
        return after, done

    @rule(user=st.sampled_from(USERS))
    def forget_user(self, user: str) -> None:
        theirs = [one.event for one in self.events if one.event.user_id == user]
        sessions = {event.session_id for event in theirs} - {None}
        left = [
            one
            for one in self.events
            if one.event.user_id != user
            and not (one.event.user_id is None and one.event.session_id in sessions)
        ]
        gone = self.log.forget(user_id=user, now_us=self.now)
        assert gone.events == len(self.events) - len(left)
        self.events = left

    @rule(session=st.sampled_from(SESSIONS))
    def forget_session(self, session: str) -> None:
        left = [one for one in self.events if one.event.session_id != session]
        gone = self.log.forget(session_id=session, now_us=self.now)
        assert gone.events == len(self.events) - len(left)
        self.events = left

    @rule()
    def open_again(self) -> None:
        self.log.close()
        self.log = Log.open(self.url)

    @rule(after=st.integers(0, 3), limit=st.integers(0, 4))
    def read_on(self, after: int, limit: int) -> None:
        later = [one for one in self.events if one.sequence > after]
        assert self.log.events_after(after, limit) == later[:limit]
        for user in USERS:
            theirs = [one for one in later if one.event.user_id == user]
            some: dict[str, Any] = {"user_id": user, "after": after, "limit": limit}
            assert self.log.events_of(**some) == theirs[:limit]
            last = theirs[max(0, len(theirs) - limit) :]
            assert self.log.events_of(**some, newest=True) == last

    @invariant()
    def it_holds_the_same(self) -> None:
        assert self.log.events_after(0, 10**6) == self.events
        assert self.log.last_sequence() == self.last
        for session in SESSIONS:
            theirs = [one for one in self.events if one.event.session_id == session]
            assert self.log.events_of(session_id=session) == theirs

    def teardown(self) -> None:
        self.log.close()
        self.folder.cleanup()


TestModelOfALog = ModelOfALog.TestCase
# Shrinking what fails takes minutes, since each try opens a log of its own: twenty steps can be read as they are.
TestModelOfALog.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
)
