"""Guessed audio values on a public set: made by the predictor, read by a gate, carried to its scores."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossfade.audio.config import AudioConfig
from crossfade.audio.predictor import AudioPredictor
from crossfade.cli.app import run
from crossfade.data import Dataset, load_dataset
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.evaluation import EvaluationConfig
from crossfade.features.audio import AudioFeatures, Source
from crossfade.fusion.base import LabelledSignals
from crossfade.meta.answers import answered, doubt_of
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.context import ContextReader
from crossfade.meta.experiment import run_experiment
from crossfade.meta.learning import learn
from crossfade.meta.lists import FusedScorer, ListBuilder
from crossfade.rng import generator
from crossfade.types import Bools, Floats

CONFIGS = Path(__file__).parents[2] / "configs"
RealData = Callable[[str], Path]

BASES: dict[str, dict[str, object]] = {"popularity": {}, "item_knn": {}, "genre_item_knn": {}}
BLEND = BlendConfig(fusion="meta", min_requests=10)
USER = ProtocolConfig(name="user")
QUICK = EvaluationConfig(resamples=100, flips=100)
ROWS = ["spread from guessed audio values", "both together"]


@pytest.fixture(scope="module")
def measured(real_data: RealData, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """SiTunes as it is: no audio value is a guess."""
    source, to = real_data("situnes"), tmp_path_factory.mktemp("situnes") / "dataset"
    mapping = ["--mapping", str(CONFIGS / "situnes.toml")]
    assert run(["import", "--format", "table", str(source), *mapping, "--to", str(to)]) == 0
    return load_dataset(to)


@pytest.fixture(scope="module")
def completed(measured: Dataset) -> Dataset:
    """The audio values of half the tracks are taken away and guessed."""
    away = pl.Series(generator(0, "test.away").random(measured.n_items) < 0.5)
    names = [name for name in AUDIO_FEATURES if name in measured.items.columns]
    items = measured.items.with_columns(
        pl.when(~away).then(pl.col(name)).alias(name) for name in names
    )
    predictor = AudioPredictor(AudioConfig(min_examples=2_000))
    predictor.fit(items, seed=0)
    return replace(measured, items=predictor.complete(items))


def listed(data: Dataset) -> Iterator[tuple[LabelledSignals, Floats, Floats]]:
    """Test lists, the gate's scores, and how far guesses move them."""
    plan = make_plan(data, USER)
    learned = learn(plan, BASES, BLEND, ["meta"], seed=0)
    trial = plan.tests[0]
    bases = fit_bases(BASES, trial.train, seed=0)
    reader = ContextReader(trial.train, tuple(BASES), learned.track, learned.environment)
    builder = ListBuilder(bases, reader, trial.exclude_seen, trial.candidates, BLEND.n_candidates)
    scorer = FusedScorer("meta", learned.models["meta"], builder)
    doubt = doubt_of(scorer, QUICK.guess_draws, seed=0)
    assert doubt is not None
    for lists, fused in answered(scorer, trial):
        spread = doubt(lists)
        assert spread is not None
        yield lists, fused.score, spread


@pytest.mark.real
def test_guessed_tracks_have_a_spread_and_measured_ones_none(completed: Dataset) -> None:
    audio = AudioFeatures.from_items(completed.items)
    guessed: Bools = (audio.known & (audio.source != Source.ACTUAL.value)).any(axis=1)
    assert 0.4 < guessed.mean() < 0.6
    n_guessed = n_measured = 0
    for lists, score, spread in listed(completed):
        there = lists.signals.mask & np.isfinite(score)
        of_guess = guessed[np.maximum(lists.item_row, 0)]
        assert (spread[there & of_guess] > 0).all()
        assert (spread[there & ~of_guess] == 0).all()
        # A guess moves a score, and does not make it.
        assert np.median(spread[there & of_guess]) < 1
        n_guessed += int((there & of_guess).sum())
        n_measured += int((there & ~of_guess).sum())
    assert min(n_guessed, n_measured) > 500


@pytest.mark.real
def test_the_report_measures_guesses_where_there_are_any(
    measured: Dataset, completed: Dataset
) -> None:
    auto = BLEND.changed(fusion="auto", fusion_settings={"auto": {"candidates": ["meta", "ridge"]}})
    found = []
    for data in (completed, measured):
        trust = run_experiment(data, BASES, auto, USER, QUICK).trust
        assert trust is not None
        found.append({(row.uncertainty, row.error): row for row in trust.sorting})
    names = [{name for name, _ in rows} for rows in found]
    assert names[0] - names[1] == set(ROWS)
    for error in ("what is shown and not wanted", "squared error of all"):
        assert len({found[0][name, error].n for name in ("spread of models", *ROWS)}) == 1


@pytest.mark.real
def test_without_draws_nothing_is_said_of_guesses(completed: Dataset) -> None:
    trust = run_experiment(completed, BASES, BLEND, USER, QUICK.changed(guess_draws=0)).trust
    assert trust is not None
    assert not set(ROWS) & {row.uncertainty for row in trust.sorting}
