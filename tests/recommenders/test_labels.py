import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries, Taste
from crossfade.recommenders.labels import ItemLabels, mass_shares, stated_labels
from crossfade.testing import tiny_catalogue

A, B, C, D, E = range(5)


def asking(*tastes: Taste) -> Queries:
    """Strangers without a history who say what they like."""
    n = len(tastes)
    return Queries(
        user_row=np.full(n, -1, dtype=np.int32),
        as_of_us=None,
        indptr=np.zeros(n + 1, dtype=np.int64),
        item_row=np.zeros(0, dtype=np.int32),
        time_us=None,
        strength=np.zeros(0, dtype=np.float32),
        session_row=np.zeros(0, dtype=np.int32),
        n_items=5,
        tastes=tastes,
    )


def test_an_item_is_split_evenly_over_its_labels() -> None:
    labels = ItemLabels.of(tiny_catalogue())
    assert labels.names == ("genres:folk", "genres:jazz", "genres:rock")
    assert labels.share.toarray().tolist() == [
        [0, 1, 0],
        [0, 1, 0],
        [0, 1, 0],
        [0, 0, 1],
        [0.5, 0, 0.5],
    ]


def test_a_genre_and_a_mood_of_one_name_are_two_labels_and_case_does_not_matter() -> None:
    items = pl.DataFrame(
        {"item_id": ["a", "b"], "genres": [["Blue", " blue "], None], "moods": [None, ["BLUE", ""]]}
    )
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    labels = ItemLabels.of(Dataset.build(events, items))
    assert labels.names == ("genres:blue", "moods:blue")
    assert labels.share.toarray().tolist() == [[1, 0], [0, 1]]


def test_stated_labels_are_found_whatever_their_case_and_unknown_ones_left_out() -> None:
    queries = asking(
        Taste((" Jazz", "ROCK", "rock", "polka"), ("rock",)), Taste(), Taste(("folk",))
    )
    names = ("genres:folk", "genres:jazz", "genres:rock")
    assert stated_labels(queries, names).toarray().tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert stated_labels(queries, ()).shape == (3, 0)
    assert stated_labels(Queries.of_items([0], 5), names).toarray().tolist() == [[0, 0, 0]]


def test_the_nearest_liked_item_by_shared_labels() -> None:
    labels = ItemLabels.of(tiny_catalogue())
    everything = np.arange(5, dtype=np.int32)
    # e is folk and rock: it shares one of its two labels with d, and so cosine 1 / sqrt(2).
    near = labels.nearest(np.array([A, D], dtype=np.int32), everything)
    np.testing.assert_allclose(near, [1, 1, 1, 1, 1 / np.sqrt(2)], rtol=1e-6)
    assert labels.nearest(np.array([E], dtype=np.int32), everything)[E] == pytest.approx(1)


def test_without_labels_nothing_is_near() -> None:
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
    labels = ItemLabels.of(Dataset.build(events))
    rows = np.zeros(1, dtype=np.int32)
    assert labels.names == ()
    assert np.isnan(labels.nearest(rows, rows)).all()


def test_shares_of_the_mass_sum_to_one() -> None:
    labels = ItemLabels.of(tiny_catalogue())
    # Weights 1, 2, 1, 3, 2: jazz 4, rock 3 + 1, folk 1.
    np.testing.assert_allclose(
        mass_shares(labels, np.array([1.0, 2.0, 1.0, 3.0, 2.0])), np.array([1, 4, 4]) / 9, rtol=1e-6
    )
    assert mass_shares(labels, np.zeros(5)).tolist() == [0, 0, 0]
