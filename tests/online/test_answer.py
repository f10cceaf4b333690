"""Answers as of now: those of a log that holds the live events, alone or together."""

import numpy as np
import pytest
from tests.online.systems import cut, fit, live, world

from crossfade.data import Dataset
from crossfade.hybrid import HybridModel
from crossfade.online import Answer, Ask, LiveSystem

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return world()


@pytest.fixture(scope="module")
def moment(whole: Dataset) -> int:
    return cut(whole)[1]


@pytest.fixture(scope="module")
def model(whole: Dataset) -> HybridModel:
    return fit(cut(whole)[0])


@pytest.fixture(scope="module")
def system(model: HybridModel) -> LiveSystem:
    return LiveSystem(model)


def answered(system: LiveSystem, *asks: Ask) -> list[Answer]:
    answers = system.answer(asks)
    for one in answers:
        assert isinstance(one, Answer), one
    return [one for one in answers if isinstance(one, Answer)]


def test_live_events_count_as_those_of_the_log_do(
    whole: Dataset, moment: int, model: HybridModel, system: LiveSystem
) -> None:
    moved = 0
    for user in whole.user_ids.ids.to_list()[::3]:
        events = live(whole, user, moment)
        now_us = events[-1].time_us + HOUR_US if events else moment
        query = whole.queries([whole.user_ids.row(user)], np.array([now_us]))
        (served,) = model.lists.serve(query, 10, model.config.ranking)
        (one,) = answered(system, Ask(user, events, now_us=now_us))
        assert one.recommendations == model.lists.lines(query, served)
        assert (one.n_history, one.n_live) == (len(query.item_row), len(events))
        (before,) = answered(system, Ask(user, now_us=now_us))
        moved += before.recommendations != one.recommendations
    assert moved > 10
