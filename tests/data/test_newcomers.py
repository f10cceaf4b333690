"""Cold users and items of a log with times: whoever and whatever came late."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.config import load_toml
from crossfade.data import Dataset, Target, load_dataset
from crossfade.data.dataset import to_us
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import Plan, ProtocolConfig, ProtocolName, Trial, make_plan
from crossfade.errors import ConfigError, DataError

START = datetime(2024, 1, 1, tzinfo=UTC)
HALVES = {"base": 0.4, "fuse": 0.2, "calibrate": 0.2, "test": 0.2}


def log(plays: Sequence[tuple[int, int, int]], ratings: Sequence[float] = ()) -> Dataset:
    """User, item, minute; with ratings, 4 and more is wanted."""
    events = pl.DataFrame(
        {
            "user_id": [f"u{user:02d}" for user, _, _ in plays],
            "item_id": [f"i{item:02d}" for _, item, _ in plays],
            "timestamp": [START + timedelta(minutes=minute) for _, _, minute in plays],
        }
    )
    if not ratings:
        return Dataset.build(events, name="log")
    rated = events.with_columns(value=pl.Series(ratings, dtype=pl.Float64))
    return Dataset.build(rated, name="log", target=Target(min_value=4))


def minute(n: int) -> int:
    return to_us(START + timedelta(minutes=n))


def trials(plan: Plan) -> list[Trial]:
    return [plan.fuse, plan.calibrate, *plan.tests]


def histories(trial: Trial) -> list[list[int]]:
    ends = trial.queries.indptr.tolist()
    return [trial.queries.item_row[a:b].tolist() for a, b in pairwise(ends)]


def candidates(trial: Trial) -> list[int]:
    assert trial.candidates is not None
    return np.flatnonzero(trial.candidates).tolist()


def wanted(trial: Trial) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in trial.relevant.toarray()]


# -- items first seen late ------------------------------------------------------------------

# Ten events, blocks of 4, 2, 2 and 2. Items 0 to 2 are old; 3 comes in the fuse block, 4 in
# the calibrate block, 5 in the test block. User 2 arrives in the test block.
LATE = [
    (0, 0, 0), (1, 1, 1), (0, 1, 2), (1, 2, 3),
    (0, 3, 4), (1, 0, 5),
    (1, 3, 6), (0, 4, 7),
    (2, 2, 8), (2, 4, 9),
]  # fmt: skip
BY_AGE = ProtocolConfig(name="cold-items", **HALVES)


def test_items_first_seen_after_the_base_block_by_hand() -> None:
    plan = make_plan(log([*LATE, (2, 5, 9)]), BY_AGE.changed(base=4.4 / 11, test=2.2 / 11))
    fuse, calibrate, test = trials(plan)
    assert [candidates(t) for t in trials(plan)] == [[3], [3, 4], [3, 4, 5]]
    # User 0 wants 3 at minute 4; user 1 wants 3 at minute 6 and 0 wants 4 at minute 7; user 2
    # wants 4 and 5 at minute 9, after one event inside the block itself.
    assert [wanted(t) for t in trials(plan)] == [[[3]], [[4], [3]], [[4, 5]]]
    assert [histories(t) for t in trials(plan)] == [[[0, 1]], [[0, 1], [1, 2, 0]], [[2]]]
    asked = [t.queries.as_of_us.tolist() for t in trials(plan) if t.queries.as_of_us is not None]
    assert asked == [[minute(4)], [minute(7), minute(6)], [minute(9)]]
    # What was learned from grows, and never holds a late item: 4, then 5, then 5 + none of 3, 4.
    assert [t.train.n_events for t in trials(plan)] == [4, 5, 5]
    assert fuse.exclude_seen
    assert calibrate.hidden is not None
    # User 0 met 3 before: neither in the history, nor wanted, nor allowed.
    assert [np.flatnonzero(row).tolist() for row in calibrate.hidden.toarray()] == [[3], []]
    assert test.hidden is not None
    assert test.hidden.nnz == 0


def test_who_did_nothing_else_before_is_not_asked() -> None:
    # User 2's first event of all is the late item.
    plan = make_plan(log([*LATE[:8], (2, 4, 8), (1, 4, 9)]), BY_AGE)
    assert plan.tests[0].queries.user_row.tolist() == [1]


def test_what_happens_at_the_moment_of_asking_is_not_in_the_history() -> None:
    # User 1 plays the old item 2 in the very minute in which they meet the late item 4.
    plan = make_plan(log([*LATE[:8], (1, 2, 9), (1, 4, 9)]), BY_AGE)
    assert histories(plan.tests[0]) == [[1, 2, 0]]


def test_a_late_item_that_was_disliked_at_first_is_wanted_no_more() -> None:
    # User 1 rates item 4 low before the test block and high in it: no longer new.
    plays = [*LATE[:8], (1, 4, 7), (1, 4, 8), (0, 5, 9), (1, 5, 9)]
    ratings = [5.0] * 8 + [1.0, 5.0, 5.0, 5.0]
    shares = {"base": 4 / 12, "fuse": 2 / 12, "calibrate": 3 / 12, "test": 3 / 12}
    plan = make_plan(log(plays, ratings), BY_AGE.changed(**shares))
    (test,) = plan.tests
    assert wanted(test) == [[5], [5]]
    assert test.hidden is not None
    hidden = [np.flatnonzero(row).tolist() for row in test.hidden.toarray()]
    assert hidden == [[3, 4], [3, 4]]


def test_the_report_says_what_cannot_be_compared() -> None:
    plan = make_plan(log([*LATE[:9], (2, 5, 9)]), BY_AGE)
    assert any("3 items first seen from 2024-01-01" in flag for flag in plan.flags)
    assert any("compare with is genre_popularity" in flag for flag in plan.flags)


def test_a_log_without_late_items_names_the_other_setting() -> None:
    data = log([(m % 3, m % 5, m) for m in range(40)])
    with pytest.raises(DataError, match=r"0 items first seen .* cold_items = \"share\""):
        make_plan(data, ProtocolConfig(name="cold-items"))


def test_without_times_cold_items_are_a_share_and_the_report_says_so() -> None:
    data = log([(m % 4, (m * 7) % 11, m) for m in range(80)])
    untimed = Dataset.build(
        pl.DataFrame(
            {
                "user_id": data.user_ids.decode(data.events["user_row"].to_numpy()),
                "item_id": data.item_ids.decode(data.events["item_row"].to_numpy()),
            }
        )
    )
    plan = make_plan(untimed, ProtocolConfig(name="cold-items", cold_share=0.3))
    assert any("random share" in flag for flag in plan.flags)
    drawn = make_plan(
        untimed, ProtocolConfig(name="cold-items", cold_share=0.3, cold_items="share")
    )
    np.testing.assert_array_equal(plan.tests[0].candidates, drawn.tests[0].candidates)


# -- users with a few events ----------------------------------------------------------------


def test_a_newcomer_shows_the_first_events_of_their_life_and_is_asked_right_after() -> None:
    # Six users with four events each, one after the other: minutes 4u to 4u + 3.
    data = log([(u, (u + n) % 6, 4 * u + n) for u in range(6) for n in range(4)])
    config = ProtocolConfig(
        name="cold-users",
        cold_history=2,
        cold_share=0.99,
        base=0.5,
        fuse=0.15,
        calibrate=0.15,
        test=0.2,
    )
    (test,) = make_plan(data, config).tests
    # The cut lies before event 19, the last of user 4: only they and user 5 want anything.
    assert histories(test) == [[4, 5], [5, 0]]
    assert wanted(test) == [[1], [1, 2]]
    assert test.queries.as_of_us is not None
    # User 4 had shown both before the block began, user 5 shows them in it (a microsecond ago).
    assert test.queries.as_of_us.tolist() == [minute(19), minute(21) + 1]
    assert test.hidden is not None
    # User 4 also met item 0, which they do not show.
    assert [np.flatnonzero(row).tolist() for row in test.hidden.toarray()] == [[0, 4, 5], [0, 5]]
    assert (test.queries.user_row == -1).all()
    assert not {4, 5} & set(test.train.events["user_row"].to_list())


def test_each_shows_as_many_as_the_setting_allows_and_keeps_something_to_want() -> None:
    data = log([(u, (u + n) % 30, 10 * u + n) for u in range(40) for n in range(6)])
    config = ProtocolConfig(name="cold-users", cold_history_min=1, cold_history=4, cold_share=0.9)
    plan = make_plan(data, config)
    sizes = np.diff(plan.tests[0].queries.indptr)
    assert set(sizes.tolist()) == {1, 2, 3, 4}
    assert any("first 1 to 4 events shown" in flag for flag in plan.flags)
    again = make_plan(data, config)
    np.testing.assert_array_equal(np.diff(again.tests[0].queries.indptr), sizes)
    other = np.diff(make_plan(data, config, seed=1).tests[0].queries.indptr)
    assert sizes.tolist() != other.tolist()


def test_who_has_too_few_events_shows_fewer_or_is_left_out() -> None:
    # Users 20 … of the last fifth have two events: they can show one and want one.
    data = log([(u, (u * 2 + n) % 30, 10 * u + n) for u in range(40) for n in range(2)])
    one = ProtocolConfig(name="cold-users", cold_history_min=1, cold_history=4, cold_share=0.9)
    (test,) = make_plan(data, one).tests
    assert set(np.diff(test.queries.indptr).tolist()) == {1}
    with pytest.raises(DataError, match=r"asks nothing .* use more data"):
        make_plan(data, ProtocolConfig(name="cold-users", cold_history=2, cold_share=0.9))


def test_the_fewest_cannot_be_more_than_the_most() -> None:
    with pytest.raises(
        ConfigError, match="cold_history_min must be at most cold_history \\(3\\), got 4"
    ):
        ProtocolConfig(cold_history_min=4)


# -- both -----------------------------------------------------------------------------------

plays = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 14), st.integers(0, 400)), min_size=20, max_size=80
)


@given(plays, st.sampled_from(["cold-users", "cold-items"]), st.integers(1, 3), st.integers(0, 4))
def test_models_learn_before_the_block_and_histories_end_before_the_request(
    drawn: list[tuple[int, int, int]], name: ProtocolName, rolling_cuts: int, shown: int
) -> None:
    config = ProtocolConfig(
        name=name, rolling_cuts=rolling_cuts, cold_share=0.5, cold_history=shown, cold_history_min=0
    )
    try:
        plan = make_plan(log(drawn), config)
    except DataError:
        return  # the draw was too small for this protocol
    for trial in trials(plan):
        learned, asked = trial.train.time_us, trial.queries.as_of_us
        assert learned is not None
        assert asked is not None
        assert learned.max() < asked.min()
        assert trial.queries.time_us is not None
        assert (trial.queries.time_us < asked[trial.queries.owner]).all()
        assert trial.relevant.multiply(trial.queries.seen).nnz == 0
        assert trial.hidden is not None
        assert trial.relevant.multiply(trial.hidden).nnz == 0
        if name == "cold-items":
            assert trial.candidates is not None
            learned_items = trial.train.events["item_row"].to_numpy()
            assert not trial.candidates[learned_items].any()
            assert trial.candidates[trial.relevant.indices].all()


@pytest.mark.real
@pytest.mark.parametrize(("name", "n_least"), [("amazon-cds", 350), ("movielens-100k", 130)])
def test_public_sets_ask_enough(
    name: str, n_least: int, real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    mapping = load_toml(ImportMapping, Path(__file__).parents[2] / "configs" / f"{name}.toml")
    import_table(mapping, tmp_path / name, root=real_data(name), now=START)
    data = load_dataset(tmp_path / name)
    for cold in (
        ProtocolConfig(name="cold-items"),
        ProtocolConfig(name="cold-users", cold_history_min=1, cold_history=4, cold_share=0.5),
    ):
        assert len(make_plan(data, cold).tests[0].queries) >= n_least
