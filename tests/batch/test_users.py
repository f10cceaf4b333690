"""A file of users: one id a line, each once."""

from pathlib import Path

import pytest

from crossfade.batch import read_users
from crossfade.errors import DataError


def test_ids_come_in_the_order_of_the_lines(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_bytes("\ufeffzoé\r\n\n  ann b \nbob".encode())
    assert read_users(tmp_path / "users.txt") == ["zoé", "ann b", "bob"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no user ids; write one a line"),
        (b"\n  \n", "holds no user ids"),
        (
            b"a\nb\n\na\nb\n",
            r'user_twice: 2 rows, first at users.txt: line 4: "a" .* in line 1; keep',
        ),
        (b"\xff\xfea\x00", "is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "users.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_users(tmp_path / "users.txt")
