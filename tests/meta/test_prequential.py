"""What adaptation is worth: who is judged on what, by whose order, and in which numbers."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from tests.fusion.maml.people import lists, two_tastes

from crossfade.data import Dataset, Queries
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.maml.config import MamlConfig
from crossfade.fusion.maml.model import Maml
from crossfade.meta.prequential import (
    cut_after,
    gain_of,
    ndcg,
    prequential,
    retention,
    wanted_times,
)
from crossfade.types import Bools


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def model() -> Maml:
    config = MamlConfig(n_episodes=400, meta_batch=20, hidden=8)
    return Maml(config).fit(two_tastes(60, 1), two_tastes(30, 2), seed=0)


# -- times -----------------------------------------------------------------------------


def log(times: bool = True) -> Dataset:
    """Ann: a at 1, b at 5, c at 3 and again at 7, d at 9 but not positively."""
    day = [1, 5, 3, 7, 9]
    events = pl.DataFrame(
        {
            "user_id": ["ann"] * 5,
            "item_id": ["a", "b", "c", "c", "d"],
            "event": ["play", "play", "play", "play", "skip"],
            "timestamp": [datetime(2020, 1, d, tzinfo=UTC) for d in day],
        }
    )
    return Dataset.build(events if times else events.drop("timestamp"), name="log")


def asked(dataset: Dataset, as_of: datetime | None) -> tuple[LabelledSignals, Queries]:
    """Ann's request with all four items listed, of which b and c are wanted."""
    as_of_us = None if as_of is None else np.array([int(as_of.timestamp() * 1e6)])
    queries = dataset.queries(np.array([0], dtype=np.int32), as_of_us)
    rows = np.array([[dataset.item_ids.rows([name])[0] for name in "dcba"]], dtype=np.int32)
    made = replace(lists([[0, 1, 1, 0]], user_row=[0]), item_row=rows)
    return made, queries


def test_an_item_counts_when_it_is_first_wanted_after_the_request() -> None:
    dataset = log()
    when = wanted_times(*asked(dataset, datetime(2020, 1, 4, tzinfo=UTC)), dataset)
    assert when is not None
    days = (when - datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1e6) / 86_400e6 + 1
    # d is not wanted; c was played before the request, and counts from its next play.
    np.testing.assert_array_equal(days, [[np.nan, 7.0, 5.0, np.nan]])


def test_a_log_without_times_has_no_order() -> None:
    dataset = log(times=False)
    assert wanted_times(*asked(dataset, None), dataset) is None


def test_lists_of_other_people_are_refused() -> None:
    dataset = log()
    made, queries = asked(dataset, datetime(2020, 1, 4, tzinfo=UTC))
    other = replace(made, signals=replace(made.signals, user_row=np.array([7], dtype=np.int32)))
    with pytest.raises(ValueError, match="the same people in the same order"):
        wanted_times(other, queries, dataset)


# -- cutting ---------------------------------------------------------------------------


def test_the_first_reactions_are_known_and_all_later_ones_are_judged() -> None:
    relevant = np.ones((1, 30), dtype=np.bool_)
    relevant[0, 25:] = False
    when = np.arange(30.0)[::-1][None]
    places, cut = cut_after(lists(relevant), when, 3, rng())
    assert places.tolist() == [0]
    assert np.flatnonzero(cut.support.relevant[0]).tolist() == [22, 23, 24]
    assert np.flatnonzero(cut.query.relevant[0]).tolist() == list(range(22))
    assert cut.query.n_relevant.tolist() == [22.0]


def test_what_will_be_wanted_is_not_taken_out_of_the_list_that_is_learned_from() -> None:
    _, cut = cut_after(lists([[1, 1, 1, 0]]), np.array([[2.0, 1.0, 3.0, np.nan]]), 1, rng())
    assert cut.support.signals.mask.all()
    assert cut.support.relevant.tolist() == [[False, True, False, False]]
    # What is known is no candidate any more.
    assert cut.query.signals.mask.tolist() == [[True, False, True, True]]


def test_whoever_wanted_no_more_than_is_known_is_not_judged() -> None:
    made = lists([[1, 1, 0], [1, 1, 1], [0, 0, 0]], user_row=[4, 5, 6])
    places, cut = cut_after(made, None, 2, rng())
    assert places.tolist() == [1]
    assert cut.query.signals.user_row is not None
    assert cut.query.signals.user_row.tolist() == [5]


# -- judging ---------------------------------------------------------------------------


def test_adaptation_beats_its_shadow_where_reactions_tell_the_taste(model: Maml) -> None:
    one, five = prequential(model, two_tastes(60, 7), None, rng(), (1, 5))
    assert len(five.place) == 60
    # A single reaction cannot be checked, so nobody moves.
    assert not one.kept.any()
    np.testing.assert_array_equal(one.gain, 0)
    assert five.gain.mean() > 0.1
    assert (five.gain[~five.kept] == 0).all()


def test_adaptation_is_judged_on_later_wishes_and_not_on_the_reactions_themselves(
    model: Maml,
) -> None:
    # Reactions say left, everything wanted later says right: learning them must cost.
    n, wanted = 20, np.zeros((20, 40), dtype=np.bool_)
    wanted[:, :12] = True
    score = rng(3).normal(size=(n, 40, 2))
    score[:, :6] = [3.0, -3.0]
    score[:, 6:12] = [-3.0, 3.0]
    made = replace(two_tastes(n, 4), relevant=wanted, n_relevant=np.full(n, 12.0))
    signals = replace(made.signals, score=score.astype(np.float32))
    when = np.broadcast_to(np.arange(40.0), (n, 40))
    (step,) = prequential(model, replace(made, signals=signals), when, rng(), (6,))
    assert step.kept.all()
    assert step.gain.mean() < -0.1


def test_the_order_of_who_has_no_times_is_the_same_at_every_count(model: Maml) -> None:
    people = two_tastes(10, 5)
    known: list[Bools] = []

    class Spy(Maml):
        def adapt(self, signals, relevant, n_steps=None):  # type: ignore[no-untyped-def]
            known.append(relevant)
            return super().adapt(signals, relevant, n_steps)

    spy = Spy(model.config)
    spy.__dict__.update(vars(model))
    prequential(spy, people, None, rng(), (2, 4))
    assert (known[0] <= known[1]).all()
    assert known[1].sum() == 40


def test_nobody_to_judge_gives_an_empty_step(model: Maml) -> None:
    (step,) = prequential(model, two_tastes(5, 5), None, rng(), (30,))
    assert len(step.place) == len(step.gain) == 0


# -- numbers ---------------------------------------------------------------------------


def test_the_numbers_of_a_step_are_those_of_a_pencil() -> None:
    shadow = np.array([0.5, 0.5, 0.5, 0.5])
    adapted = np.array([0.6, 0.5, 0.47, 0.49])
    found = gain_of(shadow, adapted, np.array([True, False, True, True]), rng())
    assert found.n == 4
    assert found.shadow == 0.5
    assert found.gain == pytest.approx(0.015)
    assert found.low < found.gain < found.high
    # A loss of 0.01 is no harm.
    assert (found.harmed, found.helped, found.kept) == (0.25, 0.25, 0.75)


def test_runs_of_one_person_are_no_more_people() -> None:
    gain = rng(1).normal(size=(50, 1))
    kept = np.ones((50, 1), dtype=np.bool_)
    one = gain_of(np.zeros((50, 1)), gain, kept, rng())
    four = gain_of(np.zeros((50, 4)), gain.repeat(4, axis=1), kept.repeat(4, axis=1), rng())
    assert four.n == 50
    assert [four.low, four.high] == pytest.approx([one.low, one.high])


def test_of_nobody_nothing_is_known() -> None:
    found = gain_of(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.bool_), rng())
    assert found.n == 0
    assert np.isnan([found.shadow, found.gain, found.low, found.harmed]).all()


# -- retention -------------------------------------------------------------------------


def test_older_requests_change_only_for_those_with_weights_of_their_own(model: Maml) -> None:
    earlier = two_tastes(40, 8)
    before = ndcg(model.forward(earlier.signals), earlier)
    _, cut = cut_after(two_tastes(20, 9), None, 5, rng())
    reactions = cut.support.relevant.copy()
    reactions[0] = False
    adapted = model.adapt(cut.support.signals, reactions)
    found = retention(model, earlier, adapted, before)
    assert found.own.tolist() == [*adapted.kept.tolist(), *[False] * 20]
    assert not found.own[0]
    assert found.own[1:20].all()
    np.testing.assert_allclose(found.after[~found.own], before[~found.own], atol=1e-6)
    # Person i has one taste in both blocks, so their own weights suit their older requests.
    assert (found.after - found.before)[found.own].mean() > 0.05
