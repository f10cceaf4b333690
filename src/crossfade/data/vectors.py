"""Tables of item vectors: one for each further modality of a catalogue, such as images."""

import re
from collections.abc import Mapping

import polars as pl

from crossfade.data.conform import encode
from crossfade.data.faults import Fault
from crossfade.data.frames import Frame, check_ids, to_polars
from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import DataError, Problem

PREFIX = "vectors-"
"""How names of such tables start in directories and bundles; the name of the modality follows."""

NAME = r"[a-z][a-z0-9_]*"
"""What a modality may be called: the name is part of file names and of settings."""

_NUMBERED = re.compile(r"(.*?)(\d+)")
_SHOWN_CHARACTERS = 80


class VectorRows:
    """Rows of one table, checked piece by piece.

    Attributes:
        width: Numbers in a vector: as many as most vectors of the first piece have; 0 before it.
    """

    def __init__(self) -> None:
        self.width = 0
        self._seen: set[str] = set()

    def read(self, ids: pl.Series, values: pl.DataFrame) -> tuple[pl.Series, list[Fault]]:
        """Vectors of some rows and what is wrong with them.

        Args:
            ids: Of items, as text.
            values: One column of lists, or the numbered columns of `in_order` in that order.

        Returns:
            Lists of 32-bit numbers, null where a row has no vector, which is no fault; and faults.
        """
        lists = _lists(values)
        sizes = lists.list.len()
        common = sizes.drop_nulls().mode().sort()
        if not self.width and len(common):
            self.width = int(common[-1])
        label = values.columns[0] if values.width == 1 else ""
        finite = lists.list.eval(pl.element().is_finite().fill_null(value=False)).list.all()
        return lists, [
            Fault("repeated_id", ids.name, self._repeated(ids), ids, "keep one row per id"),
            Fault(
                "wrong_width",
                label,
                (sizes != self.width).fill_null(value=False),
                sizes.cast(pl.String) + " numbers",
                f"give every vector {self.width} numbers, or none at all where an item has no vector",
            ),
            Fault(
                "no_number",
                label,
                ~finite.fill_null(value=True),
                _first_odd(lists),
                "write finite numbers, or leave the whole vector empty where an item has none",
            ),
        ]

    def _repeated(self, ids: pl.Series) -> pl.Series:
        known = ids.drop_nulls()
        again = ~ids.is_first_distinct() | ids.is_in(list(self._seen))
        self._seen.update(known)
        return again & ids.is_not_null()


def in_order(names: list[str]) -> list[str] | None:
    """Numbered columns by their numbers, or a column that stands alone; None where neither is so.

    Numbers follow one another without a gap behind one common name, as in ``v0``, ``v1``, ``v2``.
    """
    if len(names) == 1:
        return names
    parts = [part for part in map(_NUMBERED.fullmatch, names) if part is not None]
    if len(parts) < len(names) or len({part[1] for part in parts}) != 1:
        return None
    parts.sort(key=lambda part: int(part[2]))
    numbers = [int(part[2]) for part in parts]
    whole = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return [part[0] for part in parts] if whole else None


def layout_problem(table: str, names: list[str]) -> Problem:
    """That the columns of a table are no vectors."""
    return Problem(
        "no_vector_columns",
        0,
        table,
        f"columns {', '.join(names)}" if names else "no column beside the id",
        "give one column of lists, or numbered columns without a gap such as v0, v1, v2",
    )


def vector_table(
    table: str, ids: pl.Series, lists: pl.Series, item_ids: Vocabulary
) -> tuple[pl.DataFrame, int, Problem | None]:
    """Vectors of the items that there are, by row.

    Args:
        table: Its name, for messages.
        ids: Of items, each once.
        lists: Checked vectors, null where there is none.
        item_ids: The items of the data set.

    Returns:
        ``item_row``, ascending, and ``vector``; how many vectors of unknown items were left out;
        and the problem of a table that describes no item at all.
    """
    found = pl.DataFrame({"item_id": ids, "vector": lists}).drop_nulls("vector")
    known = encode(found, item_id=item_ids).drop_nulls().sort("item_row")
    problem = None
    if found.is_empty():
        problem = Problem(
            "no_vector", 0, table, "no item has a vector", "fill some in or leave the table out"
        )
    elif known.is_empty():
        first = found["item_id"][0]
        shown = f'{found.height:,} vectors of other items (first: "{first}")'
        mend = f'write ids as the events do, such as "{item_ids.ids[0]}", or leave the table out'
        problem = Problem("no_known_item", 0, table, shown, mend)
    else:
        known = known.with_columns(pl.col("vector").list.to_array(len(known["vector"][0])))
    return known, found.height - known.height, problem


def conform_vectors(tables: Mapping[str, Frame], item_ids: Vocabulary) -> dict[str, pl.DataFrame]:
    """Tables of vectors from outside, by modality; see `vector_table`.

    Args:
        tables: ``item_id`` and one column of lists or numbered columns of numbers, by modality.
            Rows of unknown items are left out.
        item_ids: The items of the data set.

    Raises:
        DataError: With every problem of every table.
    """
    made, problems = {}, []
    for name, given in tables.items():
        table = f"vectors.{name}"
        found = _conform(table, to_polars(given, table), item_ids)
        problems += found[1]
        made[name] = found[0]
        if re.fullmatch(NAME, name) is None:
            mend = "use small letters, digits and _, a letter first"
            problems.append(Problem("bad_name", 0, table, f'a modality named "{name}"', mend))
    if problems:
        raise DataError("vectors of items cannot be used; mend these:", problems)
    return made


def vectors_among(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """By modality, the tables of vectors among those of a data set."""
    return {
        name.removeprefix(PREFIX): table
        for name, table in tables.items()
        if name.startswith(PREFIX)
    }


def _conform(
    table: str, frame: pl.DataFrame, item_ids: Vocabulary
) -> tuple[pl.DataFrame, list[Problem]]:
    names = [name for name in frame.columns if name != "item_id"]
    order = in_order(names) if names else None
    if "item_id" not in frame.columns:
        found = f"the columns are {', '.join(frame.columns)}"
        return frame, [Problem("missing_column", 0, table, found, "name the ids item_id")]
    if order is None:
        return frame, [layout_problem(table, names)]
    check_ids(frame, ["item_id"], table)
    ids = frame["item_id"].cast(pl.String)
    lists, faults = VectorRows().read(ids, frame.select(order))
    empty = ids.is_null() | (ids == "").fill_null(value=False)
    faults.append(Fault("empty_id", "item_id", empty, ids, "fill in the id or drop the row"))
    problems = [_problem(table, fault) for fault in faults if fault.bad.any()]
    if problems:
        return frame, problems
    made, _, problem = vector_table(table, ids, lists, item_ids)
    return made, [] if problem is None else [problem]


def _problem(table: str, fault: Fault) -> Problem:
    places = fault.bad.arg_true()
    found = str(fault.found[places[0]])[:_SHOWN_CHARACTERS]
    return Problem(fault.check, len(places), f"{table}: row {places[0] + 1:,}", found, fault.mend)


def _lists(values: pl.DataFrame) -> pl.Series:
    """As lists of 32-bit numbers, in which what is no number is null; null where nothing stands."""
    first = values.to_series(0)
    if isinstance(first.dtype, pl.Array):
        first = first.arr.to_list()
    if values.width == 1 and isinstance(first.dtype, pl.List):
        lists = first.cast(pl.List(pl.Float32), strict=False)
        return pl.select(pl.when(lists.list.len() > 0).then(lists)).to_series()
    texts = pl.col(pl.String).str.strip_chars()
    plain = values.with_columns(pl.when(texts != "").then(texts).name.keep())
    numbers = [pl.col(name).cast(pl.Float32, strict=False) for name in plain.columns]
    given = pl.any_horizontal(pl.all().is_not_null())
    return plain.select(vector=pl.when(given).then(pl.concat_list(numbers))).to_series()


def _first_odd(lists: pl.Series) -> pl.Series:
    """What stands in each vector where a finite number should, for messages."""
    odd = pl.element().filter(~pl.element().is_finite().fill_null(value=False))
    return lists.list.eval(odd.cast(pl.String).fill_null("no number")).list.first()
