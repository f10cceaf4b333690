"""The replay memory: who stays, in what parts, and when an update is taken."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from tests.fusion.maml.people import lists

from crossfade.errors import ConfigError
from crossfade.fusion.base import LabelledSignals
from crossfade.meta.replay import ReplayMemory, accepted, backward_transfer, with_replay


def requests(people: list[int]) -> LabelledSignals:
    return lists(np.ones((len(people), 2)), user_row=people)


def people_in(memory: ReplayMemory) -> list[int]:
    rows = memory.everything().signals.user_row
    assert rows is not None
    return sorted(rows.tolist())


# -- the reservoir ---------------------------------------------------------------------


def counts(n: int, capacity: int, kinds: list[str], **more: dict[str, float]) -> list[int]:
    """How often each of n requests is kept over many seeds."""
    stream, kept = requests(list(range(n))), Counter[int]()
    for seed in range(N_SEEDS):
        memory = ReplayMemory(capacity, sorted(set(kinds)), more.get("quotas"), seed)
        memory.add(stream, kinds)
        kept.update(people_in(memory))
    return [kept[person] for person in range(n)]


N_SEEDS = 150


def test_every_request_is_kept_with_the_same_chance() -> None:
    kept = counts(40, 10, ["a"] * 40)
    assert sum(kept) == N_SEEDS * 10
    # Kept without replacement: the counts vary a little less than the test thinks.
    assert chisquare(kept).pvalue > 0.01


def test_within_a_kind_every_request_is_kept_with_the_same_chance() -> None:
    # The rare kind comes late: until then the frequent one has borrowed its places.
    kinds = ["often"] * 24 + ["rare", "often"] * 8
    kept = counts(40, 10, kinds, quotas={"often": 0.6, "rare": 0.4})
    often = [n for n, kind in zip(kept, kinds, strict=True) if kind == "often"]
    rare = [n for n, kind in zip(kept, kinds, strict=True) if kind == "rare"]
    assert (sum(often), sum(rare)) == (N_SEEDS * 6, N_SEEDS * 4)
    assert chisquare(often).pvalue > 0.01
    assert chisquare(rare).pvalue > 0.01


def test_first_in_first_out_would_fail_these_tests() -> None:
    # What the source does: the newest ten are kept.
    assert chisquare([0] * 30 + [N_SEEDS] * 10).pvalue < 1e-9


def test_all_are_kept_while_there_is_room() -> None:
    memory = ReplayMemory(10, ["a"])
    memory.add(requests([4, 1, 3]), ["a"] * 3)
    assert people_in(memory) == [1, 3, 4]


def test_equal_seeds_keep_the_same_however_the_stream_is_cut() -> None:
    def kept(seed: int, cuts: list[int]) -> list[int]:
        memory = ReplayMemory(6, ["a", "b"], seed=seed)
        for part in np.split(np.arange(30), cuts):
            memory.add(requests(part.tolist()), ["a" if p % 3 else "b" for p in part])
        return people_in(memory)

    assert kept(1, [10, 20]) == kept(1, [1, 2, 29])
    assert kept(1, []) != kept(2, [])


# -- quotas ----------------------------------------------------------------------------


def test_places_are_whole_and_sum_to_the_capacity() -> None:
    memory = ReplayMemory(10, ["a", "b", "c"], {"a": 0.5, "b": 0.26, "c": 0.24})
    assert memory.places == {"a": 5, "b": 3, "c": 2}


def test_a_kind_that_stays_away_lends_its_places() -> None:
    memory = ReplayMemory(6, ["a", "b"], {"a": 0.5, "b": 0.5})
    memory.add(requests(list(range(20))), ["a"] * 20)
    assert memory.held() == {"a": 6, "b": 0}
    memory.add(requests([100, 101]), ["b", "b"])
    assert memory.held() == {"a": 4, "b": 2}
    memory.add(requests(list(range(200, 220))), ["b"] * 20)
    assert memory.held() == {"a": 3, "b": 3}
    memory.add(requests(list(range(300, 320))), ["a"] * 20)
    assert memory.held() == {"a": 3, "b": 3}


def test_a_tiny_memory_keeps_every_kind() -> None:
    # Ten of 500 are rare: a random memory of four would lose them nine times of ten.
    kinds = ["rare" if n % 50 == 0 else "often" for n in range(500)]
    for seed in range(20):
        memory = ReplayMemory(4, ["often", "rare"], seed=seed)
        memory.add(requests(list(range(500))), kinds)
        assert memory.held() == {"often": 2, "rare": 2}


def test_a_large_memory_without_quotas_is_not_cut_by_kind() -> None:
    assert ReplayMemory(20, ["a", "b"]).places is None
    assert ReplayMemory(19, ["a", "b"]).places == {"a": 10, "b": 9}


def test_a_memory_of_one_place_works() -> None:
    memory = ReplayMemory(1, ["a"])
    memory.add(requests(list(range(50))), ["a"] * 50)
    assert len(memory) == 1


@given(
    st.lists(st.sampled_from("abc"), max_size=60),
    st.integers(3, 12),
    st.sampled_from([None, {"a": 0.5, "b": 0.5, "c": 0.0}, {"a": 0.1, "b": 0.2, "c": 0.7}]),
)
def test_a_memory_is_full_or_holds_everything_and_owes_no_kind(
    kinds: list[str], capacity: int, quotas: dict[str, float] | None
) -> None:
    memory = ReplayMemory(capacity, "abc", quotas)
    memory.add(requests(list(range(len(kinds)))), kinds)
    assert len(memory) == min(capacity, len(kinds))
    assert memory.places is not None
    held, seen = memory.held(), Counter(kinds)
    assert all(held[kind] >= min(memory.places[kind], seen[kind]) for kind in "abc")
    assert memory.seen == {kind: seen[kind] for kind in "abc"}


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ({"a": 0.5, "b": 0.6}, "sum to 1"),
        ({"a": -0.5, "b": 1.5}, "0 or more"),
        ({"a": math.nan, "b": 0.5}, "0 or more"),
        ({"a": 1.0}, "name each kind once"),
    ],
)
def test_quotas_that_are_no_parts_are_refused(quotas: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReplayMemory(10, ["a", "b"], quotas)


def test_fewer_places_than_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 places cannot hold 2 kinds"):
        ReplayMemory(1, ["a", "b"])


# -- what is stored --------------------------------------------------------------------


def test_requests_are_kept_as_they_were_and_without_padding() -> None:
    mask = np.array([[True, True, False], [True, False, False]])
    given_requests = lists([[1, 0, 0], [1, 0, 0]], user_row=[1, 2], mask=mask)
    memory = ReplayMemory(5, ["a"])
    memory.add(given_requests, ["a", "a"])
    before = given_requests.signals.score.copy()
    given_requests.signals.score[:] = 99
    kept = memory.everything()
    assert kept.relevant.shape == (2, 2)
    np.testing.assert_array_equal(kept.signals.score[0], before[0, :2])
    np.testing.assert_array_equal(kept.signals.score[1, 0], before[1, 0])
    assert kept.signals.mask.tolist() == [[True, True], [True, False]]


def test_a_forgotten_person_is_gone() -> None:
    memory = ReplayMemory(5, ["a"])
    memory.add(requests([1, 2, 1]), ["a"] * 3)
    assert memory.forget(1) == 2
    assert people_in(memory) == [2]
    assert memory.forget(1) == 0


def test_wrong_requests_are_refused_and_nothing_is_added() -> None:
    memory = ReplayMemory(5, ["a"])
    with pytest.raises(ValueError, match=r'unknown kind "z"; this memory has a'):
        memory.add(requests([1, 2]), ["a", "z"])
    with pytest.raises(ValueError, match="1 kinds for 2 requests"):
        memory.add(requests([1, 2]), ["a"])
    assert len(memory) == 0
    with pytest.raises(ValueError, match="empty"):
        memory.everything()


# -- updates ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_new", "share", "n_old"), [(1, 0.3, 1), (3, 0.3, 1), (10, 0.3, 3), (4, 0.0, 0), (40, 0.5, 8)]
)
def test_even_one_new_request_is_learned_beside_an_old_one(
    n_new: int, share: float, n_old: int
) -> None:
    memory = ReplayMemory(8, ["a"])
    memory.add(requests(list(range(8))), ["a"] * 8)
    new = requests(list(range(100, 100 + n_new)))
    both = with_replay(new, memory, share, np.random.default_rng(0))
    assert both.signals.user_row is not None
    rows = both.signals.user_row.tolist()
    assert rows[:n_new] == list(range(100, 100 + n_new))
    assert len(set(rows[n_new:])) == len(rows) - n_new == n_old


def test_an_empty_memory_adds_nothing() -> None:
    new = requests([1])
    assert with_replay(new, ReplayMemory(3, ["a"]), 1.0, np.random.default_rng(0)) is new


def test_backward_transfer_is_the_mean_change() -> None:
    before, after = np.array([0.5, 0.25, 0.0]), np.array([0.25, 0.25, 0.1])
    assert backward_transfer(before, after) == pytest.approx(-0.05)
    assert math.isnan(backward_transfer(np.zeros(0), np.zeros(0)))
    with pytest.raises(ValueError, match="before the update"):
        backward_transfer(before, after[:2])


@pytest.mark.parametrize(
    ("after", "taken"),
    [(0.5, True), (0.4921875, True), (0.484375, False), (0.9, True), (math.nan, False)],
)
def test_an_update_is_taken_if_it_forgets_no_more_than_tolerated(after: float, taken: bool) -> None:
    assert accepted(np.full(4, 0.5), np.full(4, after), 0.0078125) is taken


def test_with_nothing_to_forget_every_update_is_taken() -> None:
    assert accepted(np.zeros(0), np.zeros(0), 0.0)
    with pytest.raises(ValueError, match="tolerance must be 0 or more"):
        accepted(np.zeros(1), np.zeros(1), -0.1)
