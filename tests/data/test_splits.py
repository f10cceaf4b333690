"""Splits: what may be learned, who asks, what is wanted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Dataset, Target
from crossfade.data.dataset import to_datetime
from crossfade.data.splits import BLOCKS, Plan, ProtocolConfig, ProtocolName, Trial, make_plan
from crossfade.errors import ConfigError, DataError

START = datetime(2024, 1, 1, tzinfo=UTC)
PROTOCOLS: tuple[ProtocolName, ...] = (
    "time",
    "user",
    "leave-last",
    "repeat",
    "cold-users",
    "cold-items",
)
Plays = list[tuple[int, int, int]]
"""User, item, minute."""


def log(plays: Sequence[tuple[int, int, int]], *, times: bool = True) -> Dataset:
    events = pl.DataFrame(
        {
            "user_id": [f"u{user:02d}" for user, _, _ in plays],
            "item_id": [f"i{item:02d}" for _, item, _ in plays],
            "timestamp": [START + timedelta(minutes=minute) for _, _, minute in plays],
        }
    )
    return Dataset.build(events if times else events.drop("timestamp"), name="log")


def random_log(seed: int = 0, n: int = 400, *, times: bool = True) -> Dataset:
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, 40 * n, size=n))
    draws = zip(rng.integers(0, 12, n), rng.integers(0, 30, n), minutes, strict=True)
    return log([(int(u), int(i), int(m)) for u, i, m in draws], times=times)


def rules_of(name: ProtocolName, **others: float) -> ProtocolConfig:
    """In logs drawn at random every item is old, so cold items are a share."""
    return ProtocolConfig.model_validate({"name": name, "cold_items": "share", **others})


def trials(plan: Plan) -> list[Trial]:
    return [plan.fuse, plan.calibrate, *plan.tests]


plays = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 400)), min_size=20, max_size=80
)


@given(plays, st.sampled_from(["time", "repeat"]), st.integers(1, 3))
def test_nothing_is_learned_or_shown_that_happened_at_or_after_the_request(
    drawn: Plays, name: ProtocolName, rolling_cuts: int
) -> None:
    try:
        plan = make_plan(log(drawn), ProtocolConfig(name=name, rolling_cuts=rolling_cuts))
    except DataError:
        return  # the draw was too small for this protocol
    for trial in trials(plan):
        learned, asked = trial.train.time_us, trial.queries.as_of_us
        assert learned is not None
        assert asked is not None
        assert learned.max() < asked.min()
        assert trial.queries.time_us is not None
        assert (trial.queries.time_us < asked[trial.queries.owner]).all()


@given(plays, st.sampled_from(PROTOCOLS))
def test_what_is_wanted_is_new_wherever_seen_items_are_excluded(
    drawn: Plays, name: ProtocolName
) -> None:
    try:
        plan = make_plan(log(drawn), rules_of(name, cold_share=0.4))
    except DataError:
        return
    for trial in trials(plan):
        assert trial.exclude_seen == (name != "repeat")
        assert (np.diff(trial.relevant.indptr) > 0).all()  # everybody who asks wants something
        assert set(trial.relevant.data.tolist()) == {1.0}
        assert trial.relevant.shape == (len(trial.queries), trial.train.n_items)
        if trial.exclude_seen:
            assert trial.relevant.multiply(trial.queries.seen).nnz == 0
            if trial.hidden is not None:
                assert trial.relevant.multiply(trial.hidden).nnz == 0


@pytest.mark.parametrize("name", PROTOCOLS)
def test_blocks_are_disjoint_and_complete(name: ProtocolName) -> None:
    data = random_log()
    plan = make_plan(data, rules_of(name))
    assert sum(plan.block_sizes.values()) == data.n_events
    assert tuple(plan.block_sizes) == BLOCKS
    if name in {"cold-users", "cold-items"}:
        return  # some training events are taken out on purpose
    learned = [trial.train.n_events for trial in trials(plan)]
    # Each block's models learn from exactly the blocks before it.
    assert learned == np.cumsum(list(plan.block_sizes.values()))[:3].tolist()


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_seeds_give_equal_plans(name: ProtocolName, seed: int) -> None:
    first, second = (make_plan(random_log(), rules_of(name), seed) for _ in range(2))
    for a, b in zip(trials(first), trials(second), strict=True):
        assert a.train.events.equals(b.train.events)
        np.testing.assert_array_equal(a.queries.user_row, b.queries.user_row)
        np.testing.assert_array_equal(a.queries.item_row, b.queries.item_row)
        np.testing.assert_array_equal(a.relevant.toarray(), b.relevant.toarray())


def test_another_seed_shuffles_untimed_histories_differently() -> None:
    data = random_log(times=False)
    first, second = (make_plan(data, ProtocolConfig(name="user"), seed) for seed in (0, 1))
    assert not first.fuse.train.events.equals(second.fuse.train.events)
    assert any("random" in flag for flag in first.flags)


# -- time -----------------------------------------------------------------------------------


def test_time_cuts_by_hand() -> None:
    # Ten events a minute apart: 60/10/10/20 cuts before events 6, 7 and 8. Two users who
    # take turns: at minute 8 user 0 (even minutes) asks for item 8, user 1 for item 9.
    plan = make_plan(log([(m % 2, m, m) for m in range(10)]), ProtocolConfig(name="time"))
    assert plan.block_sizes == {"base": 6, "fuse": 1, "calibrate": 1, "test": 2}
    assert plan.cuts == tuple((START + timedelta(minutes=m)).isoformat() for m in (6, 7, 8))
    (test,) = plan.tests
    assert test.train.n_events == 8
    assert test.queries.user_row.tolist() == [0, 1]
    assert test.queries.as_of_us is not None
    asked = [to_datetime(int(time)) for time in test.queries.as_of_us]
    assert asked == [START + timedelta(minutes=8)] * 2
    assert test.queries.seen.toarray()[0].nonzero()[0].tolist() == [0, 2, 4, 6]
    assert [np.flatnonzero(row).tolist() for row in test.relevant.toarray()] == [[8], [9]]
    # Nobody had met items 8 and 9 before, so nobody may list them.
    assert test.candidates is not None
    assert np.flatnonzero(test.candidates).tolist() == list(range(8))
    (flag,) = plan.flags
    assert flag.startswith("100.0% of what was wanted are items unknown before the cut")


def test_the_catalogue_does_not_tell_which_items_will_be_played() -> None:
    # Every item of a catalogue made from the log that is new at the cut is wanted later.
    data = log([(m % 2, m % 7 if m < 8 else m, m) for m in range(10)])
    known = make_plan(data, ProtocolConfig(name="time")).tests[0].candidates
    assert known is not None
    assert np.flatnonzero(known).tolist() == list(range(7))
    everything = ProtocolConfig(name="time", candidates="catalogue")
    plan = make_plan(data, everything)
    assert plan.tests[0].candidates is None
    assert plan.flags == ()


def test_an_item_released_before_the_cut_may_be_listed_unplayed() -> None:
    data = log([(m % 2, m, m) for m in range(10)])
    before, after = START.date() - timedelta(days=1), START.date() + timedelta(days=1)
    dates = pl.Series("release_date", [None] * 8 + [before, after], dtype=pl.Date)
    data = replace(data, items=data.items.with_columns(dates))
    known = make_plan(data, ProtocolConfig(name="time")).tests[0].candidates
    assert known is not None
    assert np.flatnonzero(known).tolist() == list(range(9))


def test_an_item_only_cold_users_met_is_unknown() -> None:
    data = random_log()
    for trial in make_plan(data, ProtocolConfig(name="cold-users", cold_share=0.5)).tests:
        assert trial.candidates is not None
        met = np.unique(trial.train.events["item_row"].to_numpy())
        assert set(np.flatnonzero(trial.candidates)) == set(met.tolist())


def test_equal_times_are_never_torn_apart() -> None:
    # The 60 % cut falls inside eight events of one moment: all go to the later block.
    minutes = [0, 1, 2, *[3] * 8, *range(4, 13)]
    data = log([(n % 4, n, minute) for n, minute in enumerate(minutes)])
    config = ProtocolConfig(name="time", base=0.3, fuse=0.3, calibrate=0.1, test=0.3)
    plan = make_plan(data, config)
    assert plan.block_sizes["base"] == 3
    assert plan.block_sizes["fuse"] == 9  # the eight and the next


def test_rolling_windows_cover_the_test_block_and_learn_more_each_time() -> None:
    data = random_log()
    plan = make_plan(data, ProtocolConfig(name="time", rolling_cuts=4))
    whole = make_plan(data, ProtocolConfig(name="time")).tests[0]
    assert len(plan.tests) == 4
    learned = [trial.train.n_events for trial in plan.tests]
    assert learned == sorted(set(learned))
    assert learned[0] == whole.train.n_events
    asked = [trial.queries.as_of_us for trial in plan.tests]
    assert all(times is not None and len(np.unique(times)) == 1 for times in asked)


def test_only_positive_events_are_wanted_but_all_are_seen() -> None:
    events = pl.DataFrame(
        {
            "user_id": ["a"] * 10,
            "item_id": list("abcdefghij"),
            "timestamp": [START + timedelta(minutes=m) for m in range(10)],
            "value": [5.0, 1.0] * 5,
        }
    )
    data = Dataset.build(events, target=Target(min_value=4))
    config = ProtocolConfig(name="time", base=0.4, fuse=0.2, calibrate=0.2, test=0.2)
    (test,) = make_plan(data, config).tests
    assert data.item_ids.decode(test.relevant.indices) == ["i"]
    assert test.queries.seen.nnz == 8


def test_known_items_come_again_in_repeat_sessions() -> None:
    # One session a day, always the songs 0 to 3: asked in the middle, 2 and 3 are wanted.
    data = log([(0, m, 1440 * day + m) for day in range(10) for m in range(4)])
    plan = make_plan(data, ProtocolConfig(name="repeat"))
    (test,) = plan.tests
    assert len(test.queries) == 2
    assert [np.flatnonzero(row).tolist() for row in test.relevant.toarray()] == [[2, 3], [2, 3]]
    # The history reaches into the session itself.
    assert np.diff(test.queries.indptr).tolist() == [8 * 4 + 2, 9 * 4 + 2]
    assert any("repeat" in flag for flag in plan.flags)


def test_events_without_a_session_make_no_session() -> None:
    events = pl.DataFrame(
        {
            "user_id": ["u"] * 40,
            "item_id": [f"i{n % 7}" for n in range(40)],
            "timestamp": [START + timedelta(minutes=n) for n in range(40)],
            "session_id": [None if n % 2 else f"s{n // 4}" for n in range(40)],
        }
    )
    (test,) = make_plan(Dataset.build(events), ProtocolConfig(name="repeat")).tests
    # Events 32 to 39 hold two sessions of two events with an id; each asks at its second.
    assert len(test.queries) == 2
    assert np.diff(test.relevant.indptr).tolist() == [1, 1]


# -- per user -------------------------------------------------------------------------------


def test_each_users_own_order_is_cut_by_share() -> None:
    # User 0 starts early, user 1 late: each has ten items, cut 6/1/1/2 in their own order.
    data = log([(user, 10 * user + n, 1000 * user + n) for user in (0, 1) for n in range(10)])
    plan = make_plan(data, ProtocolConfig(name="user"))
    assert plan.block_sizes == {"base": 12, "fuse": 2, "calibrate": 2, "test": 4}
    (test,) = plan.tests
    assert [np.flatnonzero(row).tolist() for row in test.relevant.toarray()] == [[8, 9], [18, 19]]
    assert [np.flatnonzero(row).tolist() for row in plan.fuse.relevant.toarray()] == [[6], [16]]
    assert plan.cuts == ()
    assert any("later events" in flag for flag in plan.flags)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=6))
def test_shares_hold_for_every_user_within_one_event(sizes: list[int]) -> None:
    data = log([(user, n, 10 * user + n) for user, size in enumerate(sizes) for n in range(size)])
    try:
        plan = make_plan(data, ProtocolConfig(name="user"))
    except DataError:
        return
    (test,) = plan.tests
    held_out = np.array(sizes) - np.bincount(
        test.train.events["user_row"].to_numpy(), minlength=len(sizes)
    )
    assert (np.abs(held_out - 0.2 * np.array(sizes)) < 1).all()


def test_leave_last_holds_out_one_item_per_user() -> None:
    # Four plays each: base, fuse, calibrate, test. User 2 has one play and is never asked.
    data = log([(u, n, 10 * n + u) for u in (0, 1) for n in range(4)] + [(2, 0, 99)])
    plan = make_plan(data, ProtocolConfig(name="leave-last"))
    wanted = [np.flatnonzero(t.relevant.toarray()[0]).tolist() for t in trials(plan)]
    assert wanted == [[1], [2], [3]]
    (test,) = plan.tests
    assert test.queries.user_row.tolist() == [0, 1]
    assert test.train.events.filter(pl.col("user_row") == 2).height == 1
    assert plan.block_sizes == {"base": 3, "fuse": 2, "calibrate": 2, "test": 2}
    assert any("secondary" in flag for flag in plan.flags)


def test_leave_last_keeps_what_was_skipped_before_the_last_positive_in_the_history() -> None:
    # p1 p2 p3 s4 p5 s6 by everybody (p wanted, s skipped): p5 is asked for, s4 was met before.
    names = ["p1", "p2", "p3", "s4", "p5", "s6"]
    rows = [
        (f"u{u}", name, START + timedelta(minutes=n))
        for u in (0, 1)
        for n, name in enumerate(names)
    ]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    data = Dataset.build(events.with_columns(skipped=pl.col("item_id").str.starts_with("s")))
    (test,) = make_plan(data, ProtocolConfig(name="leave-last")).tests
    shown = test.queries.item_row[: test.queries.indptr[1]]
    assert data.item_ids.decode(shown) == ["p1", "p2", "p3", "s4"]
    assert data.item_ids.decode(test.relevant[[0]].indices) == ["p5"]


# -- cold -----------------------------------------------------------------------------------


def tagged_log() -> Dataset:
    data = random_log()
    taggings = data.events.select("user_row", "item_row", tag=pl.lit("loud"))
    return Dataset.from_rows(
        data.events, data.items, data.users, name="log", target=data.target, taggings=taggings
    )


def test_cold_users_leave_no_trace_in_training() -> None:
    data = tagged_log()
    plan = make_plan(data, ProtocolConfig(name="cold-users", cold_share=0.3, cold_history=2))
    warm = make_plan(data, ProtocolConfig(name="time"))
    for trial, whole in zip(trials(plan), trials(warm), strict=True):
        asking = set(whole.queries.user_row.tolist())
        gone = set(whole.train.events["user_row"]) - set(trial.train.events["user_row"])
        assert len(gone) == round(0.3 * len(asking))
        assert gone <= asking
        assert trial.train.taggings is not None
        assert not gone & set(trial.train.taggings["user_row"])
        # They ask as strangers, and show their first two events.
        assert (trial.queries.user_row == -1).all()
        assert len(trial.queries) == len(gone)
        assert (np.diff(trial.queries.indptr) <= 2).all()
        histories = [whole.train.events.filter(pl.col("user_row") == user) for user in sorted(gone)]
        first = [row["item_row"].head(2).to_list() for row in histories]
        shown = [
            trial.queries.item_row[a:b].tolist()
            for a, b in zip(trial.queries.indptr, trial.queries.indptr[1:], strict=False)
        ]
        assert shown == first
        # What they met but do not show may not be recommended either.
        assert trial.hidden is not None
        met = [set(row["item_row"]) for row in histories]
        assert [set(np.flatnonzero(row)) for row in trial.hidden.toarray()] == met
    assert any("cold users" in flag for flag in plan.flags)


def test_cold_items_leave_no_trace_in_training_or_histories() -> None:
    plan = make_plan(
        tagged_log(), ProtocolConfig(name="cold-items", cold_share=0.3, cold_items="share")
    )
    for trial in trials(plan):
        assert trial.candidates is not None
        cold = set(np.flatnonzero(trial.candidates).tolist())
        assert cold
        assert trial.train.taggings is not None
        assert not cold & set(trial.train.events["item_row"])
        assert not cold & set(trial.train.taggings["item_row"])
        assert not cold & set(trial.queries.item_row.tolist())
        assert set(trial.relevant.indices.tolist()) <= cold
    assert any("cold items" in flag for flag in plan.flags)


def test_cold_items_a_user_has_met_are_not_offered_again() -> None:
    data = tagged_log()
    plan = make_plan(data, ProtocolConfig(name="cold-items", cold_share=0.3, cold_items="share"))
    n_hidden = 0
    for trial in trials(plan):
        assert trial.candidates is not None
        assert trial.hidden is not None
        assert trial.queries.as_of_us is not None
        whole = data.queries(trial.queries.user_row, trial.queries.as_of_us)
        met = whole.seen.toarray() > 0
        np.testing.assert_array_equal(trial.hidden.toarray() > 0, met & trial.candidates)
        n_hidden += trial.hidden.nnz
    assert n_hidden  # or the test would say nothing


def test_cold_protocols_work_without_times() -> None:
    for name in ("cold-users", "cold-items"):
        plan = make_plan(random_log(times=False), ProtocolConfig(name=name, cold_share=0.3))
        assert any("no times" in flag for flag in plan.flags)


def test_tags_that_cannot_be_cut_are_flagged() -> None:
    data = tagged_log()
    dated = data.events.select("user_row", "item_row", "timestamp", tag=pl.lit("loud"))
    assert any("tags are not cut" in f for f in make_plan(data, ProtocolConfig()).flags)
    assert make_plan(replace(data, taggings=dated), ProtocolConfig()).flags == ()
    per_user = make_plan(replace(data, taggings=dated), ProtocolConfig(name="user"))
    assert any("tags are not cut" in flag for flag in per_user.flags)


# -- faults ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["time", "repeat"])
def test_data_without_times_are_cut_per_user_and_the_first_flag_says_so(name: ProtocolName) -> None:
    data = random_log(times=False)
    plan = make_plan(data, ProtocolConfig(name=name))
    assert plan.flags[0] == f"no times: protocol {name} is impossible, user instead"
    assert plan.protocol.name == "user"
    asked = make_plan(data, ProtocolConfig(name="user"))
    assert plan.flags[1:] == asked.flags
    for one, other in zip(trials(plan), trials(asked), strict=True):
        assert one.train.events.equals(other.train.events)
        assert one.exclude_seen


@pytest.mark.parametrize("name", PROTOCOLS)
def test_too_little_data_is_refused_with_a_mend(name: ProtocolName) -> None:
    with pytest.raises(DataError, match=r"asks nothing .* use more data"):
        make_plan(log([(0, 0, 0), (0, 0, 1)]), ProtocolConfig(name=name))


def test_shares_must_add_up() -> None:
    with pytest.raises(ConfigError, match=r"must be 1, got 1\.1"):
        ProtocolConfig(base=0.7)
