"""The two-tower recommender: who and what it serves, and what its numbers rest on."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.recommenders.two_tower.networks import assert_one_version, items_of, towers_of
from torch.nn.functional import normalize

from crossfade.data import Dataset, Queries
from crossfade.data.query import Taste
from crossfade.recommenders.base import EVIDENCE
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.examples import user_batch
from crossfade.recommenders.two_tower.recommender import TwoTower
from crossfade.recommenders.two_tower.serving import unit

N_ITEMS = 23
JAZZ, METAL, NEW_JAZZ, NEW_METAL, BLANK = slice(0, 10), slice(10, 20), 20, 21, 22


@pytest.fixture(scope="module")
def fitted(two_camps: Dataset, quick: TwoTowerConfig) -> TwoTower:
    return TwoTower(quick).fit(two_camps, seed=1)


def liking(*rows: int) -> Queries:
    return Queries.of_items(rows, N_ITEMS)


def stating(genre: str) -> Queries:
    asked = liking()
    return Queries(**{**vars(asked), "tastes": (Taste(genres=(genre,)),)})


# -- numbers ---------------------------------------------------------------------------------


def test_numpy_answers_as_the_trained_network_would(fitted: TwoTower, two_camps: Dataset) -> None:
    network, pooled = towers_of(fitted), torch.from_numpy(fitted.state()["net0.pooled"])
    everything = np.arange(N_ITEMS, dtype=np.int32)
    for queries in (two_camps.queries(range(40)), liking(), liking(0, 13), stating("metal")):
        with torch.no_grad():
            inputs = user_batch(fitted._reader.read(queries), everything)
            expected = network.user(inputs, pooled).numpy()
        np.testing.assert_allclose(fitted._vectors(queries)[0], expected, atol=1e-5, rtol=1e-5)


def test_everything_that_is_served_comes_from_one_training(
    fitted: TwoTower, two_camps: Dataset
) -> None:
    assert_one_version(fitted, two_camps)


def test_a_score_is_the_cosine_over_the_temperature(fitted: TwoTower, two_camps: Dataset) -> None:
    vectors = fitted.embeddings()
    assert vectors is not None
    cosines = vectors.user[3] @ vectors.item[:22].T
    scores = fitted.score_batch(two_camps.queries([3]))[0, :22]
    np.testing.assert_allclose(scores, cosines / fitted.health["temperature"], rtol=1e-4)


def test_several_networks_answer_with_the_mean_of_their_scores(
    two_camps: Dataset, quick: TwoTowerConfig
) -> None:
    config = quick.changed(n_networks=2, examples={"min_steps": 5})
    model, queries = TwoTower(config).fit(two_camps, seed=3), two_camps.queries([3, 4])
    alone = []
    for place, network in enumerate(model._networks):
        user = unit(model._vectors(queries)[place])
        item = unit(model.state()["item"].astype(np.float32)[:22, 8 * place : 8 * place + 8])
        alone.append(user @ item.T / network.temperature)
    assert model._networks[0].temperature != model._networks[1].temperature
    assert np.abs(alone[0] - alone[1]).max() > 0.1  # trained from seeds of their own
    np.testing.assert_allclose(
        model.score_batch(queries)[:, :22], np.mean(alone, axis=0), atol=1e-5
    )
    vectors = model.embeddings()
    assert vectors is not None
    np.testing.assert_allclose(np.linalg.norm(vectors.user, axis=1), 1, rtol=1e-5)
    assert len(model.health["training"]) == 2


def test_embeddings_are_unit_vectors_and_nan_for_what_is_unknown(fitted: TwoTower) -> None:
    vectors = fitted.embeddings()
    assert vectors is not None
    assert vectors.user.shape == (40, 8)
    assert vectors.item.shape == (N_ITEMS, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors.user, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors.item[:22], axis=1), 1, rtol=1e-5)
    assert np.isnan(vectors.item[BLANK]).all()


# -- who and what is served --------------------------------------------------------------------


def test_each_camp_gets_its_own_songs(fitted: TwoTower, two_camps: Dataset) -> None:
    scores = fitted.score_batch(two_camps.queries(range(40)))
    assert (scores[0::2, JAZZ].min(axis=1) > scores[0::2, METAL].max(axis=1)).all()
    assert (scores[1::2, METAL].min(axis=1) > scores[1::2, JAZZ].max(axis=1)).all()


def test_a_new_song_goes_by_what_it_is(fitted: TwoTower, two_camps: Dataset) -> None:
    scores = fitted.score_batch(two_camps.queries([0, 1]))
    assert scores[0, NEW_JAZZ] > scores[0, NEW_METAL]
    assert scores[1, NEW_JAZZ] < scores[1, NEW_METAL]


def test_a_song_of_which_nothing_is_known_has_no_score(
    fitted: TwoTower, two_camps: Dataset
) -> None:
    scores = fitted.score_batch(two_camps.queries(range(40)))
    assert np.isnan(scores[:, BLANK]).all()
    assert np.isfinite(scores[:, :BLANK]).all()


def test_nobody_at_all_and_somebody_with_one_song_are_served(fitted: TwoTower) -> None:
    nobody = fitted.score_batch(liking())[0, :22]
    assert np.isfinite(nobody).all()
    stranger = fitted.score_batch(liking(12))[0]
    assert stranger[METAL].min() > stranger[JAZZ].max()


def test_a_song_nobody_played_counts_in_a_history(fitted: TwoTower) -> None:
    scores = fitted.score_batch(liking(NEW_METAL))[0]
    assert scores[METAL].mean() > scores[JAZZ].mean()


@pytest.mark.parametrize(
    ("genre", "wanted", "other"), [("Jazz", JAZZ, METAL), ("metal", METAL, JAZZ)]
)
def test_a_stated_taste_moves_the_list(
    fitted: TwoTower, genre: str, wanted: slice, other: slice
) -> None:
    scores = fitted.score_batch(stating(genre))[0]
    assert scores[wanted].min() > scores[other].max()
    assert TwoTower.reads_tastes


def test_a_genre_nobody_knows_changes_nothing_but_is_no_fault(fitted: TwoTower) -> None:
    assert np.isfinite(fitted.score_batch(stating("polka"))[0, :22]).all()


def test_similar_songs_are_of_the_same_camp(fitted: TwoTower) -> None:
    similar = fitted.similar(4)
    assert similar is not None
    assert np.isnan(similar[[4, BLANK]]).all()
    assert np.nanmin(similar[JAZZ]) > similar[METAL].max()
    assert similar[NEW_JAZZ] > similar[NEW_METAL]
    of_blank = fitted.similar(BLANK)
    assert of_blank is not None
    assert np.isnan(of_blank).all()


def test_evidence_says_how_close_the_nearest_song_of_the_history_is(fitted: TwoTower) -> None:
    place = EVIDENCE.index("neighbour_similarity")
    evidence = fitted.score(liking(3, 15), [3, 7, BLANK]).evidence[:, place]
    vectors = fitted.embeddings()
    assert vectors is not None
    assert evidence[0] == pytest.approx(1, abs=1e-5)
    assert evidence[1] == pytest.approx(
        float((vectors.item[[3, 15]] @ vectors.item[7]).max()), abs=1e-5
    )
    assert np.isnan(evidence[2])
    assert np.isnan(fitted.score(liking(BLANK), [3]).evidence[0, place])


# -- saving and health -------------------------------------------------------------------------


def test_state_is_the_whole_model_with_its_text_encoder(
    fitted: TwoTower, two_camps: Dataset
) -> None:
    restored = TwoTower.restore(fitted.config.model_dump(mode="json"), fitted.state())
    queries = two_camps.queries(range(40))
    np.testing.assert_array_equal(restored.score_batch(queries), fitted.score_batch(queries))
    assert restored.health == fitted.health
    assert_one_version(restored, two_camps)
    again = restored.state()
    assert again.keys() == fitted.state().keys()
    for name, array in fitted.state().items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_health_is_measured_and_does_not_depend_on_the_clock(
    fitted: TwoTower, two_camps: Dataset
) -> None:
    health = fitted.health
    assert health["positive"]["mean"] > health["random"]["mean"]
    assert 0 <= health["alignment"] <= 4
    assert health["user_uniformity"] < 0
    assert health["item_norm"]["n"] == 22
    assert health["neighbour_overlap"] is None
    assert 0.01 <= health["temperature"] <= 1
    assert health["training"][0]["loss"][-1] < health["training"][0]["loss"][0]
    text = json.dumps(health)
    assert "seconds" not in text
    assert "per_s" not in text
    again = TwoTower(fitted.config).fit(two_camps, seed=1)
    assert json.dumps(again.health) == text


# -- settings ------------------------------------------------------------------------------------


def separates(model: TwoTower, data: Dataset) -> float:
    """Mean advantage of one's own camp, in score."""
    scores = model.score_batch(data.queries(range(40)))
    jazz = scores[:, JAZZ].mean(axis=1) - scores[:, METAL].mean(axis=1)
    return float(np.concatenate([jazz[0::2], -jazz[1::2]]).mean())


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": {"kind": "cosine"}},
        {"loss": {"n_candidates": 8}},
        {"loss": {"hard_negatives": 3, "hard_from": 0.2}},
        {"examples": {"min_steps": 60, "order": "future"}},
        {"item": {"id_residual": False, "hidden": (16,), "dropout": (0.1,)}},
        {"user": {"id_dim": 4, "half_life_days": 30.0}},
    ],
    ids=["cosine", "sampled candidates", "hard negatives", "future", "content alone", "user id"],
)
def test_every_variant_tells_the_camps_apart(
    two_camps: Dataset, quick: TwoTowerConfig, settings: dict[str, Any]
) -> None:
    model = TwoTower(TwoTowerConfig(**{**quick.model_dump(), **settings})).fit(two_camps)
    assert separates(model, two_camps) > 0.5


def untimed(data: Dataset) -> Dataset:
    names = {"user_id": data.user_ids, "item_id": data.item_ids}
    columns = {
        name: ids.decode(data.events[name.replace("_id", "_row")].to_numpy())
        for name, ids in names.items()
    }
    return Dataset.build(pl.DataFrame(columns), data.items)


@pytest.mark.parametrize("change", [lambda data: data, untimed], ids=["timed", "untimed"])
def test_the_documented_form_learns(
    two_camps: Dataset, change: Callable[[Dataset], Dataset]
) -> None:
    config = TwoTowerConfig(form="documented", examples={"min_steps": 60}, train={"lr": 3e-3})
    data = change(two_camps)
    model = TwoTower(config).fit(data)
    weights = model.state()
    assert weights["net0.item.layers.0.weight"].shape == (256, 492)
    assert weights["net0.user.layers.0.weight"].shape == (128, 92)
    assert separates(model, data) > 0.1


def test_users_held_out_stop_training_early(two_camps: Dataset, quick: TwoTowerConfig) -> None:
    config = quick.changed(
        examples={"min_steps": 200, "validation_users": 8},
        train={**quick.train.model_dump(), "patience": 2},
    )
    course = TwoTower(config).fit(two_camps).health["training"][0]
    assert len(course["validation"]) == len(course["loss"]) < 200
    assert course["stopped_early"]


def test_a_guess_moves_a_song_less_than_a_fact(fitted: TwoTower, two_camps: Dataset) -> None:
    network, items = towers_of(fitted), items_of(fitted, two_camps)
    songs = items.audio[:22]
    energy = songs.abs().sum(dim=0).argmax()

    def change(confidence: float) -> float:
        """How far wrong audio of this confidence takes the songs, as a share of its worth."""
        sure = items.confidence.clone()
        sure[:, energy] = confidence
        wrong = items.audio.clone()
        wrong[:, energy] = -wrong[:, energy]
        with torch.no_grad():
            right, other = (
                normalize(network.item(replace(items, audio=audio, confidence=sure))[0][:22], dim=1)
                for audio in (items.audio, wrong)
            )
        return float((right - other).norm(dim=1).mean())

    assert change(1.0) > 0.02  # it listens at all
    assert change(0.2) < 0.4 * change(1.0)
    assert change(0.0) == 0


# -- unusual catalogues ----------------------------------------------------------------------------


def log_of(items: pl.DataFrame | None = None, n: int = 3) -> Dataset:
    """Four users who each played two of ``n`` items."""
    rows = [(f"u{u}", f"s{(u + k) % n}") for u in range(4) for k in range(min(2, n))]
    return Dataset.build(pl.DataFrame(rows, ["user_id", "item_id"], orient="row"), items)


def catalogue(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"item_id": ["s0", "s1", "s2", "new"], **columns})


AUDIO = ("energy", "valence", "danceability", "tempo")
UNUSUAL: dict[str, tuple[Dataset, bool]] = {
    "one item": (log_of(n=1), True),
    "one event": (Dataset.build(pl.DataFrame({"user_id": ["u"], "item_id": ["s0"]})), True),
    "no text at all": (log_of(catalogue(genres=[["a"], ["b"], None, ["a"]])), True),
    "nothing at all": (log_of(catalogue()), False),
    "only emoji": (log_of(catalogue(title=["🎷", "🎸🎸", "🥁", "🎷🎷"])), True),
    "a long title": (log_of(catalogue(title=["a b " * 25_000, "c", "d", "a b"])), True),
    "genres training never saw": (log_of(catalogue(genres=[["a"], ["b"], ["a"], ["zzz"]])), True),
    "audio all missing": (
        log_of(
            catalogue(title=["ab", "cd", "ef", "ab"], **dict.fromkeys(AUDIO, [None] * 4)).cast(
                dict.fromkeys(AUDIO, pl.Float32)
            )
        ),
        True,
    ),
}


@pytest.mark.parametrize(("data", "new_is_known"), UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("form", ["default", "documented"])
def test_an_unusual_catalogue_is_served_or_masked(
    data: Dataset, new_is_known: bool, form: str
) -> None:
    examples, train = {"min_steps": 2}, {"epochs": 2}
    model = TwoTower(TwoTowerConfig(form=form, examples=examples, train=train)).fit(data)
    scores = model.score_batch(data.queries(range(data.n_users)))
    assert scores.shape == (data.n_users, data.n_items)
    assert not np.isinf(scores).any()
    if form == "default":  # it has vectors for items of their own
        played = data.known_items(None)
        assert np.isfinite(scores[:, played]).all()
    if data.n_items == 4:
        new = data.item_ids.row("new")
        assert np.isfinite(scores[:, new]).all() == new_is_known
    restored = TwoTower.restore(model.config.model_dump(mode="json"), model.state())
    np.testing.assert_array_equal(restored.score_batch(data.queries(range(data.n_users))), scores)
