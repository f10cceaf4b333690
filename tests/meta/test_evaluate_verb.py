"""`crossfade.evaluate`: the whole protocol in one call."""

from typing import Any

import pandas as pd
import polars as pl
import pytest

import crossfade as cf
from crossfade.errors import ConfigError, DataError
from crossfade.evaluation.outside import outside_scores
from crossfade.testing import checkerboard

DATA = checkerboard(40, rated=True)
CONFIG = cf.HybridConfig(
    bases={"popularity": {}, "item_knn": {}},
    protocol={"name": "user"},
    compare=("static", "rrf"),
    evaluation={"resamples": 100, "flips": 100, "n_samples": 0},
).changed(blend={"fusion": "static"})
PERFECT = {"user_id": ["user004"] * 2, "item_id": ["item004", "item006"], "score": [2.0, 1.0]}


@pytest.fixture(scope="module")
def found() -> cf.Experiment:
    theirs: Any = pd.DataFrame(PERFECT)
    return cf.evaluate(DATA, CONFIG, seed=5, scores={"theirs": theirs})


def test_bases_blends_and_scores_from_elsewhere_are_in_one_table(found: cf.Experiment) -> None:
    assert set(found.evaluation.models) == {"popularity", "item_knn", "static", "rrf", "theirs"}
    assert found.evaluation.about.seed == 5
    assert found.evaluation.about.protocol == "user"
    assert found.fusion == "static"


def test_scores_may_be_read_before(found: cf.Experiment) -> None:
    scorer = outside_scores(pl.DataFrame(PERFECT), DATA, "theirs")
    again = cf.evaluate(DATA, CONFIG, seed=5, scores={"theirs": scorer}, compare=False)
    assert "rrf" not in again.evaluation.models
    for model in ("theirs", "item_knn"):
        assert again.evaluation.mean(model, "ndcg@10") == found.evaluation.mean(model, "ndcg@10")


def test_the_target_of_the_settings_counts() -> None:
    strict = cf.evaluate(DATA, CONFIG.changed(target={"min_value": 4, "name": "loves"}), compare=False)  # fmt: skip
    assert strict.evaluation.about.target == "loves"
    assert strict.evaluation.about.target_rules["min_value"] == 4


@pytest.mark.parametrize("name", ["item_knn", "auto"])
def test_every_model_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ConfigError, match=f"scores {name}: another model is called so already"):
        cf.evaluate(DATA, CONFIG, scores={name: pl.DataFrame(PERFECT)})
    with pytest.raises(
        ConfigError, match=r"bases\.rrf: a fusion model is called so; choose another"
    ):
        cf.evaluate(DATA, cf.HybridConfig(bases={"rrf": {"model": "popularity"}}))


def test_scores_that_cannot_be_used_are_named_by_their_model() -> None:
    with pytest.raises(
        DataError,
        match="theirs: the scores cannot be used\n  unknown_user: 1 row, first at theirs: row 2",
    ):
        outside_scores(pl.DataFrame({**PERFECT, "user_id": ["user004", "who"]}), DATA, "theirs")
    with pytest.raises(DataError, match=r"theirs: user_id holds Float64, and 7\.0 is not the id 7"):
        outside_scores(pl.DataFrame({**PERFECT, "user_id": [1.0, 2.0]}), DATA, "theirs")
