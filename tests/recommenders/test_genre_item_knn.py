from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.recommenders.genre_item_knn import GenreItemKNN, GenreItemKNNConfig
from crossfade.recommenders.item_knn import ItemKNN, ItemKNNConfig
from crossfade.testing import checkerboard
from crossfade.types import Floats

# a and b are always played together, c and d too. f (jazz, Ella) and g (rock, nobody known)
# are unplayed; h has no kind at all and one play beside a.
PLAYS = [(f"u{n}", item) for n in range(3) for item in "ab"]
PLAYS += [(f"v{n}", item) for n in range(3) for item in "cd"] + [("u0", "h")]
A, B, C, D, F, G, H = range(7)
PLAIN = {"shrink": 0.0, "weighting": "none"}


def log(creators: bool = True, genres: bool = True) -> Dataset:
    items = pl.DataFrame(
        {
            "item_id": list("abcdfgh"),
            "genres": [["jazz"], ["jazz"], ["rock"], ["rock"], ["jazz"], ["rock"], None],
            "creator": ["Ella", "John", "Joni", "Joni", "Ella", "New", None],
        }
    )
    items = items.drop(*([] if creators else ["creator"]), *([] if genres else ["genres"]))
    return Dataset.build(pl.DataFrame(PLAYS, ["user_id", "item_id"], orient="row"), items)


def scores(data: Dataset, liked: list[int], **settings: object) -> Floats:
    model = GenreItemKNN(GenreItemKNNConfig.model_validate({**PLAIN, **settings})).fit(data)
    found: Floats = model.score_batch(Queries.of_items(liked, data.n_items))[0]
    return found


def own(liked: list[int]) -> Floats:
    model = ItemKNN(ItemKNNConfig.model_validate(PLAIN)).fit(log())
    found: Floats = model.score_batch(Queries.of_items(liked, 7))[0]
    return found


def test_an_unplayed_item_has_the_mean_score_of_its_genre() -> None:
    cosine = own([B])  # with a: 1
    found = scores(log(creators=False), [B])
    # Both jazz items have support 3, so they count alike; b itself is no neighbour of b.
    assert cosine[A] == pytest.approx(1)
    assert found[F] == pytest.approx((cosine[A] + 0) / 2)
    assert found[G] == 0


def test_a_genre_that_nobody_wanted_has_no_say() -> None:
    data = log(creators=False)
    genres = [["jazz"], ["jazz"], ["rock"], ["rock"], ["jazz", "polka"], ["rock"], None]
    mixed = replace(data, items=data.items.with_columns(genres=pl.Series(genres)))
    assert scores(mixed, [B])[F] == pytest.approx(scores(data, [B])[F])


def test_the_creator_speaks_before_the_genre() -> None:
    # Ella has one known item, believed 3 / (3 + 5) = 0.375: weight 0.375 / (0.375 + 1).
    trust = 0.375 / 1.375
    found = scores(log(), [B])
    assert found[F] == pytest.approx(trust * 1 + (1 - trust) * 0.5)
    # Nobody knows "New": the genre alone.
    assert scores(log(), [C])[G] == pytest.approx(0.5)


def test_support_hands_over_to_an_items_own_neighbours() -> None:
    found = scores(log(creators=False), [A], own_support=3.0)
    # b: half its own cosine (support 3), half the mean of jazz (a 0, b 1).
    assert found[B] == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    alone = scores(log(creators=False), [A], own_support=1e-9)
    np.testing.assert_allclose(alone[[A, B, C, D]], own([A])[[A, B, C, D]], rtol=1e-5)


def test_an_item_of_no_kind_keeps_its_own_score() -> None:
    assert scores(log(), [A])[H] == pytest.approx(own([A])[H])
    assert own([A])[H] > 0


def test_creators_alone_are_enough() -> None:
    found = scores(log(genres=False), [B])
    assert found[F] == pytest.approx(1)  # Ella's one item
    assert np.isnan(found[G])  # neither a genre nor a known creator


def test_a_history_that_nobody_shares_says_nothing() -> None:
    assert np.isnan(scores(log(), [F])).all()


def test_without_kinds_it_scores_nothing_and_says_so() -> None:
    data = log(creators=False, genres=False)
    model = GenreItemKNN().fit(data)
    assert np.isnan(model.score_batch(data.queries([0, 1]))).all()
    (notice,) = model.notices
    assert "no genres, moods or creators" in notice
    assert GenreItemKNN().fit(log()).notices == ()


def test_evidence_is_the_largest_addition_of_one_history_item() -> None:
    data = log()
    model = GenreItemKNN(GenreItemKNNConfig.model_validate(PLAIN)).fit(data)
    each = [model.score_batch(Queries.of_items([row], 7))[0, F] for row in (B, C)]
    near = model.score(Queries.of_items([B, C], 7), [F]).evidence[0, 2]
    assert near == pytest.approx(max(each))


def test_a_cold_item_is_similar_to_nothing_but_others_are_similar_to_its_like() -> None:
    data = checkerboard()
    model = GenreItemKNN().fit(data)
    cold = data.n_items - 1
    assert np.isnan(model.similar(cold)).all()
    similar = model.similar(4)
    assert similar[cold] > np.nanmax(similar[1:20:2])
