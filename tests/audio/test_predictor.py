import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.audio.catalogues import SURE, UNSURE, planted, without_audio

from crossfade.audio.config import AudioConfig
from crossfade.audio.folds import hold_out_creators
from crossfade.audio.inputs import creator_keys
from crossfade.audio.predictor import AudioPredictor
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.errors import BundleError, DataError, NotFittedError
from crossfade.features.audio import Source

ENERGY, TEMPO = AUDIO_FEATURES.index("energy"), AUDIO_FEATURES.index("tempo")
CONFIG = AudioConfig(
    folds=3, networks_per_fold=1, hidden=32, token_dropout=0, dropout=0, min_examples=12_000
)
QUICK = CONFIG.changed(folds=2, networks_per_fold=2, hidden=8, min_examples=600)


@pytest.fixture(scope="module")
def predictor() -> AudioPredictor:
    model = AudioPredictor(CONFIG)
    model.fit(planted(), seed=0)
    return model


@pytest.fixture(scope="module")
def new() -> pl.DataFrame:
    """Tracks of other creators, from the same rule."""
    return planted(n_creators=300, tracks_each=5, seed=1).with_columns(
        pl.concat_str(pl.lit("new "), "creator_id").alias("creator_id")
    )


def test_the_rule_is_found_again(predictor: AudioPredictor, new: pl.DataFrame) -> None:
    mean = predictor.predict(without_audio(new)).mean[:, ENERGY]
    rock = (new["genres"].list.first() == "rock").to_numpy()
    assert mean[rock].mean() == pytest.approx(0.7, abs=0.02)
    assert mean[~rock].mean() == pytest.approx(0.3, abs=0.02)


def test_the_spread_that_was_planted_is_found_again(
    predictor: AudioPredictor, new: pl.DataFrame
) -> None:
    sigma = predictor.predict(without_audio(new)).sigma[:, ENERGY]
    wild = (new["moods"].list.first() == "wild").to_numpy()
    # In truth 6 to 1. A mean that is itself a little off adds to the smaller one.
    assert np.median(sigma[wild]) == pytest.approx(UNSURE, rel=0.2)
    assert np.median(sigma[~wild]) < 2.5 * SURE


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover_as_often_as_they_say(
    predictor: AudioPredictor, new: pl.DataFrame, level: float
) -> None:
    low, high = predictor.interval(without_audio(new), level)
    truth = new.select(AUDIO_FEATURES).to_numpy()
    covered = ((truth >= low) & (truth <= high)).mean(axis=0)
    # Tracks are independent here: three binomial errors of 1,500 new and of 1,200 calibrating ones.
    error = 3 * np.sqrt(level * (1 - level) * (1 / 1_500 + 1 / 1_200))
    assert covered.min() > level - error
    # Only energy can be learned, and there all networks together err less than the one that guessed
    # a calibrating track: its interval may be too wide, never too narrow.
    assert np.delete(covered, ENERGY).max() < level + error


def test_wider_levels_give_wider_intervals(predictor: AudioPredictor, new: pl.DataFrame) -> None:
    half, most = (predictor.interval(without_audio(new), level) for level in (0.5, 0.9))
    assert (most[0] <= half[0]).all()
    assert (most[1] >= half[1]).all()
    assert (half[0] <= half[1]).all()


def test_the_report_says_what_new_creators_show(
    predictor: AudioPredictor, new: pl.DataFrame
) -> None:
    assert predictor.report is not None
    said = {feature.name: feature for feature in predictor.report.features}
    guess = predictor.predict(without_audio(new)).mean
    truth = new.select(AUDIO_FEATURES).to_numpy()
    for column, name in enumerate(AUDIO_FEATURES):
        rmse = np.sqrt(np.square(truth - guess)[:, column].mean())
        assert said[name].rmse == pytest.approx(rmse, rel=0.1)
        assert said[name].n == 1_200
    assert said["energy"].rmse < 0.6 * said["energy"].prior_rmse
    assert said["energy"].sharpness < 0.5


def test_actual_values_pass_untouched_and_the_rest_is_filled(
    predictor: AudioPredictor, new: pl.DataFrame
) -> None:
    some = pl.int_range(pl.len()) % 2 == 0
    partly = new.with_columns(pl.when(some).then("energy").alias("energy"))
    whole = predictor.complete(partly)
    even = np.arange(new.height) % 2 == 0
    assert whole["energy"].null_count() == 0
    assert whole.filter(even)["energy"].to_list() == new.filter(even)["energy"].to_list()
    assert whole.filter(even)["energy_sigma"].unique().to_list() == [0.0]
    assert whole.filter(even)["energy_source"].unique().to_list() == ["actual"]
    assert whole.filter(~even)["energy_source"].unique().to_list() == ["predicted"]
    assert (whole.filter(~even)["energy_sigma"] > 0).all()
    assert whole.drop("energy", "^.*_(sigma|source)$").equals(partly.drop("energy"))


def test_a_completed_catalogue_is_completed_to_the_same(
    predictor: AudioPredictor, new: pl.DataFrame
) -> None:
    once = predictor.complete(without_audio(new.head(50)))
    assert predictor.complete(once).equals(once)


def test_guesses_are_never_learned_from(predictor: AudioPredictor) -> None:
    guessed = predictor.complete(without_audio(planted()))
    with pytest.raises(DataError, match="no audio feature is known"):
        AudioPredictor(QUICK).fit(guessed, seed=0)


def test_popularity_and_ratings_change_nothing(new: pl.DataFrame) -> None:
    train = planted(60, 3)
    rng = np.random.default_rng(0)
    tempting = train.with_columns(
        popularity=100 * pl.col("energy"),
        rating=pl.col("valence"),
        critic_score=pl.Series(rng.random(train.height)),
        hit=pl.col("energy") > 0.5,
    )
    plain, tempted = AudioPredictor(QUICK), AudioPredictor(QUICK)
    plain.fit(train, seed=0)
    tempted.fit(tempting, seed=0)
    asked = without_audio(new.head(40))
    loud = asked.with_columns(popularity=pl.lit(99), rating=pl.lit(1.0), hit=pl.lit(value=True))
    np.testing.assert_array_equal(plain.predict(asked).mean, tempted.predict(loud).mean)
    np.testing.assert_array_equal(plain.predict(asked).sigma, tempted.predict(loud).sigma)


def test_equal_seeds_give_equal_guesses_and_others_do_not(new: pl.DataFrame) -> None:
    train, asked = planted(60, 3), without_audio(new.head(40))
    means = []
    for seed in (0, 0, 1):
        model = AudioPredictor(QUICK)
        model.fit(train, seed)
        means.append(model.predict(asked).mean)
    np.testing.assert_array_equal(means[0], means[1])
    assert (means[0] != means[2]).any()


def test_one_item_alone_is_guessed_as_among_others(
    predictor: AudioPredictor, new: pl.DataFrame
) -> None:
    asked = without_audio(new.head(7))
    together, alone = predictor.predict(asked), predictor.predict(asked[3])
    np.testing.assert_allclose(alone.mean[0], together.mean[3], rtol=1e-5)
    np.testing.assert_allclose(alone.sigma[0], together.sigma[3], rtol=1e-5)
    assert predictor.predict(asked.clear()).mean.shape == (0, 8)
    assert predictor.interval(asked.clear())[0].shape == (0, 8)


def test_saving_and_loading_change_nothing(
    predictor: AudioPredictor, new: pl.DataFrame, tmp_path: Path
) -> None:
    predictor.save(tmp_path / "model")
    loaded = AudioPredictor.load(tmp_path / "model")
    asked = without_audio(new.head(100))
    for name in ("mean", "sigma", "source"):
        np.testing.assert_array_equal(
            getattr(loaded.predict(asked), name), getattr(predictor.predict(asked), name)
        )
    for ours, theirs in zip(loaded.interval(asked), predictor.interval(asked), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)  # scores are kept as 32-bit numbers
    assert loaded.report == predictor.report
    assert loaded.config == predictor.config


def test_another_bundle_is_no_predictor(predictor: AudioPredictor, tmp_path: Path) -> None:
    predictor.save(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "model": "hybrid"}))
    with pytest.raises(BundleError, match="holds no audio predictor"):
        AudioPredictor.load(tmp_path)


# -- what is known of creators ---------------------------------------------------------


def test_other_tracks_of_a_creator_help() -> None:
    # Each creator has a level of valence of their own; words and labels say nothing of it.
    items = planted()
    rng = np.random.default_rng(0)
    level = np.repeat(rng.uniform(0.1, 0.9, 200), 6)
    own = np.clip(level + rng.normal(0, 0.03, len(level)), 0, 1)
    items = items.with_columns(pl.Series("valence", own, dtype=pl.Float32))
    last = pl.int_range(pl.len()) % 6 == 5
    model = AudioPredictor(CONFIG)
    model.fit(items.filter(~last), seed=0)
    asked = items.filter(last)
    known = model.predict(without_audio(asked))
    strange = model.predict(without_audio(asked.with_columns(pl.lit("nobody").alias("creator_id"))))
    truth, column = asked["valence"].to_numpy(), AUDIO_FEATURES.index("valence")
    errors = [np.sqrt(np.square(g.mean[:, column] - truth).mean()) for g in (known, strange)]
    assert errors[0] < 0.5 * errors[1]
    assert np.median(known.sigma[:, column]) < 0.6 * np.median(strange.sigma[:, column])


# -- bad input -------------------------------------------------------------------------


def test_nothing_known_gives_the_prior(predictor: AudioPredictor) -> None:
    asked = pl.DataFrame({"item_id": ["x"], "title": ["🎵"], "genres": [["zouk"]]})
    guess, (low, high) = predictor.predict(asked), predictor.interval(asked)
    train = planted().select(AUDIO_FEATURES).to_numpy()
    assert (guess.source == Source.PRIOR).all()
    np.testing.assert_allclose(guess.mean[0], train.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(guess.sigma[0], train.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(low[0], np.quantile(train, 0.05, axis=0), rtol=1e-4)
    np.testing.assert_allclose(high[0], np.quantile(train, 0.95, axis=0), rtol=1e-4)


def test_a_catalogue_of_ids_only_gets_priors(predictor: AudioPredictor) -> None:
    guess = predictor.predict(pl.DataFrame({"item_id": ["x", "y"]}))
    assert (guess.source == Source.PRIOR).all()
    assert np.isfinite(guess.mean).all()


def test_a_feature_nobody_knows_stays_missing(new: pl.DataFrame) -> None:
    train = planted(60, 3).with_columns(pl.lit(None, dtype=pl.Float32).alias("liveness"))
    model = AudioPredictor(QUICK)
    report = model.fit(train.drop("speechiness"), seed=0)
    guess, (low, high) = model.predict(new), model.interval(new)
    for name in ("liveness", "speechiness"):
        column = AUDIO_FEATURES.index(name)
        assert np.isnan([guess.mean[:, column], guess.sigma[:, column]]).all()
        assert np.isnan([low[:, column], high[:, column]]).all()
        assert (guess.source[:, column] == Source.MISSING).all()
    assert len(report.features) == 6
    assert np.isfinite(guess.mean[:, ENERGY]).all()


def test_a_feature_that_never_changes_is_guessed_as_it_is(
    new: pl.DataFrame, tmp_path: Path
) -> None:
    train = planted(60, 3).with_columns(pl.lit(0.25, dtype=pl.Float32).alias("liveness"))
    model = AudioPredictor(QUICK)
    report = model.fit(train, seed=0)
    column = AUDIO_FEATURES.index("liveness")
    assert model.predict(new).mean[:, column] == pytest.approx(0.25, abs=1e-6)
    # No guess was off, so surest and least sure cannot be compared, and saving says so.
    model.save(tmp_path / "model")
    loaded = AudioPredictor.load(tmp_path / "model").report
    assert loaded is not None
    assert loaded.rows() == report.rows()
    assert report.rows()[1 + column][-1] == "–"


@pytest.mark.parametrize(
    "items", [planted(1, 1), without_audio(planted(60, 3)), planted(60, 3).clear()]
)
def test_too_little_to_learn_from_is_said(items: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"10 creators or more, too few .* lower min_creators"):
        AudioPredictor(QUICK).fit(items, seed=0)


def test_values_out_of_range_are_refused_before_anything_is_learned() -> None:
    items = planted(60, 3).with_columns(pl.col("tempo") / 60)
    with pytest.raises(DataError, match="may be beats per second, then multiply by 60"):
        AudioPredictor(QUICK).fit(items, seed=0)


def test_an_unfitted_predictor_says_so(new: pl.DataFrame, tmp_path: Path) -> None:
    model = AudioPredictor()
    for ask in (
        lambda: model.predict(new),
        lambda: model.interval(new),
        lambda: model.save(tmp_path),
    ):
        with pytest.raises(NotFittedError, match="learned nothing yet"):
            ask()


@pytest.mark.parametrize("level", [0, 1, 90])
def test_a_level_is_a_share(predictor: AudioPredictor, new: pl.DataFrame, level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        predictor.interval(new, level)


# -- real data -------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_on_real_tracks_of_unknown_creators(real_data: Callable[[str], Path]) -> None:
    tracks = pl.read_parquet(real_data("spotify-tracks") / "tracks.parquet").select(
        "title",
        "genres",
        *AUDIO_FEATURES,
        item_id="spotify_id",
        creator="artist",
        creator_id="artist_key",
        collection="album",
        moods=pl.col("lastfm_tags"),
        duration_ms=pl.col("duration_ms").cast(pl.Int64),
        release_date=pl.date("release_year", 1, 1),
    )
    part = tracks.filter(hold_out_creators(creator_keys(tracks), 1 / 8, 0))
    held_out = hold_out_creators(creator_keys(part), 0.25, 1)
    train, test = part.filter(~held_out), part.filter(held_out)
    model = AudioPredictor(AudioConfig(folds=3, networks_per_fold=1))
    model.fit(train, seed=0)
    guess, (low, high) = model.predict(test), model.interval(test)
    truth = test.select(AUDIO_FEATURES).to_numpy()
    rmse = np.sqrt(np.square(guess.mean - truth).mean(axis=0))
    plain = np.sqrt(np.square(train.select(AUDIO_FEATURES).mean().to_numpy() - truth).mean(axis=0))
    covered = ((truth >= low) & (truth <= high)).mean(axis=0)
    assert ((rmse / plain)[[ENERGY, AUDIO_FEATURES.index("acousticness")]] < 0.93).all()
    assert (rmse < 1.01 * plain).all()
    # Some 600 creators with up to hundreds of tracks each: far fewer independent cases than tracks.
    assert (np.abs(covered - 0.9) < 0.05).all()
