"""Which episodes are drawn how often."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare
from tests.fusion.maml.people import lists

from crossfade.errors import ConfigError
from crossfade.fusion.maml.config import Hours, Listeners, Sampling
from crossfade.fusion.maml.sampling import Sampler, difficulty, kinds_of
from crossfade.fusion.maml.tasks import Episodes
from crossfade.fusion.static import StaticBlend

NAN = np.nan


def episodes(user: Any = None, item: Any = None, n: int = 4) -> Episodes:
    more = {} if user is None else {"user": user}
    more |= {} if item is None else {"item": item}
    made = lists([[1, 0]] * n, **more)
    return Episodes(made, made)


def at(hour: float) -> list[float]:
    turn = 2 * np.pi * hour / 24
    return [0.0, 0.0, 1.0, np.sin(turn), np.cos(turn)]


# -- kinds -----------------------------------------------------------------------------


def test_listeners_are_of_the_kind_their_columns_say() -> None:
    user = [[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [1, 1, 0, 0, 1], [NAN, NAN, 0, 0, 1]]
    kinds = kinds_of(episodes(user))["listener"]
    assert kinds["explorer"].tolist() == [True, False, True, False]
    assert kinds["loyalist"].tolist() == [False, True, False, False]
    assert kinds["other"].tolist() == [False, False, False, True]


def test_few_events_are_those_up_to_the_median() -> None:
    user = [[0, 0, v, 0, 1] for v in (1.0, 2.0, 5.0, NAN)]
    assert kinds_of(episodes(user))["history"]["few"].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("hour", "part"),
    [
        (0, "night"),
        (5.9, "night"),
        (6, "morning"),
        (12, "afternoon"),
        (18, "evening"),
        (23.9, "evening"),
    ],
)
def test_a_quarter_of_the_day_is_known_by_its_angle(hour: float, part: str) -> None:
    kinds = kinds_of(episodes([at(hour)] * 2, n=2))["time"]
    assert [name for name, who in kinds.items() if who.all()] == [part]


def test_items_are_judged_by_those_that_were_wanted() -> None:
    # The second candidate is not wanted, so its completeness does not count.
    item = [[[0.2], [1.0]], [[0.9], [0.0]], [[0.9], [0.0]], [[NAN], [0.0]]]
    kinds = kinds_of(episodes(item=item))["item"]
    assert kinds["uncertain"].tolist() == [True, False, False, False]


def test_without_columns_every_episode_is_of_the_kind_not_known() -> None:
    kinds = kinds_of(episodes())
    assert all(kinds[group][kind].all() for group, kind in
               (("listener", "other"), ("history", "many"), ("item", "certain"), ("time", "unknown")))  # fmt: skip


# -- proportions -----------------------------------------------------------------------

USER = np.array([[1, 0, 1, 0, 1]] * 2 + [[0, 1, 1, 0, 1]] * 8 + [[0, 0, 1, 0, 1]] * 10)


def test_draws_follow_the_stated_proportions() -> None:
    stated = Sampling(listener=Listeners(explorer=3, loyalist=1, other=0))
    kinds = kinds_of(episodes(USER, n=20))
    sampler = Sampler(kinds, np.zeros(20), stated)
    # A quarter by listener; the other groups have one kind each, so they draw evenly.
    expected = np.repeat(
        [0.25 * 0.75 / 2 + 0.75 / 20, 0.25 * 0.25 / 8 + 0.75 / 20, 0.75 / 20], [2, 8, 10]
    )
    np.testing.assert_allclose(sampler.chance, expected)
    drawn = np.bincount(sampler.draw(20_000, 0.0, np.random.default_rng(0)), minlength=20)
    assert chisquare(drawn, 20_000 * expected).pvalue > 0.01


def test_an_empty_kind_leaves_its_part_to_the_others() -> None:
    kinds = kinds_of(episodes([at(3)] * 3 + [at(9)], n=4))
    chance = Sampler(kinds, np.zeros(4), Sampling()).chance
    # Nobody asks in the afternoon or evening: night and morning share the quarter.
    np.testing.assert_allclose(chance, [0.75 / 4 + 0.125 / 3] * 3 + [0.75 / 4 + 0.125])
    assert chance.sum() == pytest.approx(1)


def test_a_group_whose_filled_kinds_get_nothing_is_an_error() -> None:
    nothing = Sampling(time=Hours(unknown=0))
    with pytest.raises(ConfigError, match=r"sampling\.time: .* give one of unknown a part"):
        Sampler(kinds_of(episodes()), np.zeros(4), nothing)


def test_kinds_can_be_switched_off() -> None:
    sampler = Sampler(kinds_of(episodes(USER, n=20)), np.zeros(20), Sampling(by_kind=False))
    np.testing.assert_allclose(sampler.chance, 1 / 20)


def test_equal_generators_draw_alike() -> None:
    sampler = Sampler(kinds_of(episodes(USER, n=20)), np.zeros(20), Sampling())
    one, same = (sampler.draw(50, 0.5, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, same)


# -- difficulty ------------------------------------------------------------------------


def test_difficulty_is_what_the_static_blend_misses() -> None:
    score = [[[3, 0], [1, 0]], [[1, 0], [3, 0]]]
    made = lists([[1, 0], [1, 0]], score)
    start = StaticBlend(np.array([1.0, 0.0], dtype=np.float32))
    hard = difficulty(Episodes(made, made), start)
    np.testing.assert_allclose(hard, [0.0, 1 - 1 / np.log2(3)])


def test_a_curriculum_lets_the_hard_ones_in_by_and_by() -> None:
    hard = np.linspace(0, 1, 10)
    config = Sampling(by_kind=False, curriculum=True, easy_share=0.2, ramp=0.5)
    sampler = Sampler(kinds_of(episodes(n=10)), hard, config)
    assert [int(sampler.allowed(p).sum()) for p in (0.0, 0.25, 0.5, 1.0)] == [2, 6, 10, 10]
    early = sampler.draw(500, 0.0, np.random.default_rng(0))
    assert set(early) == {0, 1}
    assert set(sampler.draw(500, 0.6, np.random.default_rng(0))) == set(range(10))


def test_equally_hard_episodes_come_in_together() -> None:
    config = Sampling(curriculum=True, easy_share=0.1)
    sampler = Sampler(kinds_of(episodes(n=5)), np.array([1.0, 0, 0, 0, 1]), config)
    assert sampler.allowed(0.0).tolist() == [False, True, True, True, False]


def test_without_a_curriculum_all_are_in_from_the_start() -> None:
    config = Sampling(curriculum=False)
    assert Sampler(kinds_of(episodes(n=5)), np.linspace(0, 1, 5), config).allowed(0.0).all()


def test_easy_episodes_of_kinds_without_a_part_do_not_stop_the_draw() -> None:
    config = Sampling(
        listener=Listeners(explorer=0), curriculum=True, easy_share=0.05, time=Hours(night=0)
    )
    user = [[1.0, 0, 1, 0, 1]] + [[0.0, 0, 1, 0, -1]] * 3
    kinds = kinds_of(episodes(user))
    chance = Sampler(kinds, np.array([0.0, 1, 1, 1]), config).chance
    assert chance[0] > 0  # by history and item it may still be drawn
    nobody = Sampler(kinds, np.array([0.0, 1, 1, 1]), config)
    nobody.chance = np.array([0.0, 0.5, 0.25, 0.25])
    assert 0 not in nobody.draw(50, 0.0, np.random.default_rng(0))
