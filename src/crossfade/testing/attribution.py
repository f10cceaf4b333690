"""What `Recommender.attribute` must keep to, whatever the model; part of `RECOMMENDER_CHECKS`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import NONE, Attribution, without
from crossfade.recommenders.base import Recommender
from crossfade.testing.data import checkerboard, only_unwanted, tiny_catalogue

Maker = Callable[[], Recommender[Any]]


def check_a_model_can_tell_or_says_it_cannot(make: Maker) -> None:
    """`attribute` gives parts exactly where the class says so."""
    data = checkerboard()
    model = make().fit(data)
    found = model.attribute(data.queries([2]), [0, 1])
    assert (found is None) == (type(model).attribution == "none")


def check_parts_and_rest_add_up_to_the_score(make: Maker) -> None:
    """For known people, strangers and repeats, with times and without."""
    for data in (checkerboard(), checkerboard(timed=False), tiny_catalogue()):
        model = make().fit(data)
        for query in _requests(data):
            items = [data.n_items - 1, *range(data.n_items), 0]  # in any order, also twice
            found = model.attribute(query, items)
            if found is None:
                return
            score = model.score(query, items).score
            np.testing.assert_array_equal(np.isnan(found.rest), np.isnan(score))
            size = np.bincount(found.place, weights=np.abs(found.part), minlength=len(items))
            # Products that ought to be 0 are as wrong as the largest one of the request is rounded.
            scores = score[~np.isnan(score)]
            allowed = 1e-4 * (np.abs(score) + size) + 1e-6 * np.abs(scores).max(initial=0)
            assert not (np.abs(found.totals() - score) > allowed).any()


def check_parts_come_from_the_history_alone(make: Maker) -> None:
    """Nothing that was not wanted before the request is ever named, and unknown items have no part."""
    data = checkerboard(rated=True)
    model = make().fit(data)
    whole = data.queries([4])
    half = whole.item_row[: len(whole.item_row) // 2]
    for query in (whole, Queries.of_items(half, data.n_items), only_unwanted(data.n_items)):
        found = model.attribute(query, [-1, 4, 10_000, 5, data.n_items - 1])
        if found is None:
            return
        wanted = set(query.item_row[query.strength > 0].tolist())
        assert set(found.history_row.tolist()) <= {NONE, *wanted}
        assert np.isnan(found.rest[[0, 2]]).all()
        assert not {0, 2} & set(found.place.tolist())
        assert (found.part != 0).all()
        assert found.attribute.max(initial=NONE) < len(found.attributes)


def check_without_a_history_no_part_comes_from_one(make: Maker) -> None:
    """Somebody who did nothing is told nothing about what they did."""
    data = checkerboard()
    model = make().fit(data)
    for cold in (Queries.of_items([], data.n_items), only_unwanted(data.n_items)):
        found = model.attribute(cold, range(data.n_items))
        assert found is None or (found.history_row == NONE).all()


def check_parts_do_not_depend_on_what_else_is_asked(make: Maker) -> None:
    """An item asked for alone has the parts it has in a list, and asking changes nothing."""
    data = checkerboard()
    model, query = make().fit(data), data.queries([3])
    listed = model.attribute(query, range(data.n_items))
    if listed is None:
        return
    before = model.score_batch(query).copy()
    for item in (3, 4, data.n_items - 1):
        alone = model.attribute(query, [item])
        assert alone is not None
        assert_same_parts(alone, 0, listed, item)
    np.testing.assert_array_equal(model.score_batch(query), before)


def check_what_a_part_says_is_what_deleting_takes_away(make: Maker) -> None:
    """Of models that promise it: without an item of the history a score is lower by its part."""
    data = checkerboard(timed=False)
    model = make().fit(data)
    if type(model).attribution not in {"linear", "leave_one_out"}:
        return
    for query in _requests(data):
        items = range(data.n_items)
        found = model.attribute(query, items)
        assert found is not None
        score = model.score(query, items).score
        for row in np.unique(found.history_row[found.history_row != NONE]).tolist():
            part = np.array([found.by_history(place).get(row, 0.0) for place in items])
            less = model.score(without(query, [row]), items).score
            there = ~np.isnan(score) & ~np.isnan(less)
            size = np.abs(score[there]).max(initial=1e-6)
            np.testing.assert_allclose((score - less)[there], part[there], atol=1e-4 * size)


def check_saving_changes_no_part(make: Maker) -> None:
    """A restored model gives the same reasons."""
    data = tiny_catalogue()
    model = make().fit(data)
    arrays = load(save({name: np.asarray(x) for name, x in model.state().items()}))
    restored = type(model).restore(model.config.model_dump(mode="json"), arrays)
    before, after = (m.attribute(data.queries([0]), range(data.n_items)) for m in (model, restored))
    if before is None or after is None:
        assert before is after
        return
    for item in range(data.n_items):
        assert_same_parts(after, item, before, item)


def assert_same_parts(one: Attribution, place: int, other: Attribution, other_place: int) -> None:
    """Raise unless two attributions owe a score to the same things in the same measure."""
    np.testing.assert_allclose(one.rest[place], other.rest[other_place], rtol=1e-5, atol=1e-7)
    found, expected = _named(one, place), _named(other, other_place)
    assert found.keys() == expected.keys()
    for key, part in found.items():
        np.testing.assert_allclose(part, expected[key], rtol=1e-4, atol=1e-7, err_msg=str(key))


def _named(found: Attribution, place: int) -> dict[tuple[int, str], float]:
    """Parts of one score by item of the history and attribute."""
    names = (*found.attributes, "")  # the last one stands for none
    mine = np.flatnonzero(found.place == place)
    keys = [(int(found.history_row[at]), names[found.attribute[at]]) for at in mine]
    return dict(zip(keys, found.part[mine].tolist(), strict=True))


def _requests(data: Dataset) -> list[Queries]:
    """Somebody known, and a stranger who liked a known item and one of the other end."""
    return [
        data.queries([0]),
        data.queries([2]),
        Queries.of_items([0, data.n_items - 2], data.n_items),
    ]


ATTRIBUTION_CHECKS: tuple[Callable[[Maker], None], ...] = tuple(
    check for name, check in list(globals().items()) if name.startswith("check_")
)
"""Every check above, in order."""
