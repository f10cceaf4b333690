import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.audio.creators import CreatorMeans
from crossfade.audio.folds import creator_folds, hold_out_creators
from crossfade.audio.inputs import Words, creator_keys


def catalogue(**columns: list[object]) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    return pl.DataFrame({"item_id": [str(i) for i in range(n)], **columns})


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=30),
    st.integers(2, 5),
)
def test_one_creator_is_never_in_two_folds(keys: list[str | None], n_folds: int) -> None:
    fold = creator_folds(pl.Series("creator", keys, dtype=pl.String), n_folds, 0)
    for key in {key for key in keys if key is not None}:
        assert len({int(f) for f, own in zip(fold, keys, strict=True) if own == key}) == 1


def test_every_fold_gets_its_share_of_creators() -> None:
    fold = creator_folds(pl.Series([f"c{i}" for i in range(100)]), 5, 0)
    assert np.bincount(fold).tolist() == [20] * 5


def test_items_without_a_creator_are_on_their_own() -> None:
    fold = creator_folds(pl.Series("creator", [None] * 100, dtype=pl.String), 4, 0)
    assert np.bincount(fold).tolist() == [25] * 4


def test_the_held_out_share_is_of_creators() -> None:
    keys = pl.Series([f"c{i // 3}" for i in range(300)])
    assert hold_out_creators(keys, 0.2, 0).sum() == 60


def test_a_creator_is_an_id_or_else_a_name_whatever_its_case() -> None:
    items = catalogue(creator=["Ann", " ann ", "", None], creator_id=[None, None, None, "7"])
    assert creator_keys(items).to_list() == ["name:ann", "name:ann", None, "id:7"]


def test_words_of_too_few_creators_are_left_out() -> None:
    items = catalogue(creator=["a", "a", "b"], title=["Live one", "live two", "LIVE, again: two"])
    words = Words.of(items, min_creators=2)
    titles = [token for token in words.tokens if token.startswith("title:")]
    assert titles == ["title:live", "title:two"]  # "one" and "again" are each of one creator


def test_unknown_words_and_labels_are_left_out_and_known_ones_are_found() -> None:
    words = Words.of(catalogue(title=["live"], genres=[["Rock"]]), min_creators=1)
    inputs = words.inputs(catalogue(title=["something else", "Live"], genres=[["zouk"], ["rock "]]))
    assert inputs.informed.tolist() == [False, True]
    seen = [words.tokens[int(column)] for column in inputs.tokens[[1]].indices]
    assert {"title:live", "genres:rock"} <= set(seen)


@pytest.mark.parametrize("title", [None, "", "🎵🎶", "?!"])
def test_an_item_with_no_text_at_all_is_uninformed(title: str | None) -> None:
    words = Words.of(catalogue(title=["live"]), min_creators=1)
    inputs = words.inputs(
        pl.DataFrame({"item_id": ["x"], "title": [title]}, schema_overrides={"title": pl.String})
    )
    assert inputs.informed.tolist() == [False]
    assert np.isfinite(inputs.numbers).all()


def test_a_title_of_100_kilobytes_is_read() -> None:
    words = Words.of(catalogue(title=["live"]), min_creators=1)
    inputs = words.inputs(catalogue(title=["live " * 20_000]))
    assert inputs.tokens.sum() >= 1
    assert np.isfinite(inputs.numbers).all()


def test_a_length_of_zero_is_no_length() -> None:
    words = Words.of(catalogue(title=["live"]), min_creators=1)
    none, zero, some = words.inputs(catalogue(duration_ms=[None, 0, 200_000])).numbers[:, :3]
    np.testing.assert_array_equal(none, zero)
    assert none.tolist() == [0, 0, 1]
    assert some.tolist() == [0, 0, 0]  # exactly the typical length, and known


def test_words_survive_plain_arrays() -> None:
    words = Words.of(catalogue(title=["live", "ünder"]), min_creators=1)
    assert Words.from_arrays(words.to_arrays()).tokens.to_list() == words.tokens.to_list()


def test_a_track_never_counts_towards_its_own_creator() -> None:
    creator = pl.Series(["a", "a", "b"])
    values = np.column_stack([[1.0, 3.0, 5.0]] + [[np.nan] * 3] * 7)
    means = CreatorMeans.of(creator, values, shrinkage=0)
    own = means.numbers(creator, own=values)
    assert own[:, 0].tolist() == [3.0, 1.0, 0.0]  # the other one; b has no other
    assert own[:, 8].tolist() == [1.0, 1.0, 0.0]
    assert own[2].tolist() == [0.0] * 17
    new = means.numbers(pl.Series(["a", "stranger", None], dtype=pl.String))
    assert new[0, 0] == 2.0  # a new track of a: the mean of both
    assert not new[1:].any()


def test_few_tracks_pull_a_creator_less_far_from_the_average() -> None:
    values = np.column_stack([[1.0, 1.0, 1.0]] + [[np.nan] * 3] * 7)
    means = CreatorMeans.of(pl.Series(["a", "b", "b"]), values, shrinkage=1)
    # One track and one average (0) track: 1/2. Two and one: 2/3.
    assert means.numbers(pl.Series(["a", "b"]))[:, 0] == pytest.approx([1 / 2, 2 / 3])
