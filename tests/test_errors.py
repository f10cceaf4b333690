import inspect

import pytest

from crossfade import errors
from crossfade.errors import CrossfadeError, DataError, MissingExtraError, Problem


def test_every_error_grows_on_one_tree() -> None:
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, Exception)
    ]
    assert len(kinds) > 5
    assert all(issubclass(kind, CrossfadeError) for kind in kinds)


@pytest.mark.parametrize(
    ("n_rows", "where"),
    [
        (0, "bad_timestamp: plays.csv: line 17: soon; write it as 2024-05-01T12:00:00Z"),
        (1, "bad_timestamp: 1 row, first at plays.csv: line 17: soon; write it as 2024-05-01T12:00:00Z"),
        (1204, "bad_timestamp: 1,204 rows, first at plays.csv: line 17: soon; write it as 2024-05-01T12:00:00Z"),
    ],
)  # fmt: skip
def test_a_problem_names_check_count_place_value_and_mend(n_rows: int, where: str) -> None:
    mend = "write it as 2024-05-01T12:00:00Z"
    assert str(Problem("bad_timestamp", n_rows, "plays.csv: line 17", "soon", mend)) == where


def test_a_data_error_lists_every_problem() -> None:
    problems = [Problem(check, 1, "a.csv: line 2", "x", "drop it") for check in ("one", "two")]
    error = DataError("a.csv cannot be used", problems)
    assert error.problems == tuple(problems)
    assert [line.split(":")[0] for line in str(error).splitlines()] == [
        "a.csv cannot be used",
        "  one",
        "  two",
    ]


def test_a_missing_extra_names_the_line_that_installs_it() -> None:
    assert str(MissingExtraError('index "faiss"', "ann")) == (
        "index \"faiss\" needs an extra: pip install 'crossfade[ann]'"
    )
