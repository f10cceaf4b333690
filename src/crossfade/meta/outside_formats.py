"""Score files of other libraries, read into one kind of table.

What each library leaves behind:

* plain CSV, TSV or Parquet: long (``user_id, item_id, base, score``; without ``base`` the file is
  one base) or wide (``user_id, item_id`` and one column per base);
* RecTools: a long table with ``rank``, written by its user as CSV or Parquet;
* LensKit: ``ItemListCollection.save_parquet``, in its native layout (one row per list, an
  ``items`` column of structures) or flat, which is a long table;
* implicit: ``np.savez(file, ids=…, scores=…, users=…)`` of what ``recommend`` returns;
* RecBole: ``np.savez`` of ``topk_score`` and ``topk_iid_list`` from ``full_sort_topk`` with
  ``users``, tables whose header names types (``user_id:token``), or, as format ``recbole``, the
  matrix of ``full_sort_scores`` as a table with one row per user and one column per item.
"""

import re
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from crossfade.errors import DataError
from crossfade.types import Bools

SourceFormat = Literal["auto", "table", "lenskit", "implicit", "recbole"]

SPELLINGS = {"user": "user_id", "item": "item_id", "model": "base"}
"""Other names of our columns, taken where ours is not there."""

TYPED = re.compile(r"^(.+):(token|token_seq|float|float_seq)$")
"""A RecBole header."""

PADDING = "[PAD]"
"""RecBole's item that is none."""

WORST = float(np.finfo(np.float32).min)
"""What implicit gives items it filters out."""


def read_source(path: Path, source: SourceFormat = "auto") -> pl.DataFrame:
    """The rows of a score file, under our column names, values as they are.

    Where there are ranks and no scores, the score is minus the rank: only the order is known.

    Args:
        path: The file.
        source: What wrote it; ``auto`` tells by its ending, keys and columns.

    Returns:
        ``user_id``, ``item_id``, maybe ``request_id`` and ``timestamp``; and ``score`` with
        or without ``base`` (long), or one column per base (wide).

    Raises:
        DataError: If the file cannot be read, is of another format, or lacks columns.
    """
    if path.suffix == ".npz":
        return _from_arrays(path, source)
    if source == "implicit":
        raise DataError(f"{path}: implicit's arrays come as .npz; save them with np.savez")
    frame = _read_table(path)
    if source == "recbole" and "item_id" not in frame.columns:
        frame = _from_matrix(path, frame)
    lists = frame.schema.get("items")
    if lists is not None and (source == "lenskit" or "item_id" not in frame.columns):
        frame = _from_lists(path, frame)
    if "score" not in frame.columns and "rank" in frame.columns and not base_columns(frame):
        frame = frame.with_columns(score=_by_rank(path, frame["rank"]))
    _check_columns(path, frame)
    return frame


NO_BASE = ("user_id", "item_id", "base", "score", "rank", "request_id", "timestamp")


def base_columns(frame: pl.DataFrame) -> list[str]:
    """The columns of a wide table that hold scores; the one column of a long table is not among them."""
    # Pandas writes its row numbers as a column of such a name.
    return [
        name
        for name in frame.columns
        if name not in NO_BASE and name and not name.startswith("__index_level_")
    ]


def _by_rank(path: Path, rank: pl.Series) -> pl.Series:
    number = rank.cast(pl.Float64, strict=False)
    bad = number.is_null() & rank.is_not_null()
    if bad.any():
        raise DataError(
            f"{path}: rank {rank.filter(bad)[0]!r} is no number; mend it or give scores"
        )
    return -number


def _check_columns(path: Path, frame: pl.DataFrame) -> None:
    missing = [name for name in ("user_id", "item_id") if name not in frame.columns]
    if "score" not in frame.columns and ("base" in frame.columns or not base_columns(frame)):
        missing.append("score")
    if missing:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; the columns are {', '.join(frame.columns)}; "
            "give user_id, item_id, base, score, or user_id, item_id and one column per base"
        )


def _read_table(path: Path) -> pl.DataFrame:
    separators = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".txt": "\t"}
    try:
        if path.suffix in separators:
            # As text: ids like 007 stay what they are, and a bad number can be named.
            frame = pl.read_csv(
                path, separator=separators[path.suffix], infer_schema=False, quote_char='"'
            )
        else:
            frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path of the scores") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: not a readable table: {reason}; give Parquet, .csv, .tsv or .npz"
        ) from None
    return _renamed(frame)


def _renamed(frame: pl.DataFrame) -> pl.DataFrame:
    names = {name: (found[1] if (found := TYPED.match(name)) else name) for name in frame.columns}
    taken = set(names.values())
    names = {
        old: SPELLINGS[new] if new in SPELLINGS and SPELLINGS[new] not in taken else new
        for old, new in names.items()
    }
    return frame.rename(names) if len(set(names.values())) == len(names) else frame


def _from_lists(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """LensKit's native layout, one row per item of each list."""
    kind = frame.schema["items"]
    if not (isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct)):
        raise DataError(
            f"{path}: column items holds {kind}; LensKit's native layout has lists of structures there; "
            'save_parquet(file, layout="flat") gives a table'
        )
    # An empty list is a person nobody could answer: there is nothing to fuse.
    filled = frame.filter(pl.col("items").list.len() > 0).explode("items")
    return _renamed(filled.unnest("items"))


def _from_matrix(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """RecBole's ``full_sort_scores`` as a table: a column of users, then one column per item."""
    if "user_id" not in frame.columns:
        raise DataError(f"{path}: a score matrix needs a column user_id and one column per item")
    items = [name for name in frame.columns if name not in {"user_id", PADDING}]
    long = frame.select("user_id", *items).unpivot(
        items, index="user_id", variable_name="item_id", value_name="score"
    )
    # What a person already has, RecBole marks with -inf.
    score = pl.col("score").cast(pl.Float64, strict=False)
    return long.filter((score > -np.inf).fill_null(value=True))


# -- arrays ----------------------------------------------------------------------------

KEYS = {
    "implicit": ("ids", "scores", "users"),
    "recbole": ("topk_iid_list", "topk_score", "users"),
}
"""Names of the arrays of items, scores and users."""


def _from_arrays(path: Path, source: SourceFormat) -> pl.DataFrame:
    arrays = _load(path)
    if source == "auto":
        source = "recbole" if "topk_iid_list" in arrays else "implicit"
    if source not in KEYS:
        raise DataError(f"{path}: format {source} is no .npz; choose implicit or recbole")
    missing = [key for key in KEYS[source] if key not in arrays]
    if missing:
        raise DataError(
            f"{path}: array {', '.join(missing)} is missing; the arrays are {', '.join(arrays) or 'none'}; "
            f"save with np.savez(file, {', '.join(f'{key}=…' for key in KEYS[source])})"
        )
    items, scores, users = (arrays[key] for key in KEYS[source])
    if items.ndim != 2 or scores.shape != items.shape or users.shape != items.shape[:1]:
        raise DataError(
            f"{path}: shapes {items.shape}, {scores.shape} and {users.shape} of {', '.join(KEYS[source])} "
            "must be (users, k), (users, k) and (users,)"
        )
    keep = np.isnan(scores) | (scores > WORST)
    if np.issubdtype(items.dtype, np.integer):
        keep &= items >= 0
    else:
        keep &= items != PADDING
    names = {
        "user_id": _named(path, arrays, "user_ids", np.repeat(users, keep.sum(axis=1))),
        "item_id": _named(path, arrays, "item_ids", items[keep]),
    }
    return pl.DataFrame({**names, "score": scores[keep].astype(np.float64)})


def _load(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path of the scores") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        # Also where the arrays are Python objects, which could run code when read.
        raise DataError(
            f"{path}: not readable as arrays: {error}; save numbers, and ids as text: np.array(ids, dtype=str)"
        ) from None


def _named(
    path: Path, arrays: dict[str, np.ndarray[Any, Any]], key: str, rows: np.ndarray[Any, Any]
) -> pl.Series:
    """Ids of rows, by the file's own list of names where it has one."""
    if key not in arrays or not np.issubdtype(rows.dtype, np.integer):
        return pl.Series(rows).cast(pl.String)
    names = arrays[key]
    inside: Bools = (rows >= 0) & (rows < len(names))
    if not inside.all():
        raise DataError(
            f"{path}: row {rows[~inside][0]} lies outside {key}, which has {len(names):,} names; "
            f"save {key} of all rows the model knows"
        )
    return pl.Series(names[rows].astype(str), dtype=pl.String)
