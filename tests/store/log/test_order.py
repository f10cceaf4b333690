"""Many threads at once, and any order of calls: nothing lost, nothing doubled, nothing out of order."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.errors import ConflictError, StoreError
from crossfade.store.log import Log, NewEvent
from crossfade.store.log.writer import Job, Writer

NOW = 1_700_000_000_000_000


# -- threads -------------------------------------------------------------------------------


def test_eight_threads_and_two_logs_lose_and_double_nothing(log: Log, url: str) -> None:
    logs = [log, Log.open(url)]  # a second one stands for a second process

    def work(thread: int) -> dict[str, int]:
        acknowledged = dict[str, int]()
        for call in range(15):
            keys = [f"{thread}-{call}-{i}" for i in range(1 + call % 3)]
            batch = [NewEvent("t", NOW, "ann", key=key) for key in keys]
            done = logs[thread % 2].append(batch, NOW)
            assert [kept.sequence - done[0].sequence for kept in done] == [*range(len(done))]
            acknowledged |= {key: kept.sequence for key, kept in zip(keys, done, strict=True)}
        return acknowledged

    finished = threading.Event()

    def follow() -> list[int]:
        seen = [0]
        while True:
            over = finished.is_set()
            seen += [stored.sequence for stored in log.events_after(seen[-1], 7)]
            if over and seen[-1] == log.last_sequence():
                return seen

    with ThreadPoolExecutor(9) as pool:
        following = pool.submit(follow)
        try:
            acknowledged = [*pool.map(work, range(8))]
        finally:
            finished.set()
        seen = following.result()
    logs[1].close()
    expected = {key: sequence for part in acknowledged for key, sequence in part.items()}
    kept = {stored.event.key: stored.sequence for stored in log.events_after(0, 10**6)}
    assert kept == expected
    assert len(kept) == 8 * 30
    # Whoever follows the log while it is written sees every sequence, in order.
    assert {after - before for before, after in pairwise(seen)} == {1}


def test_the_same_event_sent_by_many_at_once_is_kept_once(log: Log) -> None:
    event = NewEvent("t", NOW, "ann", key="k")
    with ThreadPoolExecutor(8) as pool:
        done = [*pool.map(lambda _: log.append([event], NOW)[0], range(40))]
    assert sorted(kept.duplicate for kept in done) == [False] + [True] * 39
    assert {kept.sequence for kept in done} == {1}
    assert len(log.events_after(0, 10)) == 1


def test_a_refused_batch_takes_no_other_down_that_is_committed_with_it(log: Log) -> None:
    log.append([NewEvent("t", NOW, "ann", key="k")], NOW)

    def work(number: int) -> str:
        key = "k" if number % 3 == 0 else f"k{number}"
        try:
            log.append([NewEvent(f"t{number}", NOW, "ben"), NewEvent("u", NOW, "ben", key=key)], NOW)  # fmt: skip
        except ConflictError:
            return "refused"
        return "kept"

    with ThreadPoolExecutor(8) as pool:
        done = [*pool.map(work, range(24))]
    assert done == ["refused", "kept", "kept"] * 8
    kept = {stored.event.item_id for stored in log.events_of(user_id="ben")}
    assert kept == {"u"} | {f"t{number}" for number in range(24) if number % 3}


# -- the writer ----------------------------------------------------------------------------


def all_at_once(writer: Writer[None], change: Callable[[None], Any], n: int) -> list[Any]:
    """What becomes of n calls by as many threads: the result, or the error."""

    def call(_: int) -> Any:
        try:
            return writer(change)
        except (StoreError, ZeroDivisionError) as error:
            return error

    with ThreadPoolExecutor(n) as pool:
        return [*pool.map(call, range(n))]


def test_who_comes_during_a_commit_shares_the_next() -> None:
    groups: list[int] = []
    busy, go_on = threading.Event(), threading.Event()

    def commit(jobs: list[Job[None]]) -> None:
        groups.append(len(jobs))
        busy.set()
        assert go_on.wait(60)
        for job in jobs:
            job.done.set_result(job.change(None))

    writer = Writer(commit, "here")
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(writer, lambda _: "first")
        assert busy.wait(60)
        others = [pool.submit(writer, lambda _: "other") for _ in range(5)]
        while len(writer._waiting) < 5:
            threading.Event().wait(0.001)
        go_on.set()
        assert first.result(60) == "first"
        assert [other.result(60) for other in others] == ["other"] * 5
    writer.close()
    assert groups == [1, 5]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_writer_that_a_fault_of_ours_has_ended() -> None:
    def commit(jobs: list[Job[None]]) -> None:
        raise ZeroDivisionError

    writer = Writer(commit, "here")
    faults = all_at_once(writer, lambda _: None, 5)
    assert {type(fault) for fault in faults} <= {ZeroDivisionError, StoreError}
    with pytest.raises(StoreError, match="closed"):
        writer(lambda _: None)
    writer.close()


# -- any order of calls --------------------------------------------------------------------


@dataclass
class Model:
    """The log as plain Python."""

    rows: list[tuple[int, NewEvent]] = field(default_factory=list)
    last: int = 0

    def append(self, events: list[NewEvent]) -> list[tuple[int, bool]] | None:
        rows, last, done = list(self.rows), self.last, list[tuple[int, bool]]()
        for event in events:
            same = [row for row in rows if event.key is not None and row[1].key == event.key]
            if same and same[0][1] != event:
                return None
            if not same:
                last += 1
                rows.append((last, event))
            done.append((same[0][0], True) if same else (last, False))
        self.rows, self.last = rows, last
        return done

    def forget(self, user_id: str | None, session_id: str | None) -> int:
        theirs = {
            event.session_id
            for _, event in self.rows
            if user_id is not None and event.user_id == user_id and event.session_id is not None
        }

        def stays(event: NewEvent) -> bool:
            return not (
                (user_id is not None and event.user_id == user_id)
                or (session_id is not None and event.session_id == session_id)
                or (event.user_id is None and event.session_id in theirs)
            )

        before = len(self.rows)
        self.rows = [row for row in self.rows if stays(row[1])]
        return before - len(self.rows)


USERS, SESSIONS = st.sampled_from(["ann", "ben", None]), st.sampled_from(["s1", "s2", None])
EVENTS = st.builds(
    NewEvent,
    item_id=st.sampled_from(["t1", "t2"]),
    time_us=st.just(NOW),
    user_id=USERS,
    session_id=st.sampled_from(["s1", "s2"]),
    key=st.sampled_from(["k1", "k2", "k3", None, None]),
)
CALLS = st.one_of(
    st.tuples(st.just("append"), st.lists(EVENTS, max_size=4)),
    st.tuples(st.just("append"), st.lists(EVENTS, max_size=4)),
    st.tuples(st.just("forget"), st.tuples(USERS, SESSIONS).filter(any)),
    st.tuples(st.just("reopen"), st.none()),
)


@settings(max_examples=30, deadline=None)
@given(calls=st.lists(CALLS, max_size=8))
def test_whatever_is_called_the_log_is_what_plain_python_says(
    calls: list[tuple[str, Any]],
) -> None:
    model = Model()
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'log.db'}"
        log = Log.open(url)
        for name, argument in calls:
            if name == "append":
                expected = model.append(argument)
                if expected is None:
                    with pytest.raises(ConflictError):
                        log.append(argument, NOW)
                else:
                    done = log.append(argument, NOW)
                    assert [(kept.sequence, kept.duplicate) for kept in done] == expected
            elif name == "forget":
                done_ = log.forget(user_id=argument[0], session_id=argument[1], now_us=NOW)
                assert done_.events == model.forget(*argument)
            else:
                log.close()
                log = Log.open(url)
            rows = [(stored.sequence, stored.event) for stored in log.events_after(0, 10**6)]
            assert rows == model.rows
            assert log.last_sequence() == model.last
            of_ann = [stored.sequence for stored in log.events_of(user_id="ann")]
            assert of_ann == [row[0] for row in model.rows if row[1].user_id == "ann"]
        log.close()
