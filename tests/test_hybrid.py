from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crossfade.data import Dataset, Target, save_dataset
from crossfade.data.dataset import to_us
from crossfade.errors import BundleError, ConfigError, DataError, UnknownIdError
from crossfade.hybrid import HybridConfig, HybridModel, Recommendation
from crossfade.meta.blending import BlendChoice
from crossfade.meta.serving import Filters
from crossfade.store import load_bundle, save_bundle
from crossfade.testing import checkerboard

BASES: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}, "content_knn": {}}
CONFIG = HybridConfig(bases=BASES)
# In this log everybody plays on one day: whoever asks after a global cut has no history.
PER_USER = CONFIG.changed(protocol={"name": "user"})
DATA = checkerboard(40)
HALF = BlendChoice(
    "zscore", {"popularity": 0.25, "item_knn": 0.75, "content_knn": 0.0}, True, "item_knn", 0.0, 0.0
)


@pytest.fixture(scope="module")
def model() -> HybridModel:
    return HybridModel.fit(DATA, PER_USER, seed=3)


@pytest.fixture(scope="module")
def blended() -> HybridModel:
    """A model whose weights are known."""
    return HybridModel.fit(DATA, CONFIG, choice=HALF)


def ids(lines: list[Recommendation]) -> list[str]:
    return [line.item_id for line in lines]


# -- lists -----------------------------------------------------------------------------


def test_the_unseen_item_of_ones_own_colour_comes_first(model: HybridModel) -> None:
    assert ids(model.recommend(user="user004", k=1)) == ["item004"]
    assert ids(model.recommend(user="user017", k=1)) == ["item017"]


def test_a_list_is_ranked_and_says_who_spoke(blended: HybridModel) -> None:
    lines = blended.recommend(user="user004", k=8)
    assert [line.rank for line in lines] == list(range(1, 9))
    assert len(set(ids(lines))) == 8
    scores = [line.score for line in lines]
    assert scores == sorted(scores, reverse=True)
    for line in lines:
        assert sum(line.weights.values()) == pytest.approx(1)
        assert set(line.weights) <= {"popularity", "item_knn"}
    assert lines[0].weights == pytest.approx({"popularity": 0.25, "item_knn": 0.75})


def test_seen_items_are_not_recommended(model: HybridModel) -> None:
    seen = DATA.events.filter(pl.col("user_row") == 4)["item_row"].to_list()
    listed = ids(model.recommend(user="user004", k=1000))
    assert not {f"item{row:03d}" for row in seen} & set(listed)


def test_seen_items_come_back_under_repeat_listening() -> None:
    config = CONFIG.changed(protocol={"name": "repeat"})
    listed = ids(HybridModel.fit(DATA, config, choice=HALF).recommend(user="user004", k=10))
    seen = DATA.events.filter(pl.col("user_row") == 4)["item_row"].to_list()
    assert {f"item{row:03d}" for row in seen} & set(listed)


def test_a_catalogue_smaller_than_the_list_is_listed_whole(blended: HybridModel) -> None:
    # 21 of the 41 items are left: those user004 has not met; nobody played the cold one.
    for k in (100, 10**12):
        assert len(blended.recommend(user="user004", k=k)) == 41 - 19 - 1
        assert len(blended.similar("item004", k=k)[1]) <= 40


def test_a_stranger_with_items_gets_more_of_their_colour(model: HybridModel) -> None:
    lines = model.recommend(items=["item001", "item003", "item005"], k=5)
    assert all(int(item[-1]) % 2 == 1 for item in ids(lines))
    assert not {"item001", "item003", "item005"} & set(ids(lines))


def test_unknown_items_are_ignored_while_one_is_known(model: HybridModel) -> None:
    expected = model.recommend(items=["item001"])
    assert model.recommend(items=["nothing", "item001"]) == expected


def test_a_perfect_stranger_gets_what_is_popular(blended: HybridModel) -> None:
    lines = blended.recommend(k=3)
    assert len(lines) == 3
    assert all(line.weights == {"popularity": 1.0} for line in lines)


def test_titles_and_creators_come_from_the_catalogue() -> None:
    items = pl.DataFrame({"item_id": ["item004"], "title": ["Blue"], "creator": ["Joni"]})
    events = pl.DataFrame(
        {
            "user_id": DATA.user_ids.decode(DATA.events["user_row"].to_numpy()),
            "item_id": DATA.item_ids.decode(DATA.events["item_row"].to_numpy()),
            "timestamp": DATA.events["timestamp"],
        }
    )
    named = HybridModel.fit(Dataset.build(events, items), CONFIG, choice=HALF)
    first, second = named.recommend(user="user004", k=2)
    assert (first.item_id, first.title, first.creator) == ("item004", "Blue", "Joni")
    assert (second.title, second.creator) == (None, None)


# -- stated tastes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tasting() -> HybridModel:
    """A blend that never asks the bases that read tastes."""
    kinds = ("popularity", "item_knn", "content_knn", "genre_popularity")
    bases: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    choice = replace(HALF, weights={**HALF.weights, "genre_popularity": 0.0}, prior="popularity")
    return HybridModel.fit(DATA, HybridConfig(bases=bases), choice=choice)


def colours(lines: list[Recommendation]) -> list[int]:
    return [int(line.item_id[-1]) % 2 for line in lines]


@pytest.mark.parametrize(("genre", "colour"), [("odd", 1), (" EVEN", 0)])
def test_a_stranger_who_names_a_genre_gets_it_without_any_history(
    tasting: HybridModel, genre: str, colour: int
) -> None:
    lines = tasting.recommend(genres=[genre], k=15)
    assert colours(lines) == [colour] * 15
    # The base that serves everybody speaks, whatever its weight in the blend.
    assert lines[0].weights == pytest.approx({"genre_popularity": 0.9, "popularity": 0.1})


def test_a_taste_leads_and_hands_over_to_the_history(tasting: HybridModel) -> None:
    shares = [
        tasting.recommend(items=[f"item{n:03d}" for n in range(0, 2 * size, 2)], genres=["odd"])[
            0
        ].weights["genre_popularity"]
        for size in (0, 1, 8)
    ]
    # 9 of 10, 9 of 11, 9 of 18.
    assert shares == pytest.approx([0.9, 9 / 11, 0.5])


def test_a_known_users_taste_adds_to_their_history(tasting: HybridModel) -> None:
    plain, stated = (
        tasting.recommend(user="user004"),
        tasting.recommend(user="user004", genres=["odd"]),
    )
    assert "genre_popularity" not in plain[0].weights
    # 19 positive events: the taste has 9 of 29.
    assert stated[0].weights["genre_popularity"] == pytest.approx(9 / 29)
    assert sum(stated[0].weights.values()) == pytest.approx(1)
    seen = DATA.events.filter(pl.col("user_row") == 4)["item_row"].to_list()
    assert not {f"item{row:03d}" for row in seen} & set(ids(stated))


def test_items_a_known_user_likes_join_the_history(model: HybridModel) -> None:
    liked = ["item001", "item003"]
    query = model.query("user004", liked)
    history = model.query("user004")
    added = query.item_row[len(history.item_row) :]
    assert DATA.item_ids.decode(added) == liked
    assert not set(liked) & set(ids(model.recommend(user="user004", items=liked, k=1000)))
    # At a moment, they are said just before it.
    moment = middle_of(4)
    then = model.query("user004", liked, as_of=moment)
    assert then.time_us is not None
    assert then.time_us[-2:].tolist() == [to_us(moment) - 1] * 2


def test_without_a_base_that_reads_tastes_the_mend_is_named() -> None:
    config = HybridConfig(bases={"popularity": {}})
    choice = replace(HALF, weights={"popularity": 1.0}, best_base="popularity")
    deaf = HybridModel.fit(DATA, config, choice=choice)
    with pytest.raises(ConfigError, match="no base reads genres or moods; add genre_popularity"):
        deaf.recommend(genres=["odd"])


def test_an_unknown_genre_alone_is_refused_with_what_comes_close(tasting: HybridModel) -> None:
    with pytest.raises(UnknownIdError) as caught:
        tasting.recommend(genres=["evn"], moods=["calm"])
    assert str(caught.value) == (
        'genre "evn" is unknown; did you mean even? the commonest genres are even, odd\n'
        'mood "calm" is unknown: the catalogue has no moods'
    )


def test_what_is_unknown_is_ignored_and_named_while_anything_is_known(tasting: HybridModel) -> None:
    asked: dict[str, Any] = {"items": ["x", "item001"], "genres": ["odd", "jazz"]}
    assert tasting.recommend(**asked) == tasting.recommend(items=["item001"], genres=["odd"])
    assert tasting.unknown(**asked) == [
        "unknown items ignored: x",
        'genre "jazz" is unknown; the commonest genres are even, odd',
    ]
    # A known user is asked about something known already.
    assert tasting.recommend(user="user004", genres=["jazz"]) == tasting.recommend(user="user004")


def test_a_taste_survives_saving(tasting: HybridModel, tmp_path: Path) -> None:
    tasting.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    assert loaded.recommend(genres=["odd"]) == tasting.recommend(genres=["odd"])


# -- time ------------------------------------------------------------------------------


def middle_of(user_row: int) -> datetime:
    times = DATA.events.filter(pl.col("user_row") == user_row)["timestamp"]
    moment: datetime = times[len(times) // 2]
    return moment


def test_as_of_a_moment_only_the_history_before_it_counts(blended: HybridModel) -> None:
    moment = middle_of(4)
    listed = ids(blended.recommend(user="user004", k=100, as_of=moment))
    past = DATA.before(moment).queries([4], np.array([to_us(moment)]))
    scores = blended.blend.score_batch(past)[0]
    best = sorted(np.flatnonzero(~np.isnan(scores)), key=lambda row: (-scores[row], row))
    assert listed == [DATA.item_ids.id(int(row)) for row in best]
    # What the user plays later may be recommended, what they played before may not.
    later = DATA.between(moment, moment + timedelta(days=99)).queries([4])
    assert set(DATA.item_ids.decode(later.item_row)) <= set(listed)
    assert not set(DATA.item_ids.decode(past.item_row)) & set(listed)


def test_a_moment_without_a_zone_is_utc(blended: HybridModel) -> None:
    moment = middle_of(4)
    naive = moment.replace(tzinfo=None)
    assert blended.recommend(user="user004", as_of=naive) == blended.recommend(
        user="user004", as_of=moment
    )


def test_before_their_first_event_a_user_is_a_stranger(blended: HybridModel) -> None:
    start = DATA.events["timestamp"][0]
    assert ids(blended.recommend(user="user004", as_of=start)) == ids(blended.recommend())


def test_as_of_means_nothing_without_times() -> None:
    untimed = HybridModel.fit(checkerboard(40, timed=False), CONFIG, choice=HALF)
    with pytest.raises(DataError, match="as_of means nothing; leave it out"):
        untimed.recommend(user="user004", as_of=middle_of(4))


@pytest.mark.parametrize("items", [["item003"], []])
def test_as_of_means_nothing_for_a_stranger(blended: HybridModel, items: list[str]) -> None:
    with pytest.raises(ConfigError, match="a stranger has none; leave it out"):
        blended.recommend(items=items, as_of=middle_of(4))


# -- training --------------------------------------------------------------------------


def test_equal_seeds_give_equal_lists(model: HybridModel) -> None:
    again = HybridModel.fit(checkerboard(40), PER_USER, seed=3)
    assert again.blend.choice == model.blend.choice
    for user in ("user000", "user039"):
        assert again.recommend(user=user) == model.recommend(user=user)


def test_by_default_blocks_are_cut_by_time() -> None:
    model = HybridModel.fit(DATA, CONFIG)
    # Nobody who asks after the cuts has a history, so popularity is all there is.
    assert model.blend.choice.best_base == "popularity"
    assert model.config.protocol.name == "time"


def test_data_without_times_is_cut_per_user() -> None:
    model = HybridModel.fit(checkerboard(40, timed=False), CONFIG)
    assert ids(model.recommend(user="user004", k=1)) == ["item004"]


def test_another_target_is_learned_and_kept(tmp_path: Path) -> None:
    rated = checkerboard(40, rated=True).with_target(Target())
    config = CONFIG.changed(target={"min_value": 4})
    model = HybridModel.fit(rated, config, choice=HALF)
    model.save(tmp_path)
    loaded = HybridModel.load(tmp_path)
    assert loaded.dataset.target == Target(min_value=4)
    assert loaded.dataset.interactions().nnz < rated.interactions().nnz


def test_wrong_settings_are_all_reported_before_any_work() -> None:
    with pytest.raises(ConfigError) as caught:
        HybridConfig(blend={"depth": 0}, protocol={"cold_history": -1}, bases={})
    for name in ("blend.depth", "protocol.cold_history", "bases"):
        assert name in str(caught.value)


@pytest.mark.parametrize("label", ["a/b", "../up", "", "with space", ".hidden"])
def test_a_label_that_is_no_file_name_is_refused_before_training(label: str) -> None:
    with pytest.raises(ConfigError, match="bases"):
        HybridConfig(bases={label: {"model": "popularity"}})


def test_a_log_too_small_to_be_cut_says_so(timed: Dataset) -> None:
    with pytest.raises(DataError, match="asks nothing"):
        HybridModel.fit(timed.where(pl.Series([True] + [False] * 5)), CONFIG)


# -- wrong questions -------------------------------------------------------------------


def test_an_unknown_user_is_named(model: HybridModel) -> None:
    with pytest.raises(UnknownIdError, match='user "u42" is unknown among 40 users'):
        model.recommend(user="u42")


def test_a_list_of_unknown_items_is_named(model: HybridModel) -> None:
    with pytest.raises(UnknownIdError, match=r"none of the 2 items is known \(x, y\)"):
        model.recommend(items=["x", "y"])


def test_an_unknown_item_is_named(model: HybridModel) -> None:
    with pytest.raises(UnknownIdError, match='item "x" is unknown among 41 items'):
        model.similar("x")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"items": "item001"}, 'items must be a list of texts, got the text "item001"; write'),
        ({"genres": "odd"}, 'genres must be a list of texts, got the text "odd"; write'),
        ({"items": [1]}, 'items must be a list of texts, got int 1; write it as "1"'),
    ],
)
def test_a_text_is_no_list_of_texts(model: HybridModel, asked: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model.recommend(**asked)


def test_wishes_about_a_list_are_lists(model: HybridModel) -> None:
    with pytest.raises(ConfigError, match='block must be a list of texts, got the text "item001"'):
        Filters(block="item001")
    with pytest.raises(ConfigError, match="users must be a list of texts, got int 4"):
        model.recommend_batch([4])  # type: ignore[list-item]


@pytest.mark.parametrize("k", [0, -3])
def test_a_list_has_one_place_at_least(model: HybridModel, k: int) -> None:
    with pytest.raises(ConfigError, match=f"k must be 1 or more, got {k}"):
        model.recommend(user="user004", k=k)
    with pytest.raises(ConfigError, match=f"k must be 1 or more, got {k}"):
        model.similar("item004", k=k)


# -- columns and tables as questions -------------------------------------------------------


@pytest.mark.parametrize("column", [pl.Series, pd.Series, tuple, np.array])
def test_ids_may_come_as_a_column(model: HybridModel, column: Any) -> None:
    liked, blocked = ["item001", "item003"], ["item005"]
    expected = model.recommend(items=liked, filters=Filters(block=blocked))
    assert model.recommend(items=column(liked), filters=Filters(block=column(blocked))) == expected
    users = ["user004", "user017"]
    assert model.recommend_batch(column(users)).equals(model.recommend_batch(users))


@pytest.mark.parametrize("library", [pl.DataFrame, pd.DataFrame])
def test_pairs_may_come_as_a_table(model: HybridModel, library: Any) -> None:
    pairs = [("user004", "item004"), ("nobody", "item004"), ("user017", "item017")]
    users, items = zip(*pairs, strict=True)
    table = library({"value": [1, 2, 3], "item_id": items, "user_id": users})
    assert model.predict(table).equals(model.predict(pairs))


# -- similar items ---------------------------------------------------------------------


def test_similar_items_are_of_the_same_colour_and_never_the_item_itself(
    model: HybridModel,
) -> None:
    label, lines = model.similar("item004", k=5)
    assert label == "item_knn"
    assert len(lines) == 5
    assert "item004" not in ids(lines)
    assert all(int(item[-1]) % 2 == 0 for item in ids(lines))
    assert [line.rank for line in lines] == [1, 2, 3, 4, 5]


def test_an_item_nobody_played_is_like_others_by_content(model: HybridModel) -> None:
    label, lines = model.similar("item040", k=5)
    assert label == "content_knn"
    assert all(int(item[-1]) % 2 == 0 for item in ids(lines))


def test_where_no_base_knows_the_item_the_list_is_empty() -> None:
    config = HybridConfig(bases={"popularity": {}})
    choice = replace(HALF, weights={"popularity": 1.0}, best_base="popularity")
    assert HybridModel.fit(DATA, config, choice=choice).similar("item004") == ("", [])


# -- saving ----------------------------------------------------------------------------


def test_saving_and_loading_changes_no_answer(model: HybridModel, tmp_path: Path) -> None:
    version = model.save(str(tmp_path))
    loaded = HybridModel.load(str(tmp_path))
    assert loaded.version == version
    assert loaded.config == model.config
    assert loaded.blend.choice == model.blend.choice
    assert loaded.seed == 3
    for user in DATA.user_ids.ids:
        assert loaded.recommend(user=user) == model.recommend(user=user)
    moment = middle_of(4)
    assert loaded.recommend(user="user004", as_of=moment) == model.recommend(
        user="user004", as_of=moment
    )
    assert loaded.recommend(items=["item003"]) == model.recommend(items=["item003"])
    assert loaded.similar("item040") == model.similar("item040")


def test_a_loaded_model_can_be_saved_again(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path / "first")
    HybridModel.load(tmp_path / "first").save(tmp_path / "second")
    loaded = HybridModel.load(tmp_path / "second")
    assert loaded.recommend(user="user004") == model.recommend(user="user004")


@pytest.mark.parametrize("key", ["support", "neighbours.data"])
def test_a_bundle_without_an_array_is_damaged(model: HybridModel, tmp_path: Path, key: str) -> None:
    model.save(tmp_path)
    bundle = load_bundle(tmp_path)
    del bundle.arrays["base-item_knn"][key]
    save_bundle(bundle, tmp_path)
    with pytest.raises(BundleError, match=rf"damaged \('{key}' is missing or wrong\); fit again"):
        HybridModel.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("choice", {"weights": {}}),
        ("choice", {**asdict(HALF), "weights": dict.fromkeys(BASES, 1.0)}),
        ("choice", {**asdict(HALF), "weights": {}}),
        ("choice", None),
        ("name", "remove"),
        ("config", "remove"),
        ("frames", "remove"),
    ],
)
def test_a_bundle_whose_header_does_not_fit_is_damaged(
    model: HybridModel, tmp_path: Path, key: str, value: Any
) -> None:
    model.save(tmp_path)
    bundle = load_bundle(tmp_path)
    if key == "frames":
        del bundle.frames["users"]
    elif value == "remove":
        del bundle.header[key]
    else:
        bundle.header[key] = value
    save_bundle(bundle, tmp_path)
    with pytest.raises(BundleError, match="damaged"):
        HybridModel.load(tmp_path)


def test_a_bundle_of_unknown_settings_names_them(model: HybridModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    bundle = load_bundle(tmp_path)
    bundle.header["config"]["blend"]["tempo"] = 3
    save_bundle(bundle, tmp_path)
    with pytest.raises(ConfigError, match=r"blend\.tempo is not a setting"):
        HybridModel.load(tmp_path)


def test_a_data_set_is_never_overwritten_by_a_bundle(model: HybridModel, tmp_path: Path) -> None:
    save_dataset(DATA, tmp_path)
    with pytest.raises(BundleError, match="holds a data set, not a bundle"):
        model.save(tmp_path)
