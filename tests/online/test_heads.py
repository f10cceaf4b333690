"""Heads in a live system: learned from what came before, applied only where they may be."""

import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.online.systems import cut, fit, world

from crossfade.online import Adaptation, Answer, Ask, Event, Head, HeadConfig, LiveSystem

MINUTE_US = 60_000_000
EASY = HeadConfig(min_events=1, evidence=0, deadline_ms=1e9, max_events=50)


@pytest.fixture(scope="module")
def system() -> LiveSystem:
    return LiveSystem(fit(cut(world(n_tracks=400))[0], n_candidates=40))


@pytest.fixture(scope="module")
def now_us() -> int:
    return cut(world(n_tracks=400))[1] + 60 * MINUTE_US


def answer(system: LiveSystem, ask: Ask) -> Answer:
    (found,) = system.answer([ask])
    assert isinstance(found, Answer)
    return found


def listed(system: LiveSystem, ask: Ask) -> list[str]:
    return [line.item_id for line in answer(system, ask).recommendations]


def reacting(system: LiveSystem, user: str, now_us: int, n: int = 8) -> tuple[Event, ...]:
    """Somebody who likes, every minute, what the blend puts last of the first twenty."""
    events: tuple[Event, ...] = ()
    for at in range(n):
        time_us = now_us + at * MINUTE_US
        last = listed(system, Ask(user, events, k=20, now_us=time_us))[-1]
        events = (*events, Event(last, time_us, "like"))
    return events


@pytest.fixture(scope="module")
def asked(system: LiveSystem, now_us: int) -> Ask:
    """After eight reactions."""
    user = system.model.dataset.user_ids.id(0)
    events = reacting(system, user, now_us)
    return Ask(user, events, k=10, now_us=now_us + 9 * MINUTE_US)


@pytest.fixture(scope="module")
def head(system: LiveSystem, asked: Ask) -> Head:
    found = system.adapt(asked, EASY).head
    assert found is not None
    assert found.n_reactions >= 6
    return replace(found, wins=True)  # whether it does is another test


def test_a_head_that_counts_changes_the_list_and_says_so(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    before, after = answer(system, asked), answer(system, replace(asked, head=head))
    assert (before.adaptation_applied, after.adaptation_applied) == (False, True)
    assert after.adaptation == dict(zip(head.bases, head.tilt.tolist(), strict=True))
    assert [r.item_id for r in after.recommendations] != [r.item_id for r in before.recommendations]


def test_whoever_has_a_head_is_told_the_list_they_were_not_shown(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    ask = replace(asked, head=head)
    plain, adapted = answer(system, asked), answer(system, ask)
    withheld = answer(system, replace(ask, withhold=True))
    ids = {
        "plain": [line.item_id for line in plain.recommendations],
        "adapted": [line.item_id for line in adapted.recommendations],
    }
    assert ids["plain"] != ids["adapted"]
    assert plain.shadow is None
    assert adapted.shadow == ids["plain"]
    assert withheld.shadow == ids["adapted"]
    assert replace(withheld, shadow=None) == plain
    together = system.answer([ask, asked, replace(ask, withhold=True)])
    assert together == [adapted, plain, withheld]
    # What is said of single items agrees with the list they stand in.
    item = ids["plain"][0]
    unadapted = replace(ask, withhold=True)
    assert system.predict(unadapted, [item]) == system.predict(asked, [item])
    assert system.explain(unadapted, item) == system.explain(asked, item)


@pytest.mark.parametrize("ranking", [{"explore": 0.5}, {"diversity": 0.5}, {"max_per_creator": 1}])
def test_a_shadow_is_ranked_as_its_list_would_be(
    system: LiveSystem, asked: Ask, head: Head, ranking: dict[str, float]
) -> None:
    ask = replace(asked, ranking=system.ranking.changed(**ranking), seed=7)
    adapted = answer(system, replace(ask, head=head))
    assert adapted.shadow is not None
    assert len(adapted.shadow) == len(adapted.recommendations)
    if "explore" not in ranking:  # where chance fills the places of the other list first
        assert adapted.shadow == listed(system, ask)


def test_a_head_that_may_not_count_changes_no_bit(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    assert asked.now_us is not None
    plain = answer(system, asked)
    for other in (
        replace(head, wins=False),
        replace(head, version="other"),
        replace(head, bases=("a", "b", "c")),
        replace(head, expires_us=asked.now_us),
        replace(head, learned_us=asked.now_us),  # a clock that jumped back
        replace(head, tilt=np.zeros(3)),
        system.adapt(asked, HeadConfig(max_events=1)).head,
    ):
        assert answer(system, replace(asked, head=other)) == plain
        assert answer(system, replace(asked, head=other, withhold=True)) == plain
    timeless = replace(asked, now_us=None)
    assert answer(system, replace(timeless, head=head)) == answer(system, timeless)


def test_a_stated_taste_is_answered_without_the_head(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    """The static weights speak of the whole catalogue; a head is of a learned blend's candidates."""
    genre = system.model.dataset.items["genres"].explode().drop_nulls()[0]
    stated = replace(asked, genres=(genre,), head=head)
    found = answer(system, stated)
    assert found.method == "static"
    assert not found.adaptation_applied
    assert found == answer(system, replace(stated, head=None))


def test_together_or_alone_is_the_same_to_the_last_bit(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    users = system.model.dataset.user_ids.ids.to_list()[1:40]  # more than one batch
    asks = [replace(asked, user_id=user, events=()) for user in users]
    asks = [replace(ask, head=head if at % 2 else None) for at, ask in enumerate(asks)]
    asks.insert(3, replace(asked, head=head))
    together = system.answer(asks)
    assert together == [answer(system, ask) for ask in asks]
    assert [one.adaptation_applied for one in together if isinstance(one, Answer)] == [
        ask.head is not None for ask in asks
    ]


def test_scores_are_those_of_the_blend_and_the_tilt_and_probabilities_those_of_the_blend(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    ids = system.model.dataset.item_ids.ids.to_list()
    plain, tilted = system.predict(asked, ids), system.predict(replace(asked, head=head), ids)
    of = dict(zip(ids, tilted, strict=True))
    told = answer(system, replace(asked, head=head)).recommendations
    for line in told:
        one = of[line.item_id]
        assert one is not None
        assert (one.score, one.probability) == (line.score, line.probability)
    pairs = [(a, b) for a, b in zip(plain, tilted, strict=True) if a is not None and b is not None]
    assert len(pairs) > 50
    assert any(a.score != b.score for a, b in pairs)
    assert all(a.probability == b.probability for a, b in pairs)


def test_reasons_account_for_the_tilted_score(system: LiveSystem, asked: Ask, head: Head) -> None:
    model = system.model
    (request,) = system._requests.make([asked])
    query = request.query  # type: ignore[union-attr]
    ranking = model.config.ranking
    (plain,) = model.lists.serve(query, 10, ranking)
    (served,) = model.lists.serve(query, 10, ranking, tilts=[head.tilt])
    assert served.told is not None
    assert served.tilted is not None
    lifts, rest = model.explainer.lifts(query, served)
    blended = served.told[1].score[0]
    average = np.nanmean(blended + served.tilted.sum(axis=1))
    np.testing.assert_allclose(sum(lifts.values()) + rest, served.score - average, atol=1e-5)
    # What the tilt gave to a base is in that base's lift, which is centred.
    (same,) = model.lists.serve(query, 40, ranking)
    own, _ = model.explainer.lifts(query, same)
    at = {int(row): n for n, row in enumerate(same.ranked.item_row)}
    both = [(n, row) for n, row in enumerate(served.ranked.item_row.tolist()) if row in at]
    assert len(both) >= 5
    for n, row in both:
        for base, label in enumerate(lifts):
            given = lifts[label][n] - own[label][at[row]]
            assert given == pytest.approx(served.tilted[served.place[n], base], abs=1e-5)
    assert plain.tilted is None
    notes = [
        [note["type"] for note in line.notes or ()]
        for line in answer(system, replace(asked, head=head, explain=True)).recommendations
    ]
    assert all("adapted" in one for one in notes)
    best = answer(system, replace(asked, head=head)).recommendations[0]
    one = system.explain(replace(asked, head=head), best.item_id)
    assert one is not None
    assert one.score == best.score


# -- learning --------------------------------------------------------------------------------


def test_one_by_one_is_the_same_as_all_at_once(system: LiveSystem, asked: Ask) -> None:
    """Each reaction is learned from what came strictly before it, so the future changes nothing."""

    def one_more(head: Head | None, n: int) -> Head | None:
        ask = replace(
            asked, events=asked.events[:n], now_us=asked.events[n - 1].time_us + 1, head=head
        )
        return system.adapt(ask, EASY).head

    grown = reduce(one_more, range(1, len(asked.events) + 1), None)
    whole = system.adapt(asked, EASY).head
    assert grown is not None
    assert whole is not None
    assert replace(grown, expires_us=0).to_json() == replace(whole, expires_us=0).to_json()


def test_events_after_now_and_those_the_bases_have_seen_teach_nothing(
    system: LiveSystem, asked: Ask
) -> None:
    data = system.model.dataset
    assert data.time_us is not None
    end_us = int(data.time_us[-1])
    for moved in (end_us, end_us - 10**12, asked.now_us):
        assert moved is not None
        events = [replace(event, time_us=moved) for event in asked.events]
        found = system.adapt(replace(asked, events=events), EASY)
        assert found.outcome == "nothing_new"
        assert found.head is not None
        assert found.head.n_reactions == 0


def test_what_was_learned_is_not_learned_twice(system: LiveSystem, asked: Ask, head: Head) -> None:
    again = system.adapt(replace(asked, head=head), EASY)
    assert again.outcome == "nothing_new"
    assert again.head is not None
    assert again.head.to_json() == head.to_json()


@pytest.mark.parametrize("change", [{"version": "other"}, {"expires_us": 1}])
def test_a_head_of_another_version_or_time_begins_anew(
    system: LiveSystem, asked: Ask, head: Head, change: dict[str, object]
) -> None:
    strange = replace(head, **change, n_reactions=1_000)  # type: ignore[arg-type]
    found = system.adapt(replace(asked, head=strange), EASY).head
    assert found is not None
    assert found.n_reactions == head.n_reactions
    np.testing.assert_array_equal(found.tilt, head.tilt)


def test_unwanted_is_the_opposite_of_wanted(system: LiveSystem, asked: Ask) -> None:
    """Of the same item at the same moment: what a like pulls up a skip pushes down."""
    first = asked.events[0]
    like, skip = (
        system.adapt(replace(asked, events=[replace(first, event=kind)]), EASY).head
        for kind in ("like", "skip")
    )
    assert like is not None
    assert skip is not None
    assert like.tilt @ skip.tilt < 0


def test_nothing_further_is_begun_after_the_deadline_and_the_next_time_goes_on(
    system: LiveSystem, asked: Ask
) -> None:
    def ticking(step_s: float) -> Iterator[float]:
        at = 0.0
        while True:
            yield at
            at += step_s

    slow = ticking(0.006)
    config = EASY.changed(deadline_ms=10)
    first = system.adapt(asked, config, slow.__next__)
    assert first.outcome == "late"
    assert first.head is not None
    assert first.head.learned_us == asked.events[1].time_us  # at 0, 6 and 12 ms
    outcome, head = "", first.head
    while outcome != "counts" and head.learned_us < asked.events[-1].time_us:
        found = system.adapt(replace(asked, head=head), config, slow.__next__)
        assert found.head is not None
        outcome, head = found.outcome, found.head
    whole = system.adapt(asked, EASY).head
    assert whole is not None
    assert head.to_json() == whole.to_json()


def test_only_the_newest_reactions_are_looked_at(system: LiveSystem, asked: Ask) -> None:
    few = system.adapt(asked, EASY.changed(max_events=2)).head
    assert few is not None
    assert few.n_reactions <= 2
    assert few.learned_us == asked.events[-1].time_us


def test_the_system_is_the_same_after_many_adapt_at_once(
    system: LiveSystem, asked: Ask, now_us: int
) -> None:
    learned = system.model.learned
    assert learned is not None
    before = {name: array.copy() for name, array in learned.model.state().items()}
    plain = answer(system, asked)
    users = system.model.dataset.user_ids.ids.to_list()[:6]
    asks = [replace(asked, user_id=user) for user in users]
    alone = [system.adapt(ask, EASY) for ask in asks]
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(lambda ask: system.adapt(ask, EASY), asks))
    for one, other in zip(alone, at_once, strict=True):
        assert one.head is not None
        assert other.head is not None
        assert one.head.to_json() == other.head.to_json()
    after = learned.model.state()
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])
    assert answer(system, asked) == plain


def test_what_is_asked_and_answered_travels_between_processes(
    system: LiveSystem, asked: Ask, head: Head
) -> None:
    told = pickle.loads(pickle.dumps((replace(asked, head=head), Adaptation(head, "counts"))))
    assert answer(system, told[0]) == answer(system, replace(asked, head=head))


def test_without_a_learned_blend_or_a_time_there_is_no_head(system: LiveSystem, asked: Ask) -> None:
    none = Adaptation(None, "no_model")
    assert system.adapt(replace(asked, now_us=None), EASY) == none
    static = LiveSystem(fit(system.model.dataset, min_requests=10_000))
    assert static.model.blend.learned is None
    assert static.adapt(asked, EASY) == none


def test_lists_turn_to_who_follows_one_base(system: LiveSystem, now_us: int) -> None:
    """People who take what one base likes best, whatever the blend says, get more of it."""
    ids, gains, counted = system.model.dataset.user_ids.ids.to_list()[:12], [], 0
    for user in ids:
        events: tuple[Event, ...] = ()
        head = None
        for at in range(8):
            time_us = now_us + at * MINUTE_US
            ask = Ask(user, events, now_us=time_us, k=40)
            item = _favourite(system, ask)
            events = (*events, Event(item, time_us, "like"))
            head = system.adapt(
                replace(ask, events=events, now_us=time_us + 1, head=head),
                HeadConfig(deadline_ms=1e9),
            ).head
        ask = Ask(user, events, now_us=now_us + 9 * MINUTE_US, k=40)
        assert head is not None
        counted += head.wins
        place = [
            listed(system, one).index(_favourite(system, ask))
            for one in (ask, replace(ask, head=head))
        ]
        gains.append(place[0] - place[1])
    assert counted >= len(ids) // 2
    assert np.mean(gains) > 0
    assert min(gains) >= -5


def _favourite(system: LiveSystem, ask: Ask) -> str:
    """Of the items listed, the one that a base likes best."""
    (request,) = system._requests.make([ask])
    query = request.query  # type: ignore[union-attr]
    (scores,) = system.model.bases["genre_popularity"].score_batch(query)
    items = listed(system, ask)
    rows = system.model.dataset.item_ids.rows(items)
    return items[int(np.argmax(np.nan_to_num(scores[rows], nan=-np.inf)))]


def test_the_snippet_of_the_page_does_what_it_says(system: LiveSystem, asked: Ask) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "heads.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"model": system.model, "events": asked.events, "now_us": asked.now_us}
    exec(snippet, names)
    head, answer = names["found"].head, names["answer"]
    assert head.n_reactions > 0
    assert answer.adaptation_applied == head.wins
