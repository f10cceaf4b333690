"""What scores rest on, with numbers a pencil can check; the promises of all bases are in the contracts."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.query import Taste
from crossfade.data.world import WorldConfig, make_world
from crossfade.recommenders.attribution import (
    NONE,
    Attribution,
    corner,
    of_parts,
    without,
    without_each,
)
from crossfade.recommenders.registry import make
from crossfade.testing import checkerboard, tiny_catalogue
from crossfade.types import Csr

# u: a b; v: a b c; w: c.
LOG = Dataset.build(pl.DataFrame({"user_id": list("uuvvvw"), "item_id": list("ababcc")}))

ITEMS = np.array([7, 8], dtype=np.int32)


def parts(found: Attribution | None, place: int = 0) -> dict[tuple[int, str], float]:
    """Parts of one score by item of the history and attribute."""
    assert found is not None
    names = (*found.attributes, "")
    return {
        (int(found.history_row[at]), names[found.attribute[at]]): float(found.part[at])
        for at in np.flatnonzero(found.place == place)
    }


@pytest.fixture(scope="module")
def world() -> Dataset:
    settings = WorldConfig(n_listeners=60, n_tracks=150, n_plays=4_000)
    return make_world(settings, seed=5).dataset


def test_each_neighbour_adds_its_similarity() -> None:
    model = make("item_knn", {"weighting": "none", "shrink": 0.0}).fit(LOG)
    found = model.attribute(Queries.of_items([0, 1], 3), [2])
    # c shares one of two people with a, and with b: 1 / (√2 √2) each.
    assert parts(found) == {(0, ""): pytest.approx(0.5), (1, ""): pytest.approx(0.5)}


def test_an_item_is_no_evidence_for_itself() -> None:
    for name in ("item_knn", "ease", "session_knn"):
        found = make(name).fit(LOG).attribute(Queries.of_items([0, 1], 3), [0])
        assert set(parts(found)) == {(1, "")}, name


def test_repeats_of_an_item_are_one_piece_of_evidence() -> None:
    once, twice = (Queries.of_items(rows, 3) for rows in ([0, 1], [0, 1, 1]))
    model = make("ials", {"counting": "once", "factors": 2}).fit(LOG)
    assert parts(model.attribute(once, [2])) == parts(model.attribute(twice, [2]))


def test_popularity_is_the_items_own() -> None:
    found = make("popularity").fit(LOG).attribute(Queries.of_items([0], 3), [0])
    assert parts(found) == {(NONE, ""): pytest.approx(1.0)}


def test_a_description_is_taken_apart_by_what_both_items_have() -> None:
    data = tiny_catalogue()
    model = make("content_knn", {"tag_weight": 0.0, "shrink": 0.0}).fit(data)
    # a and b are both by Ella, both jazz, both have "moon" in the title.
    found = parts(model.attribute(Queries.of_items([0], 5), [1]))
    assert set(found) == {(0, "genres:jazz"), (0, "creator"), (0, "description")}
    # Weights are 1, 1 and 0.3 times log(6 / (1 + df)) + 1, squared: df is 3, 2 and 2.
    jazz, ella = np.log(6 / 4) + 1, np.log(6 / 3) + 1
    assert found[0, "genres:jazz"] / found[0, "creator"] == pytest.approx((jazz / ella) ** 2)
    assert found[0, "description"] / found[0, "creator"] == pytest.approx(0.3**2)


def test_no_creator_is_taken_for_a_word() -> None:
    settings = {"text_weight": 0.0, "label_weight": 0.0, "tag_weight": 0.0}
    model = make("content_knn", settings).fit(tiny_catalogue())
    for item in range(5):
        found = parts(model.attribute(Queries.of_items([item], 5), [item]))
        assert found.keys() == {(item, "creator")}


def test_items_that_share_nothing_give_each_other_nothing() -> None:
    model = make("content_knn").fit(tiny_catalogue())
    assert parts(model.attribute(Queries.of_items([0], 5), [3])) == {}


def test_own_tags_are_no_evidence() -> None:
    data = tiny_catalogue()
    settings = {"label_weight": 0.0, "creator_weight": 0.0, "text_weight": 0.0}
    model = make("content_knn", settings).fit(data)
    # cid alone tagged d and e "swamp": for a stranger they are alike, for cid they are not.
    stranger = Queries.of_items([3], 5)
    assert parts(model.attribute(stranger, [4])).keys() == {(3, "description")}
    cid = replace(stranger, user_row=np.array([2], dtype=np.int32))
    assert parts(model.attribute(cid, [4])) == {}


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("content_knn", "taste:genres:jazz"),
        ("genre_popularity", "taste:genres:jazz"),
        ("genre_neighbours", "people:taste:genres:jazz"),
    ],
)
def test_a_stated_taste_is_evidence_of_its_own(name: str, attribute: str) -> None:
    model = make(name).fit(tiny_catalogue())
    stranger = replace(Queries.of_items([], 5), tastes=(Taste(genres=("Jazz",)),))
    found = model.attribute(stranger, [0])
    assert found is not None
    assert parts(found)[NONE, attribute] > 0
    np.testing.assert_allclose(found.totals(), model.score(stranger, [0]).score, rtol=1e-5)


def test_a_label_is_named_only_where_both_items_carry_it() -> None:
    # Everybody who likes x (jazz) likes y (rock) too; z is rock and new.
    events = pl.DataFrame({"user_id": list("uuvvw"), "item_id": list("xyxyy")})
    items = pl.DataFrame({"item_id": list("xyz"), "genres": [["jazz"], ["rock"], ["rock"]]})
    model = make("genre_item_knn").fit(Dataset.build(events, items))
    assert set(parts(model.attribute(Queries.of_items([0], 3), [2]))) == {(0, "")}
    # y's people like no other rock item, so y has nothing to say of rock but itself.
    both = make("genre_item_knn").fit(checkerboard())
    found = parts(both.attribute(Queries.of_items([0], 21), [20]))
    assert set(found) == {(0, "genres:even")}


def test_people_of_the_same_taste_are_named_by_the_label_of_the_history() -> None:
    data = checkerboard()
    found = parts(make("genre_neighbours").fit(data).attribute(data.queries([0]), [0]))
    assert {name for _, name in found} == {"people:genres:even"}


def test_the_penalty_on_every_entry_is_nobodys_part() -> None:
    data = checkerboard()
    for sparsity, low, high in ((0.0, -1e-3, 1e-3), (2.0, -1.0, -1e-2)):
        model = make("nmf", {"sparsity": sparsity, "factors": 4, "regularisation": 1.0}).fit(data)
        found = model.attribute(data.queries([0]), [0])
        assert found is not None
        assert low < found.rest[0] < high


@pytest.mark.parametrize("limit", [{}, {"max_sessions_per_item": 2}, {"n_neighbours": 3}])
def test_votes_add_up_where_sessions_are_left_out(world: Dataset, limit: dict[str, int]) -> None:
    model = make("session_knn", limit).fit(world)
    items = np.arange(world.n_items, dtype=np.int32)
    for user in range(0, world.n_users, 7):
        query = world.queries([user])
        found = model.attribute(query, items)
        assert found is not None
        assert found.in_session
        score = model.score(query, items).score
        np.testing.assert_allclose(found.totals(), score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("item_knn", {"history_half_life_days": 10.0, "counting": "log"}),
        ("ease", {"max_items": 60}),
        ("nmf", {"sparsity": 1.0}),
        ("ials", {"counting": "sum"}),
        ("content_knn", {"history_half_life_days": 10.0}),
        ("content_knn", {"label_weight": 0.0}),
        ("genre_popularity", {"counting": "sum"}),
        ("genre_neighbours", {"n_neighbours": 5, "shrink": 0.0}),
        ("genre_item_knn", {"creator_items": 0.0, "counting": "log"}),
    ],
)
def test_parts_add_up_under_other_settings(
    world: Dataset, name: str, settings: dict[str, Any]
) -> None:
    model = make(name, settings).fit(world)
    items = np.arange(world.n_items, dtype=np.int32)
    for user in (0, 20, 40):
        query = world.queries([user])
        found = model.attribute(query, items)
        assert found is not None
        score = model.score(query, items).score
        np.testing.assert_array_equal(np.isnan(found.rest), np.isnan(score))
        np.testing.assert_allclose(found.totals(), score, rtol=1e-3, atol=1e-5)


def test_whole_histories_are_no_sessions() -> None:
    found = make("session_knn").fit(LOG).attribute(Queries.of_items([0], 3), [1])
    assert found is not None
    assert not found.in_session


def test_towers_name_the_newest_items_only() -> None:
    data = checkerboard(60)
    small = {"examples": {"min_steps": 5}, "n_networks": 1}
    found = make("two_tower", small).fit(data).attribute(data.queries([0]), [0])
    assert found is not None
    newest = data.queries([0]).item_row[-20:]
    assert set(found.history_row.tolist()) == set(newest.tolist())


@pytest.mark.parametrize("name", ["item_knn", "session_knn"])
def test_items_may_be_asked_for_in_any_order_and_twice(world: Dataset, name: str) -> None:
    model, query = make(name).fit(world), world.queries([3])
    asked = np.argsort(-np.nan_to_num(model.score_batch(query)[0]))[[7, 2, 5, 2, 0]].astype(
        np.int32
    )
    found = model.attribute(query, asked)
    for place, row in enumerate(asked):
        assert parts(found, place) == parts(model.attribute(query, [row]))
        assert parts(found, place)


def test_only_what_is_not_0_is_a_part_and_only_of_items_with_a_score() -> None:
    history = np.array([4, 9], dtype=np.int32)
    dense = np.array([[[0, 2], [3, 0]], [[1, 1], [1, 1]]], dtype=np.float32)
    found = of_parts(ITEMS, history, dense, np.array([0, np.nan], dtype=np.float32), ("creator",))
    assert parts(found) == {(4, "creator"): 2.0, (9, ""): 3.0}
    assert not parts(found, 1)


def test_several_requests_at_once_are_refused() -> None:
    model = make("item_knn").fit(LOG)
    with pytest.raises(ValueError, match="one request can be attributed at a time, got 2"):
        model.attribute(LOG.queries([0, 1]), [0])


def test_a_deleted_item_takes_all_its_events_along() -> None:
    query = tiny_catalogue().queries([0])  # ann: a, b, a
    left = without(query, [0])
    assert left.item_row.tolist() == [1]
    assert left.indptr.tolist() == [0, 1]
    each = without_each(query, np.array([0, 1], dtype=np.int32))
    assert np.split(each.item_row, each.indptr[1:-1])[0].tolist() == [0, 1, 0]
    assert each.item_row.tolist() == [0, 1, 0, 1, 0, 0]


def test_a_corner_of_a_sparse_matrix_is_that_of_the_dense_one() -> None:
    rng = np.random.default_rng(0)
    # Wide enough for columns that differ by the size of the sieve.
    dense = (rng.random((6, 10_000)) * (rng.random((6, 10_000)) < 0.3)).astype(np.float32)
    rows = np.array([4, 0, 4], dtype=np.int32)
    columns = np.array([9_000, 3, 4_099, 3], dtype=np.int32)
    np.testing.assert_array_equal(corner(Csr(dense), rows, columns), dense[np.ix_(rows, columns)])
