"""Answers as of now: those of a log that holds the live events, alone or together."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.online.systems import cut, fit, live, world

from crossfade.data import Dataset
from crossfade.errors import ConfigError, UnknownIdError
from crossfade.fusion.base import Fused, Signals
from crossfade.hybrid import HybridModel
from crossfade.meta.serving import Filters
from crossfade.online import Answer, Ask, Event, LiveSystem
from crossfade.ranking import RankingConfig

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module", params=["session ids", "sessions by time"])
def whole(request: pytest.FixtureRequest) -> Dataset:
    return world(sessions=request.param == "session ids")


@pytest.fixture(scope="module")
def moment(whole: Dataset) -> int:
    return cut(whole)[1]


@pytest.fixture(scope="module")
def model(whole: Dataset) -> HybridModel:
    return fit(cut(whole)[0])


@pytest.fixture(scope="module")
def system(model: HybridModel) -> LiveSystem:
    return LiveSystem(model)


@pytest.fixture(scope="module")
def asks(whole: Dataset, moment: int) -> list[Ask]:
    """Every kind of request, some with the same kind of list and some with others."""
    users = whole.user_ids.ids.to_list()
    genre = str(whole.items["genres"].explode().drop_nulls()[0])
    items = whole.item_ids.ids.to_list()
    now: dict[str, Any] = {"now_us": moment + 24 * HOUR_US}
    found = [Ask(user, live(whole, user, moment), **now) for user in users[:20]]
    return [
        *found,
        Ask(users[0]),
        Ask(users[1], explain=True, **now),
        Ask(None, found[2].events, k=3, **now),
        Ask("a newcomer", found[3].events, **now),
        Ask("a newcomer", **now),
        Ask(),
        Ask(users[4], found[4].events, genres=[genre], **now),
        Ask(items=items[3:5]),
        Ask(items=items[3:5], **now),
        Ask(users[5], items=items[3:5], context={"device": "phone"}, **now),
        Ask(users[6], filters=Filters(block=items[:40]), **now),
        Ask(users[7], filters=Filters(block=items[:40]), **now),
        Ask(users[8], filters=Filters(allow=[]), **now),
        Ask(users[8], ranking=RankingConfig(explore=0.5), seed=3, **now),
        Ask(users[9], k=10_000, **now),
    ]


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


def test_the_events_before_now_count_and_no_others(
    whole: Dataset, moment: int, system: LiveSystem
) -> None:
    user = whole.user_ids.id(0)
    events = live(whole, user, moment)
    now_us = events[3].time_us
    until, early = answered(
        system, Ask(user, events, now_us=now_us), Ask(user, events[:3], now_us=now_us)
    )
    assert until == early
    assert until.n_live == 3
    (long_ago,) = answered(system, Ask(user, events, now_us=0))
    assert (long_ago.n_history, long_ago.n_live) == (0, 0)


def test_requests_without_live_events_get_what_the_system_recommends(
    model: HybridModel, system: LiveSystem
) -> None:
    items = model.dataset.item_ids.ids.to_list()[3:5]
    genre = str(model.dataset.items["genres"].explode().drop_nulls()[0])
    user = model.dataset.user_ids.id(5)
    said: list[dict[str, Any]] = [
        {"items": items}, {"genres": [genre]}, {"items": items, "explain": True},
        {"items": items, "context": {"device": "phone"}}, {},
    ]  # fmt: skip
    for one in said:
        for who in (None, user):
            (found,) = answered(system, Ask(who, **one))
            assert found.recommendations == model.recommend(user=who, **one)


def test_together_as_alone_to_the_last_bit(system: LiveSystem, asks: list[Ask]) -> None:
    together = answered(system, *asks)
    assert together == [answered(system, ask)[0] for ask in asks]
    assert together[::-1] == answered(system, *asks[::-1])
    assert {one.method for one in together} == {"ridge", "static"}


@pytest.mark.parametrize("together", [False, True])
def test_a_learned_model_that_does_not_keep_requests_apart_sees_one_list_at_a_time(
    system: LiveSystem, asks: list[Ask], monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    # Products of matrices add up in another order for another number of rows: last digits would
    # depend on who else asks.
    scorer = system.model.blend.learned
    assert scorer is not None
    seen, forward = [], scorer.fusion.forward

    def watched(signals: Signals) -> Fused:
        seen.append(signals.mask)
        return forward(signals)

    monkeypatch.setattr(type(scorer.fusion), "keeps_apart", together)
    monkeypatch.setattr(scorer.fusion, "forward", watched)
    answered(system, *asks[:5])
    assert [len(mask) for mask in seen] == ([5] if together else [1] * 5)
    assert together or all(mask.all() for mask in seen)


def test_what_a_stranger_likes_was_said_before_asking(system: LiveSystem, asks: list[Ask]) -> None:
    for events in ((), asks[0].events[:2]):
        now_us = asks[0].events[5].time_us
        query = system._query(Ask(None, events, items=["track-001"], now_us=now_us))
        assert query.time_us is not None
        assert len(query.time_us) == len(events) + 1
        assert query.time_us.max() == now_us - 1


def test_a_fault_of_one_request_spoils_no_other(system: LiveSystem, asks: list[Ask]) -> None:
    wrong = {
        "k must be 1": replace(asks[0], k=0),
        "the blend knows no": replace(asks[0], context={"weather": "rain"}),
        "must be a list of texts": Ask(items="t1"),
        "must be 0 or more": replace(asks[0], seed=-1, ranking=RankingConfig(explore=0.5)),
        "rng": replace(asks[0], ranking=RankingConfig(explore=0.5)),
        "rule": replace(asks[0], filters=Filters(rules=["nonsense"])),
    }
    found = system.answer([*asks[:3], *wrong.values(), *asks[3:6]])
    assert [found[at] for at in (0, 1, 2, 9, 10, 11)] == answered(system, *asks[:6])
    for told, error in zip(wrong, found[3:9], strict=True):
        assert isinstance(error, ConfigError), error
        assert told in str(error)
    assert system.answer([]) == []


def test_whoever_is_unknown_has_a_list_and_is_told(whole: Dataset, system: LiveSystem) -> None:
    item = whole.item_ids.id(0)
    newcomer, guest, nobody = answered(
        system,
        Ask("zoe", [Event("gone", 5), Event(item, 6)], items=["x"], genres=["y"], now_us=7),
        Ask(None, [Event(item, 6)], now_us=7),
        Ask(None, now_us=7),
    )
    assert (newcomer.n_history, newcomer.n_live) == (1, 1)
    assert [note.split(";")[0] for note in newcomer.unknown] == [
        'user "zoe" is unknown',
        "live events on 1 unknown items are left out (gone)",
        "none of the 1 items is known (x)",
        'genre "y" is unknown',
    ]
    # What nobody knows changes nothing.
    assert newcomer.recommendations == guest.recommendations
    assert (guest.unknown, nobody.unknown, nobody.n_history) == ((), (), 0)
    assert len(nobody.recommendations) == 10


def test_what_was_just_played_is_not_listed_again(
    whole: Dataset, moment: int, system: LiveSystem
) -> None:
    assert system.model.blend.exclude_seen
    user, now_us = whole.user_ids.id(7), moment + HOUR_US
    (before,) = answered(system, Ask(user, now_us=now_us))
    played = [line.item_id for line in before.recommendations[:3]]
    events = [Event(item, moment + at, "skip") for at, item in enumerate(played)]
    (after,) = answered(system, Ask(user, events, now_us=now_us))
    assert not set(played) & {line.item_id for line in after.recommendations}
    assert len(after.recommendations) == 10


def test_the_newest_live_event_tells_the_situation(
    whole: Dataset, moment: int, system: LiveSystem
) -> None:
    item, user = whole.item_ids.id(0), whole.user_ids.id(0)

    def signals(*contexts: dict[str, Any], now: dict[str, Any] | None = None) -> dict[str, float]:
        events = [Event(item, moment + at, context=told) for at, told in enumerate(contexts)]
        query = system._query(Ask(user, events, now_us=moment + HOUR_US, context=now))
        learned = system.model.blend.learned
        assert learned is not None
        reader = learned.lists.reader
        told = zip(reader.user_columns, reader.user(query)[0].tolist(), strict=True)
        return {name: value for name, value in told if name.startswith("context_")}

    desk = {"context_device=desk": 1.0, "context_device=phone": 0.0}
    phone = {"context_device=desk": 0.0, "context_device=phone": 1.0}
    assert signals({"device": "phone", "context_noise": 90}, {"device": "desk"}) == {
        **desk, "context_noise": 90.0,
    }  # fmt: skip
    assert signals({"device": "desk"}, now={"device": "phone"}).items() >= phone.items()
    # What a blend cannot read is as if it were not said; what it has not met is none of the others.
    assert signals({"device": "desk"}, {"weather": "rain", "noise": "loud"}).items() >= desk.items()
    late = Event(item, 1, context={"noise": 90})
    assert system._query(Ask(user, [late], now_us=moment)).situations is None
    watch = signals({"device": "phone"}, {"device": "watch"})
    assert watch.items() >= dict.fromkeys(desk, 0.0).items()


def test_one_item_is_explained_and_predicted_as_it_would_be_listed(
    whole: Dataset, moment: int, system: LiveSystem, asks: list[Ask]
) -> None:
    ask = replace(asks[0], now_us=asks[0].events[-1].time_us + 1, explain=True)
    (answer,) = answered(system, ask)
    seen = ask.events[0].item_id
    listed = answer.recommendations[2]
    told = system.explain(ask, listed.item_id)
    assert told is not None
    assert (told.item_id, told.score, told.why) == (listed.item_id, listed.score, listed.why)
    first, none, second, same = system.predict(ask, [listed.item_id, "x", seen, listed.item_id])
    assert first == same
    assert first is not None
    assert (first.score, first.probability, first.uncertainty) == (
        listed.score, listed.probability, listed.uncertainty,
    )  # fmt: skip
    assert none is None
    assert second is None  # it was just played
    assert system.predict(ask, []) == []
    with pytest.raises(UnknownIdError):
        system.explain(ask, "x")
    with pytest.raises(ConfigError):
        system.predict(replace(ask, context={"weather": "rain"}), [seen])
    assert system.similar(seen, 3) == system.model.similar(seen, 3)


# -- nothing is kept -------------------------------------------------------------------


def digest(model: HybridModel) -> str:
    """Of every number of a system."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in sorted(value):
                found.update(key.encode())
                add(value[key])
        else:
            found.update(np.ascontiguousarray(value).tobytes())

    add(model.bundle().arrays)
    return found.hexdigest()


def test_requests_change_nothing_and_threads_may_ask_at_once(
    system: LiveSystem, asks: list[Ask]
) -> None:
    wanted, before = answered(system, *asks), digest(system.model)

    def ask(start: int) -> Iterator[bool]:
        for at in range(start, start + len(asks)):
            some = [(at + step) % len(asks) for step in range(5)]
            yield answered(system, *(asks[one] for one in some)) == [wanted[one] for one in some]

    with ThreadPoolExecutor(4) as pool:
        assert all(all(same) for same in pool.map(lambda n: list(ask(n)), range(0, 40, 10)))
    assert digest(system.model) == before
