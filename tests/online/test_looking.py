"""What-if lists, and what a live system tells of its people, items and data."""

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.online.systems import cut, fit, live, world

from crossfade.data import Dataset
from crossfade.errors import ConfigError, UnknownIdError
from crossfade.hybrid import HybridModel
from crossfade.meta.recommendation import Names
from crossfade.meta.serving import Filters
from crossfade.online import Answer, Ask, LiveSystem
from crossfade.online.library import Library

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return world()


@pytest.fixture(scope="module")
def model(whole: Dataset) -> HybridModel:
    return fit(cut(whole)[0], fusion="static")


@pytest.fixture(scope="module")
def system(model: HybridModel) -> LiveSystem:
    return LiveSystem(model)


@pytest.fixture(scope="module")
def ask(whole: Dataset) -> Ask:
    moment = cut(whole)[1]
    user = whole.user_ids.id(0)
    events = live(whole, user, moment)
    return Ask(user, events, now_us=events[-1].time_us + HOUR_US)


def ids(lines: Any) -> list[str]:
    return [line.item_id for line in lines]


def test_the_weights_that_are_served_would_change_nothing(
    system: LiveSystem, model: HybridModel, ask: Ask
) -> None:
    (answer,) = system.answer([ask])
    assert isinstance(answer, Answer)
    found = system.what_if(ask, model.blend.choice.weights)
    assert ids(found) == ids(answer.recommendations)
    assert [line.score for line in found] == pytest.approx(
        [line.score for line in answer.recommendations], abs=1e-6
    )
    doubled = {label: 2 * weight for label, weight in model.blend.choice.weights.items()}
    assert ids(system.what_if(ask, doubled)) == ids(found)


def test_all_weight_on_one_base_ranks_by_that_base(
    system: LiveSystem, model: HybridModel, ask: Ask
) -> None:
    query = system._query(ask)
    for label, base in model.bases.items():
        found = system.what_if(ask, {label: 3.0})
        score = base.score_batch(query)[0][model.dataset.item_ids.rows(ids(found))]
        assert (np.diff(score) <= 0).all(), label
    orders = [ids(system.what_if(ask, {label: 1.0})) for label in model.bases]
    assert len({tuple(order) for order in orders}) > 1


def test_conditions_of_a_list_hold_in_what_would_be(system: LiveSystem, ask: Ask) -> None:
    first = ids(system.what_if(ask, {"popularity": 1.0}))
    asked = Ask(ask.user_id, ask.events, now_us=ask.now_us, filters=Filters(block=first[:3]))
    found = system.what_if(asked, {"popularity": 1.0})
    assert not set(ids(found)) & set(first[:3])
    assert len(found) == ask.k
    if system.model.blend.exclude_seen:
        assert not set(ids(found)) & {event.item_id for event in ask.events}


@pytest.mark.parametrize(
    "weights",
    [{}, {"popularity": 0.0}, {"popularity": -1.0}, {"popularity": float("nan")}, {"oracle": 1.0}],
)
def test_what_is_no_mix_is_refused(system: LiveSystem, ask: Ask, weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        system.what_if(ask, weights)


def test_what_if_is_a_question_to_a_learned_model_too(whole: Dataset, ask: Ask) -> None:
    system = LiveSystem(fit(cut(whole)[0]))
    before = system.answer([ask])
    found = system.what_if(ask, {"item_knn": 1.0})
    assert len(found) == ask.k
    assert all(line.weights == {} for line in found)
    assert system.answer([ask]) == before  # nothing that is served was changed


def test_people_and_items_are_found_by_parts_of_their_names(
    system: LiveSystem, model: HybridModel
) -> None:
    users = model.dataset.user_ids.ids.to_list()
    assert system.users(users[7].upper(), 5)[0] == users[7]
    assert system.users("", 3) != []
    assert system.users("no such listener", 5) == []
    title = str(model.dataset.items["title"][4])
    assert system.items(title, 5)[0].title == title
    assert system.items(".*", 5) == []  # what is searched is a text, never a pattern
    assert len(system.items("", 5)) == 5
    first, second = model.dataset.item_ids.ids[:2].to_list()
    assert [one.item_id for one in system.named([second, "?", first])] == [second, first]


def test_an_item_tells_where_its_audio_features_come_from() -> None:
    data = Dataset.build(
        pl.DataFrame({"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"]}),
        pl.DataFrame(
            {
                "item_id": ["a", "b", "c"],
                "title": ["A", None, "C"],
                "genres": [["folk"], [], None],
                "energy": [0.2, 0.6, None],
                "energy_sigma": [0.0, 0.1, None],
                "energy_source": ["actual", "predicted", "missing"],
            }
        ),
    )
    library = Library(data, Names(data))
    energy = {item: library.item(item).audio[0] for item in "abc"}
    assert (energy["a"].source, energy["a"].confidence) == ("actual", 1.0)
    assert energy["b"].source == "predicted"
    assert energy["b"].sigma == pytest.approx(0.1)
    # Values 0.2 and 0.6 vary by 0.2², guesses by 0.1² / 2 on average: 1 − 0.01 / (0.04 + 0.005).
    assert energy["b"].confidence == pytest.approx(1 - 0.01 / 0.045)
    assert (energy["c"].value, energy["c"].source, energy["c"].confidence) == (None, "missing", 0)
    assert library.item("a").known == {"genres": ["folk"]}
    assert (library.item("a").n_events, library.item("a").n_users) == (2, 2)
    with pytest.raises(UnknownIdError):
        library.item("d")
    missing = {(one.table, one.column): one.missing for one in library.quality.columns}
    assert missing["items", "genres"] == pytest.approx(2 / 3)
    assert missing["items", "title"] == pytest.approx(1 / 3)
    assert library.quality.audio["energy"] == {
        "missing": 1,
        "actual": 1,
        "predicted": 1,
        "prior": 0,
    }
    assert library.quality.summary.n_events == 3


def test_a_history_is_told_newest_first_with_what_came_after_the_log(
    system: LiveSystem, ask: Ask
) -> None:
    told = system.history(ask, 50)
    times = [one.time_us or 0 for one in told]
    assert times == sorted(times, reverse=True)
    newest = ask.events[-1]
    assert (told[0].item.item_id, told[0].time_us) == (newest.item_id, newest.time_us)
    assert len(system.history(ask, 2)) == 2


def test_all_that_is_told_can_be_sent_to_another_process(system: LiveSystem, ask: Ask) -> None:
    item = system.items("", 1)[0]
    for told in (
        system.what_if(ask, {"popularity": 1.0}),
        system.history(ask, 3),
        system.item(item.item_id),
        system.quality(),
        system.labels(),
    ):
        assert pickle.loads(pickle.dumps(told)) == told
