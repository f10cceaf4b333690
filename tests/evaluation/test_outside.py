"""Other people's scores: judged like a model, refused with every fault named."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.errors import DataError
from crossfade.evaluation import EvaluationConfig, evaluate, read_scores
from crossfade.recommenders.popularity import Popularity
from crossfade.testing import checkerboard


def dataset() -> Dataset:
    events = pl.DataFrame({"user_id": ["1", "1", "2"], "item_id": ["10", "11", "10"]})
    return Dataset.build(events, pl.DataFrame({"item_id": ["12"]}), name="shop")


def write(tmp_path: Path, **columns: object) -> Path:
    path = tmp_path / "theirs.parquet"
    pl.DataFrame(columns, strict=False).write_parquet(path)
    return path


def test_scores_reach_the_right_pairs_and_a_zero_is_a_score(tmp_path: Path) -> None:
    path = write(
        tmp_path, user_id=["2", "1", "2"], item_id=["12", "10", "10"], score=[0.0, 0.5, -1]
    )
    scorer = read_scores(path, dataset())
    assert scorer.name == "theirs"
    both = scorer.score_batch(dataset().queries([1, 0]))
    np.testing.assert_array_equal(both, [[-1, np.nan, 0.0], [0.5, np.nan, np.nan]])


def test_strangers_get_no_scores(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=["2"], item_id=["12"], score=[1.0])
    scores = read_scores(path, dataset()).score_batch(Queries.of_items([0], 3))
    assert np.isnan(scores).all()


def test_numeric_ids_are_read_as_text(tmp_path: Path) -> None:
    path = write(tmp_path, user_id=[1], item_id=[12], score=[3])
    assert read_scores(path, dataset()).score_batch(dataset().queries([0]))[0, 2] == 3.0


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        user_id=["1", "9", "1", "2", "2"],
        item_id=["10", "10", "10", "77", "11"],
        score=[0.1, 0.2, 0.3, float("nan"), None],
    )
    with pytest.raises(DataError) as error:
        read_scores(path, dataset())
    text = str(error.value)
    assert "no_score: 2 rows, first at theirs.parquet: row 4: score is nan" in text
    assert "unknown_user: 1 row, first at theirs.parquet: row 2: user_id is '9'" in text
    assert "unknown_item: 1 row, first at theirs.parquet: row 4: item_id is '77'" in text
    assert "duplicate_pair: 1 row, first at theirs.parquet: row 3" in text


def test_a_file_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_scores(tmp_path / "none.parquet", dataset())
    text = tmp_path / "text.parquet"
    text.write_text("user_id,item_id,score\n1,10,0.5\n")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_scores(text, dataset())
    with pytest.raises(
        DataError, match="column item_id, score is missing; the columns are user_id, item"
    ):
        read_scores(write(tmp_path, user_id=["1"], item=["10"]), dataset())
    with pytest.raises(DataError, match="column score holds String; it must hold numbers"):
        read_scores(write(tmp_path, user_id=["1"], item_id=["10"], score=["high"]), dataset())
    empty = tmp_path / "empty.parquet"
    kinds = {"user_id": pl.String, "item_id": pl.String, "score": pl.Float32}
    pl.DataFrame(schema=kinds).write_parquet(empty)
    with pytest.raises(DataError, match="holds no scores"):
        read_scores(empty, dataset())


def test_a_models_own_scores_written_to_a_file_score_the_same(
    tmp_path: Path,
) -> None:
    world = checkerboard(20)
    plan = make_plan(world, ProtocolConfig(name="leave-last"))
    (test,) = plan.tests
    model = Popularity().fit(test.train)
    scores = model.score_batch(test.queries)
    rows, columns = np.nonzero(~np.isnan(scores))
    path = write(
        tmp_path,
        user_id=world.user_ids.decode(test.queries.user_row[rows]),
        item_id=world.item_ids.decode(columns.astype(np.int32)),
        score=scores[rows, columns],
    )
    config = EvaluationConfig(resamples=100, flips=100)
    found = evaluate([test], [[model, read_scores(path, world)]], config, plan=plan)
    for metric in (*config.metrics, "answered"):
        ours, theirs = found.mean("popularity", metric), found.mean("theirs", metric)
        np.testing.assert_equal(ours, theirs)
    assert any("theirs" in flag and "nobody checked" in flag for flag in found.about.flags)
