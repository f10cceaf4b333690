"""What the learned blend was told comes with an answer, as it was told."""

from dataclasses import replace

import numpy as np
import pytest
from tests.online.systems import cut, fit, live, world

from crossfade.online import Answer, Ask, LiveSystem

WHOLE = world()
MOMENT = cut(WHOLE)[1]
USERS = WHOLE.user_ids.ids.to_list()


@pytest.fixture(scope="module")
def system() -> LiveSystem:
    return LiveSystem(fit(cut(WHOLE)[0]))


def answered(system: LiveSystem, *asks: Ask) -> list[Answer]:
    answers = [one for one in system.answer(asks) if isinstance(one, Answer)]
    assert len(answers) == len(asks)
    return answers


def test_features_are_those_that_the_blend_scored_with(system: LiveSystem) -> None:
    asks = [Ask(user, live(WHOLE, user, MOMENT), now_us=MOMENT + 10**12) for user in USERS[:4]]
    told = answered(system, *(replace(ask, features=at != 1) for at, ask in enumerate(asks)))
    plain = answered(system, *asks)
    for at, (answer, bare) in enumerate(zip(told, plain, strict=True)):
        assert answer.recommendations == bare.recommendations
        assert bare.features is None
        assert (answer.features is None) == (at == 1)
        if answer.features is None:
            continue
        learned = system.model.blend.learned
        assert learned is not None
        signals, item_row = learned.lists.build(system._query(asks[at]))
        rows = system.model.dataset.item_ids.rows(one.item_id for one in answer.recommendations)
        place = [item_row[0].tolist().index(row) for row in rows.tolist()]
        request, items = answer.features.values()
        assert signals.user is not None
        assert signals.item is not None
        np.testing.assert_array_equal(request, signals.user[0])
        np.testing.assert_array_equal(items, signals.item[0, place])
        assert signals.columns.user == answer.features.request_names


def test_nobody_is_told_anything_where_no_learned_blend_answers(system: LiveSystem) -> None:
    genre = str(WHOLE.items["genres"].explode().drop_nulls()[0])
    (answer,) = answered(system, Ask(genres=[genre], features=True))
    assert answer.method == "static"
    assert answer.features is None


def test_candidates_hold_every_list_and_nothing_unknown(system: LiveSystem) -> None:
    ask = Ask(USERS[0], now_us=MOMENT)
    (answer,) = answered(system, ask)
    listed = [one.item_id for one in answer.recommendations]
    assert system.proposes(ask, [*listed, "no such item"]) == [True] * len(listed) + [None]
    everything = system.proposes(ask, system.model.dataset.item_ids.ids.to_list())
    query = system._query(ask)
    seen = set(np.unique(query.item_row).tolist())
    assert {row for row, one in enumerate(everything) if one is None} == seen
    assert everything.count(True) > len(listed)
    assert everything.count(False) > 0
