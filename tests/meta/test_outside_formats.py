"""Files of other libraries: the same rows come out, whatever wrote them."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from crossfade.errors import DataError
from crossfade.meta.outside_formats import SourceFormat, base_columns, read_source

ROWS = [("7", "a", 0.5), ("7", "b", 0.25), ("8", "c", 1.5)]


def rows(path: Path, source: SourceFormat = "auto") -> list[tuple[str, str, float]]:
    frame = read_source(path, source)
    return [
        (str(user), str(item), float(score))
        for user, item, score in frame.select("user_id", "item_id", "score").rows()
    ]


# -- tables ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", "user_id,item_id,score\n7,a,0.5\n7,b,0.25\n8,c,1.5\n"),
        ("short.tsv", "user\titem\tscore\n7\ta\t0.5\n7\tb\t0.25\n8\tc\t1.5\n"),
        ("rectools.csv", "user_id,item_id,score,rank\n7,a,0.5,1\n7,b,0.25,2\n8,c,1.5,1\n"),
        (
            "recbole.inter",
            "user_id:token\titem_id:token\tscore:float\n7\ta\t0.5\n7\tb\t0.25\n8\tc\t1.5\n",
        ),
    ],
)
def test_tables_of_any_writer_give_the_same_rows(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert rows(tmp_path / name) == ROWS


def test_ids_in_text_files_stay_as_written(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("user_id,item_id,score\n007,1e5,1\n")
    assert rows(tmp_path / "s.csv") == [("007", "1e5", 1.0)]


def test_a_name_of_ours_is_taken_before_another_spelling(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["u"], "user": ["x"], "item": ["a"], "score": [1.0]})
    frame.write_parquet(tmp_path / "s.parquet")
    assert rows(tmp_path / "s.parquet") == [("u", "a", 1.0)]


def test_where_only_places_are_known_the_better_place_scores_higher(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "rank": [2, 1]})
    frame.write_parquet(tmp_path / "s.parquet")
    assert rows(tmp_path / "s.parquet") == [("u", "a", -2.0), ("u", "b", -1.0)]
    (tmp_path / "s.csv").write_text("user_id,item_id,rank\nu,a,first\n")
    with pytest.raises(DataError, match="rank 'first' is no number"):
        read_source(tmp_path / "s.csv")


def test_columns_beside_the_ids_are_bases(tmp_path: Path) -> None:
    wide = pl.DataFrame(
        {"user_id": ["u"], "item_id": ["a"], "rank": [1], "ease": [0.5], "knn": [2.0]}
    )
    wide.write_parquet(tmp_path / "s.parquet")
    assert {"ease", "knn"} <= set(read_source(tmp_path / "s.parquet").columns)


def test_the_row_numbers_of_pandas_are_no_base(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"user_id": ["u"], "item_id": ["a"], "ease": [0.5], "__index_level_0__": [3]}
    )
    frame.write_parquet(tmp_path / "s.parquet")
    assert base_columns(read_source(tmp_path / "s.parquet")) == ["ease"]


# -- LensKit: as ItemListCollection.save_parquet of LensKit 2025.8 writes it ------------

LISTS = pl.List(pl.Struct({"item_id": pl.String, "rank": pl.Int32, "score": pl.Float32}))


def native(tmp_path: Path, lists: list[list[dict[str, Any]]]) -> Path:
    frame = pl.DataFrame(
        {"user_id": list(range(7, 7 + len(lists))), "items": lists},
        schema_overrides={"items": LISTS},
    )
    frame.write_parquet(tmp_path / "lk.parquet")
    return tmp_path / "lk.parquet"


def test_lenskits_lists_become_rows_and_empty_lists_none(tmp_path: Path) -> None:
    first = [
        {"item_id": "a", "rank": 1, "score": 0.5},
        {"item_id": "b", "rank": 2, "score": 0.25},
    ]
    path = native(tmp_path, [first, [{"item_id": "c", "rank": 1, "score": 1.5}], []])
    assert rows(path) == rows(path, "lenskit") == ROWS


def test_a_column_items_of_another_kind_is_refused(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": [7], "items": [["a", "b"]]})
    frame.write_parquet(tmp_path / "s.parquet")
    with pytest.raises(
        DataError, match=r'lists of structures there; save_parquet\(file, layout="flat"\)'
    ):
        read_source(tmp_path / "s.parquet")


# -- implicit --------------------------------------------------------------------------


def test_what_implicit_recommends_comes_back(tmp_path: Path) -> None:
    likes = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]], dtype=np.float32)
    plays = csr_matrix(likes)
    model = AlternatingLeastSquares(factors=2, iterations=3, random_state=0, num_threads=1)
    with threadpool_limits(1, "blas"):
        model.fit(plays, show_progress=False)
    # More than there is to recommend: what each already likes fills the end of the arrays.
    ids, scores = model.recommend(np.arange(3), plays, N=4)
    assert ids.shape == (3, 4)
    path = tmp_path / "als.npz"
    np.savez(path, ids=ids, scores=scores, users=np.arange(3))
    expected = {
        (str(u), str(i)): model.user_factors[u] @ model.item_factors[i]
        for u, i in zip(*np.nonzero(likes == 0), strict=True)
    }
    found = {(user, item): score for user, item, score in rows(path)}
    assert found == pytest.approx(expected, rel=1e-4)


def test_rows_get_the_names_the_file_brings(tmp_path: Path) -> None:
    path = tmp_path / "named.npz"
    np.savez(
        path,
        ids=np.array([[1, 0], [1, -1]]),
        scores=np.array([[0.5, 0.25], [1.5, np.finfo(np.float32).min]], dtype=np.float32),
        users=np.array([2, 0]),
        user_ids=np.array(["ann", "bob", "cid"]),
        item_ids=np.array(["x", "y"]),
    )
    assert rows(path) == [("cid", "y", 0.5), ("cid", "x", 0.25), ("ann", "y", 1.5)]


def test_an_item_of_minus_one_is_none_whatever_its_score(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, ids=[[3, -1]], scores=[[0.5, 0.0]], users=[7])
    assert rows(path) == [("7", "3", 0.5)]


def test_a_row_without_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, ids=[[5]], scores=[[1.0]], users=[0], item_ids=np.array(["x"]))
    with pytest.raises(DataError, match="row 5 lies outside item_ids, which has 1 names"):
        read_source(path)


# -- RecBole ---------------------------------------------------------------------------


def test_recboles_best_items_come_without_padding_and_history(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(
        path,
        topk_iid_list=np.array([["a", "b"], ["c", "[PAD]"]]),
        topk_score=np.array([[0.5, 0.25], [1.5, 0.1]]),
        users=np.array(["7", "8"]),
    )
    assert rows(path) == rows(path, "recbole") == ROWS
    np.savez(path, topk_iid_list=[["a", "b"]], topk_score=[[1.0, -np.inf]], users=["7"])
    assert rows(path) == [("7", "a", 1.0)]


def test_a_matrix_of_all_scores_has_a_column_per_item(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("user_id:token,[PAD],a,b\n7,-inf,0.5,-inf\n8,-inf,,1.5\n")
    frame = read_source(path, "recbole").sort("user_id", "item_id")
    assert frame.select("user_id", "item_id", "score").rows() == [
        ("7", "a", "0.5"), ("8", "a", None), ("8", "b", "1.5"),
    ]  # fmt: skip
    with pytest.raises(DataError, match="column item_id is missing"):
        read_source(path)  # nobody said that it is a matrix


# -- refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ({"user": ["u"], "score": [1.0]}, "item_id"),
        ({"item_id": ["a"], "base": ["x"]}, "user_id, score"),
        ({"user_id": ["u"], "item_id": ["a"]}, "score"),
    ],
)
def test_all_missing_columns_are_named(
    columns: dict[str, list[Any]], missing: str, tmp_path: Path
) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "s.parquet")
    with pytest.raises(DataError, match=f"column {missing} is missing; the columns are"):
        read_source(tmp_path / "s.parquet")


@pytest.mark.parametrize("name", ["s.parquet", "s.csv", "s.npz"])
def test_a_file_that_is_not_there_is_said_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_source(tmp_path / name)


@pytest.mark.parametrize("name", ["s.parquet", "s.npz"])
def test_a_file_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("user_id,item_id,score\n7,a,1\n")
    with pytest.raises(DataError, match=r"not (a )?readable"):
        read_source(tmp_path / name)


def test_arrays_that_could_run_code_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    ids = np.array([["a"]], dtype=object)
    np.savez(path, topk_iid_list=ids, topk_score=[[1.0]], users=["7"])
    with pytest.raises(DataError, match=r"ids as text: np\.array"):
        read_source(path)


@pytest.mark.parametrize(
    ("arrays", "source", "message"),
    [
        ({"ids": [[1]], "scores": [[1.0]]}, "auto", "array users is missing; the arrays are ids, scores"),
        ({"ids": [1], "scores": [1.0], "users": [0]}, "implicit", "must be (users, k)"),
        ({"ids": [[1]], "scores": [[1.0]], "users": [0]}, "recbole", "topk_iid_list, topk_score is missing"),
        ({"ids": [[1]], "scores": [[1.0]], "users": [0]}, "table", "format table is no .npz"),
    ],
)  # fmt: skip
def test_arrays_of_another_kind_are_refused(
    arrays: dict[str, Any], source: SourceFormat, message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(DataError) as error:
        read_source(tmp_path / "s.npz", source)
    assert message in str(error.value)


def test_implicits_arrays_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"implicit's arrays come as \.npz"):
        read_source(tmp_path / "s.parquet", "implicit")
