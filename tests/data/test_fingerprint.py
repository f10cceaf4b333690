"""Digests of content: what changes them, and what does not."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Target, load_dataset, save_dataset
from crossfade.data.fingerprint import fingerprint
from crossfade.data.splits import ProtocolConfig, make_plan
from crossfade.testing import checkerboard
from crossfade.types import Csr

KINDS: dict[str, list[Any]] = {
    "text": ["a", None, "bc", ""],
    "number": [1.5, None, float("nan"), 0.0],
    "whole": [3, None, -1, 0],
    "flag": [True, None, False, True],
    "day": [date(2024, 5, 1), None, date(1970, 1, 1), date(1, 1, 1)],
    "words": [["a", "b"], None, [], ["c"]],
    "pair": [{"x": 1, "y": "q"}, None, {"x": 2, "y": "r"}, {"x": 3, "y": "s"}],
    "bytes": [b"\x00", None, b"", b"\xff\x00"],
    "nothing": [None, None, None, None],
}


def changed(values: list[Any]) -> list[Any]:
    """The same with the first value in the place of the last."""
    return [*values[:-1], values[0]]


@pytest.mark.parametrize("name", KINDS)
def test_a_column_of_any_kind_counts_by_its_values(name: str) -> None:
    one = pl.DataFrame({name: pl.Series(KINDS[name])})
    again = pl.concat([one.head(2), one.tail(2)], rechunk=False)  # in two pieces
    assert fingerprint(one) == fingerprint(again)
    other = pl.DataFrame({name: pl.Series(changed(KINDS[name]), dtype=one[name].dtype)})
    # The flag's first and last are the same value already, and nothing is nothing.
    assert (fingerprint(one) == fingerprint(other)) == (name in {"flag", "nothing"})
    filled = one.with_columns(pl.col(name).backward_fill())
    assert (fingerprint(one) == fingerprint(filled)) == (name == "nothing")
    assert fingerprint(one) != fingerprint(one.rename({name: "other"}))


def test_what_stands_under_a_null_counts_nowhere() -> None:
    values = pl.Series("n", [1.0, 2.0, 3.0])
    hidden = pl.select(pl.when(values != 2.0).then(values).alias("n"))
    assert fingerprint(hidden) == fingerprint(pl.DataFrame({"n": [1.0, None, 3.0]}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.DataFrame({"t": ["ab", "c"]}), pl.DataFrame({"t": ["a", "bc"]})),
        (pl.DataFrame({"t": [["a"], ["b"]]}), pl.DataFrame({"t": [["a", "b"], []]})),
        (pl.DataFrame({"t": [1, 2]}), pl.DataFrame({"t": [1.0, 2.0]})),
        (pl.DataFrame({"t": [1, None]}), pl.DataFrame({"t": [None, 1]})),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.float32)),
        (Csr(np.eye(2)), Csr(np.eye(2)[::-1])),
        (("a", "bc"), ("ab", "c")),
        (None, "null"),
        (Target(), Target(skips_count=True)),
    ],
)
def test_different_things_have_different_digests(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) == fingerprint(one)


def test_values_do_not_run_into_one_another() -> None:
    assert fingerprint(1, 23) != fingerprint(12, 3)


def test_what_nobody_knows_how_to_read_is_refused() -> None:
    with pytest.raises(TypeError):
        fingerprint(object())


def test_a_data_set_keeps_its_digest_when_saved_and_loaded(tmp_path: Path, timed: Dataset) -> None:
    save_dataset(timed, tmp_path)
    assert fingerprint(load_dataset(tmp_path)) == fingerprint(timed)
    assert fingerprint(replace(timed, name="other")) == fingerprint(timed)


@pytest.mark.parametrize("table", ["events", "items", "users", "taggings", "friends"])
def test_every_table_of_a_data_set_counts(timed: Dataset, table: str) -> None:
    frame = timed.tables().get(table, pl.DataFrame({"user_row": [0, 1], "friend_row": [1, 0]}))
    fewer: Any = {table: frame.head(1)}
    assert fingerprint(replace(timed, **fewer)) != fingerprint(timed)


def test_the_target_of_a_data_set_counts(timed: Dataset) -> None:
    assert fingerprint(timed.with_target(Target(name="likes"))) != fingerprint(timed)


def test_a_trial_counts_with_requests_and_what_was_wanted() -> None:
    trial = make_plan(checkerboard(), ProtocolConfig(name="user"), seed=0).fuse
    queries = replace(trial.queries, user_row=trial.queries.user_row[::-1])
    relevant = Csr(trial.relevant[::-1])
    others = [
        replace(trial, queries=queries),
        replace(trial, relevant=relevant),
        replace(trial, exclude_seen=not trial.exclude_seen),
        replace(trial, candidates=None),
        replace(trial, hidden=relevant),
    ]
    assert len({fingerprint(one) for one in (trial, *others)}) == 6
    # Derived values that are kept beside the fields are no part of it.
    before = fingerprint(trial)
    assert trial.queries.owner is not None
    assert fingerprint(trial) == before
