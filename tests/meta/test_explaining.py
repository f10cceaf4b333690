"""Lists that say why: every reason is part of the score that is listed, and nothing is made up."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.config import load_toml
from crossfade.data import Dataset, Queries
from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError, UnknownIdError
from crossfade.explain.sentences import UncertaintyLimits
from crossfade.hybrid import HybridConfig, HybridModel, Recommendation
from crossfade.meta.explaining import Explainer
from crossfade.meta.learning import LearnedBlend
from crossfade.meta.recommendation import Recommendation as Line
from crossfade.meta.serving import Filters
from crossfade.ranking import RankingConfig

GATE = {"hidden": 8, "n_layers": 1, "user_dim": 4, "item_dim": 4, "train": {"epochs": 2}}
BLEND: dict[str, Any] = {
    "fusion_settings": {"meta": GATE},
    "n_candidates": 20,
    "n_earlier_blocks": 1,
    "min_requests": 5,
}
BASES: dict[str, dict[str, Any]] = {
    "popularity": {},
    "genre_item_knn": {},
    "content_knn": {},
    "session_knn": {},
    "genre_popularity": {},
}
USERS = [f"listener-{number:02}" for number in range(0, 60, 5)]
LABELS = {"genre": "genres", "mood": "moods"}


@pytest.fixture(scope="module")
def world() -> Dataset:
    """Listeners of tracks, of which some have no title, no creator, or no labels."""
    data = make_world(WorldConfig(n_listeners=60, n_tracks=150, n_plays=4_000), seed=5).dataset
    row = pl.int_range(pl.len())
    gaps = {"title": row % 3 == 0, "creator": row % 4 == 0, "genres": row % 5 == 0}
    empty = {"title": None, "creator": "", "genres": None}
    items = data.items.with_columns(
        pl.when(gaps[name]).then(pl.lit(empty[name])).otherwise(pl.col(name)).alias(name)
        for name in gaps
    )
    return replace(data, items=items)


LEARNED = ("static", "fwls", "meta")


@pytest.fixture(scope="module")
def models(world: Dataset) -> dict[str, HybridModel]:
    """By the fusion model that serves; ``plain`` has learned nothing but weights."""
    found = {
        name: HybridModel.fit(
            world, HybridConfig(bases=BASES, blend=BLEND | {"fusion": name}), seed=1
        )
        for name in LEARNED
    }
    one = found["static"]
    choice = replace(
        one.blend.choice,
        weights={"popularity": 0.2, "genre_item_knn": 0.5, "content_knn": 0.3}
        | {"session_knn": 0.0, "genre_popularity": 0.0},
        scaling="reciprocal_rank",
        prior="popularity",
    )
    found["plain"] = HybridModel(world, one.config, one.bases, choice, exclude_seen=True, seed=1)
    return found


@pytest.fixture(params=LEARNED)
def model(models: dict[str, HybridModel], request: pytest.FixtureRequest) -> HybridModel:
    found = models[request.param]
    assert found.learned is not None
    return found


@pytest.fixture(params=[*LEARNED, "plain"])
def served(models: dict[str, HybridModel], request: pytest.FixtureRequest) -> HybridModel:
    return models[request.param]


@pytest.fixture
def plain(models: dict[str, HybridModel]) -> HybridModel:
    return models["plain"]


def why(model: HybridModel, **how: Any) -> list[Recommendation]:
    return model.recommend(explain=True, **{"k": 8, **how})


def reasons_of(lines: list[Line]) -> list[tuple[Line, dict[str, Any]]]:
    return [(line, reason) for line in lines for reason in line.reasons]


REQUESTS: list[dict[str, Any]] = [
    *({"user": user} for user in USERS[:4]),
    {"user": USERS[1], "k": 60},
    {"user": USERS[2], "filters": Filters(rules=("duration_ms > 200000",))},
    {"user": USERS[3], "genres": ("jazz",)},
    {"user": USERS[4], "ranking": RankingConfig(diversity=0.5, max_per_creator=1)},
    {"items": ("track-001", "track-007")},
    {"genres": ("jazz",)},
    {},
]


# -- contributions ---------------------------------------------------------------------


@pytest.mark.parametrize("how", REQUESTS)
def test_what_is_explained_is_the_listed_score(served: HybridModel, how: dict[str, Any]) -> None:
    asked = {name: part for name, part in how.items() if name in {"user", "items", "genres"}}
    query = served.query(**asked)
    ranking = how.get("ranking", served.config.ranking)
    (found,) = served.lists.serve(query, how.get("k", 8), ranking, how.get("filters"))
    given, residual = served.explainer.lifts(query, found)
    listed = served.blend.score_batch(query) if found.told is None else found.told[1].score
    total = np.sum([*given.values(), residual], axis=0) + np.nanmean(listed, dtype=np.float64)
    np.testing.assert_allclose(total, found.score, rtol=0, atol=1e-6)
    assert len(found.score) > 0


def test_where_the_static_weights_answer_their_account_is_given(model: HybridModel) -> None:
    # A stated taste leaves nothing of the learned model in the score, nor in the reasons.
    query = model.query(user=USERS[0], genres=("jazz",))
    (found,) = model.lists.serve(query, 8, model.config.ranking)
    assert found.told is None
    given, residual = model.explainer.lifts(query, found)
    assert set(given) == {*model.blend.used, "genre_popularity"}
    # No constant is left over: only that bases know some items of the catalogue and not others.
    assert (np.abs(residual) < 1e-3).all()


def test_no_reason_claims_more_than_all_that_speaks(served: HybridModel) -> None:
    for user in USERS:
        for line in why(served, user=user):
            shares = [reason["share"] for reason in line.reasons]
            assert all(0 < share <= 1 for share in shares)
            assert sum(shares) <= 1 + 1e-9
            amounts = [reason["contribution"] for reason in line.reasons]
            assert amounts == sorted(amounts, reverse=True)


# -- nothing made up -------------------------------------------------------------------


def carried(data: Dataset, item: str, column: str) -> set[str]:
    value = data.items[column][data.item_ids.row(item)]
    return set() if value is None else {text.lower() for text in value}


def middle_of(events: pl.DataFrame) -> datetime | None:
    moment = events["timestamp"].median()
    assert moment is None or isinstance(moment, datetime)
    return moment


@pytest.mark.parametrize("early", [False, True])
def test_reasons_name_the_own_history_up_to_the_moment_of_asking(
    served: HybridModel, early: bool
) -> None:
    data, n_named = served.dataset, 0
    for user in USERS:
        mine = data.events.filter(user_row=data.user_ids.row(user))
        moment = middle_of(mine) if early else None
        past = mine if moment is None else mine.filter(pl.col("timestamp") < moment)
        known = set(data.item_ids.decode(past["item_row"].to_numpy()))
        for line, reason in reasons_of(why(served, user=user, as_of=moment)):
            assert set(reason["evidence"]["items"]) <= known
            assert line.item_id not in reason["evidence"]["items"]
            n_named += len(reason["evidence"]["items"])
    assert n_named > 20


def test_a_label_or_creator_is_a_reason_only_where_both_items_have_it(
    served: HybridModel,
) -> None:
    data, seen = served.dataset, set()
    for user in USERS:
        for line, reason in reasons_of(why(served, user=user, k=20)):
            kind, evidence = reason["type"], reason["evidence"]
            seen.add(kind)
            if kind in LABELS:
                both = [line.item_id, *evidence["items"]]
                assert all(evidence["name"] in carried(data, i, LABELS[kind]) for i in both)
                assert len(both) > 1
            elif kind == "creator":
                rows = data.item_ids.rows([line.item_id, *evidence["items"]])
                assert data.items["creator_id"].gather(rows).n_unique() == 1
    assert {"genre", "history"} <= seen


def test_nothing_unknown_is_said(served: HybridModel) -> None:
    n_untitled = 0
    for user in USERS:
        for line in why(served, user=user, k=20):
            # A creator without a name is a reason that nobody can put into words.
            sayable = [reason for reason in line.reasons if reason["type"] != "creator"]
            assert line.reasons if line.why else not sayable
            said = line.why or ""
            assert not {"None", "nan", "null"} & set(said.replace(".", " ").split())
            assert "“”" not in said
            assert "by ." not in said
            assert "by  " not in said
            n_untitled += "“track-" in said
            for reason in line.reasons:
                assert reason["bases"]
                assert np.isfinite(reason["contribution"])
                if reason["type"] in LABELS:
                    assert reason["evidence"]["name"]
    assert n_untitled > 0  # an item without a title is named by its id


def test_a_stranger_has_no_history_to_be_named(served: HybridModel) -> None:
    for how in ({}, {"genres": ("jazz",)}):
        lines = why(served, **how)
        assert len(lines) == 8
        for _, reason in reasons_of(lines):
            assert reason["evidence"]["items"] == []
            assert reason["type"] in {"popularity", "taste"}
    assert {r["type"] for _, r in reasons_of(why(served, genres=("jazz",)))} >= {"taste"}


def test_what_a_stranger_says_they_like_is_their_history(served: HybridModel) -> None:
    liked = {"track-001", "track-007"}
    named = {
        item
        for _, reason in reasons_of(why(served, items=sorted(liked)))
        for item in reason["evidence"]["items"]
    }
    assert named
    assert named <= liked


# -- asking ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", REQUESTS)
def test_explaining_changes_nothing_and_is_the_same_twice(
    served: HybridModel, how: dict[str, Any]
) -> None:
    lines = why(served, **how)
    assert lines == why(served, **how)
    bare = [replace(line, why=None, reasons=()) for line in lines]
    assert bare == served.recommend(**{"k": 8, **how})


@pytest.mark.parametrize("how", REQUESTS)
def test_whatever_is_asked_is_explained(plain: HybridModel, how: dict[str, Any]) -> None:
    lines = why(plain, **how)
    assert len(lines) == how.get("k", 8)
    # In the long tail of a list little speaks for an item; at the top of it something does.
    assert all(line.reasons for line in lines[:8])


def test_who_does_not_ask_pays_nothing(
    served: HybridModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("nobody asked why")

    monkeypatch.setattr(Explainer, "explain", refuse)
    monkeypatch.setattr(Explainer, "lifts", refuse)
    lines = served.recommend(user=USERS[0], k=5)
    assert [(line.why, line.reasons) for line in lines] == [(None, ())] * 5


def test_an_empty_list_needs_no_reasons(served: HybridModel) -> None:
    assert why(served, user=USERS[0], filters=Filters(allow=())) == []


# -- limits of uncertainty, and bundles ------------------------------------------------


def test_limits_and_reasons_survive_saving(model: HybridModel, tmp_path: Path) -> None:
    assert model.learned is not None
    limits = UncertaintyLimits(0.1, 0.2, 0.3)
    learned = replace(model.learned, limits=limits)
    made = HybridModel(
        model.dataset,
        model.config,
        model.bases,
        model.blend.choice,
        exclude_seen=True,
        seed=1,
        learned=learned,
    )
    made.save(tmp_path / "bundle")
    again = HybridModel.load(tmp_path / "bundle")
    assert again.explainer.limits == limits
    for user in USERS[:3]:
        assert why(again, user=user) == why(made, user=user)


def test_bundles_of_before_had_no_limits_and_load(model: HybridModel) -> None:
    assert model.learned is not None
    header, groups = replace(model.learned, limits=UncertaintyLimits(0, 1, 2)).packed()
    del header["limits"]
    again = LearnedBlend.unpacked(header, groups)
    assert again is not None
    assert again.limits is None


def test_only_models_that_state_uncertainty_have_limits(model: HybridModel) -> None:
    assert model.learned is not None
    query = model.query(USERS[0])
    (found,) = model.lists.serve(query, 8, model.config.ranking)
    assert (model.learned.limits is None) == bool(np.isnan(found.uncertainty).all())


# -- words -----------------------------------------------------------------------------


def test_the_words_of_the_settings_are_spoken(plain: HybridModel, tmp_path: Path) -> None:
    (tmp_path / "music.toml").write_text('[explain]\npack = "music"\n')
    told = load_toml(HybridConfig, tmp_path / "music.toml")
    config = plain.config.changed(explain=told.explain.model_dump())
    music = HybridModel(
        plain.dataset, config, plain.bases, plain.blend.choice, exclude_seen=True, seed=1
    )

    def said(model: HybridModel) -> str:
        return " ".join(line.why or "" for user in USERS for line in why(model, user=user))

    assert "you listen to" in said(music)
    assert "you listen to" not in said(plain)


def test_an_unknown_pack_is_one_error_before_anything_is_fitted(tmp_path: Path) -> None:
    (tmp_path / "opera.toml").write_text('[explain]\npack = "opera"\n')
    with pytest.raises(ConfigError) as caught:
        load_toml(HybridConfig, tmp_path / "opera.toml")
    (line,) = str(caught.value).splitlines()
    assert 'no file "opera.toml" for the pack; choose from books, generic, movies, music' in line
    with pytest.raises(ConfigError, match='"xx" for the language'):
        HybridConfig(explain={"language": "xx"})


# -- one item --------------------------------------------------------------------------


def test_a_listed_item_is_explained_as_in_the_list(served: HybridModel) -> None:
    free = RankingConfig(max_per_creator=0)
    for user in USERS[:4]:
        for line in why(served, user=user, ranking=free):
            assert served.explain(user, line.item_id) == line


def test_any_item_that_can_be_scored_is_explained(served: HybridModel) -> None:
    user = USERS[0]
    known = set(served.dataset.item_ids.decode(served.query(user).item_row))
    scores = served.blend.score_batch(served.query(user))[0]
    proposed = set(served.dataset.item_ids.decode(np.flatnonzero(~np.isnan(scores)).tolist()))
    alone = {item: served.explain(user, item) for item in served.dataset.item_ids.ids}
    assert known.isdisjoint(item for item, line in alone.items() if line is not None)
    found = {item: line for item, line in alone.items() if line is not None}
    if served.learned is None:
        assert set(found) == proposed
    else:
        assert set(found) > proposed  # every base proposes 20 items
    for _, reason in reasons_of(list(found.values())):
        assert set(reason["evidence"]["items"]) <= known


def test_one_item_is_explained_as_of_then(served: HybridModel) -> None:
    data, user = served.dataset, USERS[0]
    mine = data.events.filter(user_row=data.user_ids.row(user))
    moment = middle_of(mine)
    assert moment is not None
    past = mine.filter(pl.col("timestamp") < moment)["item_row"].to_numpy()
    first_later = mine.filter(pl.col("timestamp") >= moment)["item_row"].to_numpy()
    new = np.setdiff1d(first_later, past)
    found = [served.explain(user, item, as_of=moment) for item in data.item_ids.decode(new)]
    assert any(line is not None for line in found)
    assert served.explain(user, data.item_ids.id(int(past[0])), as_of=moment) is None


def test_who_or_what_is_unknown_is_named(served: HybridModel) -> None:
    with pytest.raises(UnknownIdError, match="nobody"):
        served.explain("nobody", "track-001")
    with pytest.raises(UnknownIdError, match="silence"):
        served.explain(USERS[0], "silence")


def test_a_request_is_not_told_apart_by_its_object(served: HybridModel) -> None:
    # What bases said of the last request is kept, by the object that it is.
    one, other = (served.query(user) for user in USERS[:2])
    (first,) = served.lists.serve(one, 8, served.config.ranking)
    served.lists.serve(other, 8, served.config.ranking)
    late = served.explainer.explain(one, first)
    copy: Queries = replace(one)
    (again,) = served.lists.serve(copy, 8, served.config.ranking)
    assert late == served.explainer.explain(copy, again)
