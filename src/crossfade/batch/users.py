"""Whose lists are made: users of a file, and the rows that stand for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import ConfigError, DataError, Problem, UnknownIdError
from crossfade.types import Rows


def read_users(path: Path) -> list[str]:
    """Ids of a text file, one a line; empty lines are passed over.

    Raises:
        DataError: If it is no text, holds no id, or one twice.
        OSError: If it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text ({error.reason}); write one user id a line"
        ) from None
    line_of: dict[str, int] = {}
    again = []
    for number, line in enumerate(lines, start=1):
        user = line.strip()
        if user and line_of.setdefault(user, number) != number:
            again.append((user, number))
    if again:
        user, number = again[0]
        found = f'"{user}" is there already, in line {line_of[user]}'
        where = f"{path.name}: line {number}"
        problem = Problem("user_twice", len(again), where, found, "keep one line a user")
        raise DataError(f"{path}: cannot be used as it is", [problem])
    if not line_of:
        raise DataError(f"{path}: holds no user ids; write one a line, or leave it out for all")
    return list(line_of)


def rows_of(user_ids: Vocabulary, users: Sequence[str] | None) -> Rows:
    """Rows of the users, in their order; of everybody if None.

    Raises:
        ConfigError: If there are none, or somebody is named twice.
        UnknownIdError: If any is unknown.
    """
    if users is None:
        return np.arange(len(user_ids), dtype=np.int32)
    if not len(users):
        raise ConfigError("users is empty; name somebody, or leave it out for everybody")
    rows = user_ids.rows(users)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        first = users[int(unknown[0])]
        raise UnknownIdError(
            f'{len(unknown):,} of {len(rows):,} users are unknown among {len(user_ids):,}, the first is "{first}"; '
            "take them out, or fit again on a log that knows them"
        )
    _, first_of, n_times = np.unique(rows, return_index=True, return_counts=True)
    twice = first_of[n_times > 1]
    if len(twice):
        raise ConfigError(
            f'{len(twice):,} users are named more than once, the first is "{users[int(twice.min())]}"; '
            "name each once"
        )
    return rows
