"""What scores of the towers owe to sound and to ratings: only what is there, and only what is true."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.recommenders.two_tower.networks import items_of, towers_of

from crossfade.data import Dataset, Queries
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.features.acclaim import ACCLAIM_FEATURES
from crossfade.features.items import ItemArrays
from crossfade.recommenders.attribution import NONE, Attribution, without
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.inputs import from_middle
from crossfade.recommenders.two_tower.parts import differences
from crossfade.recommenders.two_tower.recommender import TwoTower
from crossfade.recommenders.two_tower.serving import unit
from crossfade.types import Doubles, Floats

SOFT, LOUD = range(10), range(10, 20)
NEW_SOFT, NEW_LOUD, GUESSED, VAGUE, SILENT = range(20, 25)
N_ITEMS = 25


@pytest.fixture(scope="module")
def two_sounds() -> Dataset:
    """40 listeners, one half of soft songs, one of loud ones; nothing but sound tells them apart.

    Nobody has played the last five: a soft song, a loud one, one guessed to be soft, one of
    which the same guess is worth nothing, and one with a genre alone.
    """
    rng = np.random.default_rng(0)
    rows = []
    for user in range(40):
        songs = rng.permutation(10)[:7] + 10 * (user % 2)
        rows += [(f"u{user:02d}", f"s{song:02d}", 1 + (song + user) % 5) for song in songs]
    loud = np.array([0.0] * 10 + [1.0] * 10 + [0, 1, 0, 0, 0])
    audio = 0.2 + 0.6 * loud[:, None] + 0.05 * rng.random((N_ITEMS, 8))
    audio[:, 7] = 60 + 100 * audio[:, 7]
    columns: dict[str, Any] = {"item_id": [f"s{song:02d}" for song in range(N_ITEMS)]}
    for place, name in enumerate(AUDIO_FEATURES):
        width = 1.0 if name != "tempo" else 270.0
        source, sigma = np.array(["actual"] * N_ITEMS, dtype=object), np.zeros(N_ITEMS)
        source[[GUESSED, VAGUE]] = "predicted"
        sigma[[GUESSED, VAGUE]] = np.array([0.05, 2.0]) * width
        columns[name] = pl.Series(audio[:, place], dtype=pl.Float32).set(
            pl.Series(np.arange(N_ITEMS) == SILENT), None
        )
        columns[f"{name}_source"] = pl.Series(source.tolist(), dtype=pl.String)
        columns[f"{name}_sigma"] = pl.Series(sigma, dtype=pl.Float32)
    columns["genres"] = [None] * (N_ITEMS - 1) + [["hush"]]
    events = pl.DataFrame(rows, ["user_id", "item_id", "value"], orient="row")
    return Dataset.build(
        events,
        pl.DataFrame(columns, schema_overrides={"genres": pl.List(pl.String)}),
        name="two sounds",
    )


@pytest.fixture(scope="module")
def fitted(two_sounds: Dataset, quick: TwoTowerConfig) -> TwoTower:
    return TwoTower(quick).fit(two_sounds, seed=1)


def parts_of(found: Attribution, place: int, name: str) -> dict[int, float]:
    """Parts of one score that are owed to something, by item of the history."""
    mine = (found.place == place) & (found.attribute == found.attributes.index(name))
    return dict(zip(found.history_row[mine].tolist(), found.part[mine].tolist(), strict=True))


# -- how alike two items sound ---------------------------------------------------------------


def test_a_difference_by_hand() -> None:
    audio = np.full((3, 8), np.nan, dtype=np.float32)
    sure = np.zeros((3, 8), dtype=np.float32)
    audio[:, 0], sure[:, 0] = [0.2, 0.5, 0.5], [1.0, 1.0, 0.25]
    audio[:2, 1], sure[:2, 1] = [0.3, 0.3], 1.0
    empty = np.zeros(0, dtype=np.int32)
    nothing = np.zeros(4, dtype=np.int64)
    zeros = np.zeros((3, 2), dtype=np.float32)
    items = ItemArrays(empty, nothing, empty, nothing, empty, audio, sure, zeros)
    spread: Doubles = np.array([0.1, 0.0, *[np.nan] * 6])
    rows = np.array([0], dtype=np.int32), np.array([1, 2], dtype=np.int32)
    difference, measured = differences(items, spread, *rows)
    # Three deviations apart, and 0.75 of a variance is in doubt; a constant tells nothing.
    np.testing.assert_allclose(difference[0, :, 0], [9.0, 9.75], rtol=1e-5)
    assert np.isnan(difference[0, :, 1:]).all()
    assert measured[0, :, 0].tolist() == [True, False]


# -- what is hidden --------------------------------------------------------------------------


def hidden_by_torch(
    model: TwoTower, data: Dataset, hide: Callable[[Any], Any]
) -> tuple[Floats, Floats]:
    with torch.no_grad():
        found, pooled = towers_of(model).item(hide(items_of(model, data)))
    return unit(found.numpy()), pooled.numpy()


@pytest.fixture(scope="module")
def rated(two_sounds: Dataset, quick: TwoTowerConfig) -> TwoTower:
    """A network that reads ratings too."""
    config = quick.changed(
        item={**quick.item.model_dump(), "rating_dim": 4},
        examples={"min_steps": 60, "order": "future"},
    )
    return TwoTower(config).fit(two_sounds, seed=2)


@pytest.mark.parametrize("which", ["fitted", "rated"])
def test_hidden_sound_is_what_the_tower_says_without_it(
    which: str, two_sounds: Dataset, request: pytest.FixtureRequest
) -> None:
    def deaf(items: Any) -> Any:
        return replace(items, audio=items.audio * 0, confidence=items.confidence * 0)

    model: TwoTower = request.getfixturevalue(which)
    found, pooled = hidden_by_torch(model, two_sounds, deaf)
    np.testing.assert_allclose(model._hidden["sound"], found, atol=1e-5)
    assert np.abs(model._hidden["sound"] - model._item)[:24].max() > 0.01
    (network,) = model._networks
    items = model._reader.items
    sound = network.sound(from_middle(items.audio), items.audio_confidence, model.config.item)
    np.testing.assert_allclose(network.pooled - sound, pooled, atol=1e-5)


def test_sound_is_kept_only_where_there_is_any(
    two_camps: Dataset, two_sounds: Dataset, quick: TwoTowerConfig
) -> None:
    brief = quick.changed(examples={"min_steps": 2})
    deaf = brief.changed(item={**brief.item.model_dump(), "audio_dim": 0})
    silent = replace(two_sounds, items=two_sounds.items.select("item_id", "genres"))
    query = Queries.of_items([0, 1], N_ITEMS)
    for model in (TwoTower(deaf).fit(two_sounds), TwoTower(brief).fit(silent)):
        assert model._hidden == {}
        found = model.attribute(query, [NEW_SOFT])
        assert found is not None
        assert not (found.attribute >= 0).any()
    assert set(TwoTower(brief).fit(two_camps)._hidden) == {"sound"}


# -- reasons ---------------------------------------------------------------------------------


def test_a_new_song_owes_its_score_to_songs_that_sound_alike(
    fitted: TwoTower, two_sounds: Dataset
) -> None:
    for user, new, camp in ((0, NEW_SOFT, SOFT), (1, NEW_LOUD, LOUD)):
        found = fitted.attribute(two_sounds.queries([user]), [new, SILENT])
        assert found is not None
        alike = parts_of(found, 0, "sound")
        assert set(alike) <= set(camp)
        assert sum(alike.values()) > 0.1
        assert parts_of(found, 0, "guessed_sound") == {}
        # Of the other nobody knows how it sounds.
        assert np.isfinite(found.rest[1])
        assert parts_of(found, 1, "sound") == parts_of(found, 1, "guessed_sound") == {}


def test_what_does_not_sound_alike_is_not_said_to(fitted: TwoTower) -> None:
    mixed = Queries.of_items([0, 1, 10, 11, SILENT], N_ITEMS)
    found = fitted.attribute(mixed, [NEW_SOFT, NEW_LOUD])
    assert found is not None
    assert set(parts_of(found, 0, "sound")) == {0, 1}
    assert set(parts_of(found, 1, "sound")) == {10, 11}


def test_a_guess_is_called_one_and_a_vague_one_is_worth_nothing(
    fitted: TwoTower, two_sounds: Dataset
) -> None:
    found = fitted.attribute(two_sounds.queries([0]), [GUESSED, VAGUE])
    assert found is not None
    assert parts_of(found, 0, "sound") == parts_of(found, 1, "sound") == {}
    assert sum(parts_of(found, 0, "guessed_sound").values()) > 0.05
    assert parts_of(found, 1, "guessed_sound") == {}
    # Likewise where what is guessed is in the history.
    found = fitted.attribute(Queries.of_items([0, GUESSED, VAGUE], N_ITEMS), [NEW_SOFT])
    assert found is not None
    assert set(parts_of(found, 0, "sound")) == {0}
    assert set(parts_of(found, 0, "guessed_sound")) == {GUESSED}


def test_sound_is_part_of_what_an_item_of_the_history_gives(
    fitted: TwoTower, two_sounds: Dataset
) -> None:
    query, asked = two_sounds.queries([0]), list(range(N_ITEMS))
    found = fitted.attribute(query, asked)
    assert found is not None
    score = fitted.score(query, asked).score
    np.testing.assert_allclose(found.totals(), score, rtol=1e-4)
    row = int(query.item_row[0])
    less = score - fitted.score(without(query, [row]), asked).score
    given = [found.by_history(place)[row] for place in asked]
    np.testing.assert_allclose(given, less, atol=1e-4)


def test_who_did_nothing_hears_of_no_sound(fitted: TwoTower) -> None:
    found = fitted.attribute(Queries.of_items([], N_ITEMS), [NEW_SOFT])
    assert found is not None
    assert not len(found.part)


def test_saving_keeps_it_and_older_networks_have_none(
    fitted: TwoTower, two_sounds: Dataset
) -> None:
    query, settings, state = two_sounds.queries([0]), fitted.config.model_dump(), fitted.state()
    before = fitted.attribute(query, [NEW_SOFT])
    after = TwoTower.restore(settings, state).attribute(query, [NEW_SOFT])
    assert before is not None
    assert after is not None
    assert parts_of(after, 0, "sound") == parts_of(before, 0, "sound")
    old = {name: array for name, array in state.items() if not name.startswith("hidden.")}
    early = TwoTower.restore(settings, old).attribute(query, [NEW_SOFT])
    assert early is not None
    np.testing.assert_allclose(early.totals(), before.totals(), rtol=1e-5)
    assert not (early.attribute >= 0).any()


# -- ratings ---------------------------------------------------------------------------------


def test_a_score_owes_to_ratings_what_it_loses_without_the_mean(
    rated: TwoTower, fitted: TwoTower, two_sounds: Dataset
) -> None:
    def unrated(items: Any) -> Any:
        place = [feature.name for feature in ACCLAIM_FEATURES].index("mean_rating")
        rating = items.rating.clone()
        rating[:, [place, 5 + place]] = 0.0  # the value, and that there is one
        return replace(items, rating=rating)

    query, asked = two_sounds.queries([0]), list(range(N_ITEMS))
    found = rated.attribute(query, asked)
    assert found is not None
    hidden, _ = hidden_by_torch(rated, two_sounds, unrated)
    user = unit(rated._vectors(query)[0])[0]
    lost = (rated._item - hidden) @ user / rated.health["temperature"]
    owed = [parts_of(found, place, "acclaim").get(NONE, 0.0) for place in asked]
    np.testing.assert_allclose(owed, lost, atol=1e-4)
    assert np.abs(lost[:20]).max() > 1e-3
    np.testing.assert_allclose(lost[20:], 0, atol=1e-5)  # nobody has rated these
    np.testing.assert_allclose(found.totals(), rated.score(query, asked).score, rtol=1e-4)
    assert "acclaim" not in fitted._hidden
