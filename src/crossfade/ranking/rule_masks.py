"""Which items a rule lets through.

A rule is asked of columns that may be missing, so there are three answers, as in SQL (Kleene's
logic): a test of a missing value is neither true nor false, ``not`` leaves that as it is,
``and`` is false if any part is false, ``or`` is true if any part is true. Only items for which
a rule is *true* pass. So ``not explicit`` keeps out items of which nobody says whether they are
explicit; ``explicit is missing or not explicit`` lets them in. NaN and an empty list are
missing too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Literal, TypeVar

import polars as pl

from crossfade.data.schema import TIMESTAMP
from crossfade.errors import ConfigError
from crossfade.ranking.rules import COMPARISONS, AllOf, Not, Question, Rule, Value, parse, shown
from crossfade.types import Bools

ColumnKind = Literal["number", "text", "true or false", "date", "list of texts", "list of numbers"]
N_NEAR, N_SHOWN = 3, 30
Text = TypeVar("Text", pl.Expr, pl.Series)


def matching(rules: Sequence[str], items: pl.DataFrame) -> Bools:
    """Items for which every rule is true.

    Texts are compared without regard to case and outer spaces, but exactly in columns whose
    name ends with ``_id``. Times without a zone are UTC; a date is its first moment.

    Args:
        rules: In the language of `crossfade.ranking.rules`; none lets everything through.
        items: One row per item row.

    Returns:
        Shape ``(n_items,)``.

    Raises:
        ConfigError: If rules cannot be read, speak of columns that are not there or not of
            the kind they ask for (all faults at once); or if no item at all is left.
    """
    reader = _Reader(items.schema)
    answers = [reader.answer(rule) for rule in rules]
    if reader.faults:
        raise ConfigError("\n".join(reader.faults))
    # By number: two rules may be the same text.
    passed = items.select(
        answer.fill_null(value=False).alias(str(number)) for number, answer in enumerate(answers)
    )
    mask = items.select(pl.repeat(value=True, n=pl.len())).to_series().to_numpy().copy()
    for column in passed:
        mask &= column.to_numpy()
    if items.height and not mask.any():
        alone = "\n".join(
            f"  {shown(rule)} alone leaves {passed[str(number)].sum():,}"
            for number, rule in enumerate(rules)
        )
        raise ConfigError(
            f"rules: none of the {items.height:,} items is left; loosen or drop one of\n{alone}"
        )
    return mask


class _Reader:
    """Turns trees into expressions and collects what is wrong with them."""

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema
        self.faults: list[str] = []

    def answer(self, text: str) -> pl.Expr:
        """One rule as an expression: true, false or null."""
        try:
            tree = parse(text)
        except ConfigError as error:
            self.faults.append(str(error))
            return pl.lit(value=False)
        n_before = len(self.faults)
        answer = self._rule(tree)
        # Named here, where the whole rule is known.
        self.faults[n_before:] = [
            f"rule {shown(text)}, {fault}" for fault in self.faults[n_before:]
        ]
        return answer

    def _rule(self, rule: Rule) -> pl.Expr:
        if isinstance(rule, Question):
            return self._question(rule)
        if isinstance(rule, Not):
            return ~self._rule(rule.inner)
        parts = [self._rule(part) for part in rule.parts]
        return (pl.all_horizontal if isinstance(rule, AllOf) else pl.any_horizontal)(parts)

    def _question(self, question: Question) -> pl.Expr:
        kind = self._kind(question)
        if kind is None:
            return pl.lit(value=False)
        column = _column(question.column, self.schema[question.column])
        if question.kind == "missing":
            return column.is_null()
        wrong = _unfit(question, kind)
        if wrong:
            self.faults.append(f'character {question.at}: column "{question.column}" {wrong}')
            return pl.lit(value=False)
        if question.kind == "true":
            return column
        if "text" in kind and not question.column.endswith("_id"):
            inner = _plain(pl.element()) if kind == "list of texts" else None
            column = _plain(column) if inner is None else column.list.eval(inner)
        values = self._values(question, kind)
        return _compared(column, question.kind, values)

    def _kind(self, question: Question) -> ColumnKind | None:
        """What a column holds; None, and a fault, where no rule can be asked of it."""
        if question.column not in self.schema:
            near = get_close_matches(question.column, self.schema, n=N_NEAR)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            names = list(self.schema)
            more = f" and {len(names) - N_SHOWN} more" if len(names) > N_SHOWN else ""
            self.faults.append(
                f'character {question.at}: items have no column "{question.column}"; {hint}there are '
                f"{', '.join(names[:N_SHOWN])}{more}"
            )
            return None
        kind = _kind_of(self.schema[question.column])
        if kind is None:
            self.faults.append(
                f'character {question.at}: column "{question.column}" holds {self.schema[question.column]}, '
                "which rules cannot speak of; add a column of numbers, texts, dates or lists of them"
            )
        return kind

    def _values(self, question: Question, kind: ColumnKind) -> list[object]:
        if kind == "date":
            return [self._moment(question, value) for value in question.values]
        if kind == "list of numbers":
            return [float(value) for value in question.values]
        if "text" not in kind or question.column.endswith("_id"):
            return list(question.values)
        return _plain(pl.Series(question.values, dtype=pl.String)).to_list()

    def _moment(self, question: Question, value: Value) -> datetime:
        try:
            moment = datetime.fromisoformat(str(value).strip())
            # The first day of all, asked with a zone, lies before any UTC moment.
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            self.faults.append(
                f'character {question.at}: column "{question.column}" holds dates, and "{value}" is none; '
                'write "2024-05-01" or "2024-05-01T20:30"'
            )
            return datetime(1970, 1, 1, tzinfo=UTC)


def _kind_of(dtype: pl.DataType) -> ColumnKind | None:
    if isinstance(dtype, pl.List):
        inner = _kind_of(dtype.inner)  # type: ignore[arg-type]
        if inner == "text":
            return "list of texts"
        return "list of numbers" if inner == "number" else None
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if isinstance(dtype, pl.Boolean):
        return "true or false"
    return "date" if isinstance(dtype, pl.Date | pl.Datetime) else None


def _column(name: str, dtype: pl.DataType) -> pl.Expr:
    """A column in one type per kind, null where it is missing."""
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        texts = _kind_of(dtype) == "list of texts"
        column = column.cast(pl.List(pl.String if texts else pl.Float64)).list.drop_nulls()
        return pl.when(column.list.len() > 0).then(column)
    if dtype.is_numeric():
        return _number(column, dtype)
    if dtype.is_temporal():
        return as_utc(column, dtype)
    return column if isinstance(dtype, pl.Boolean) else column.cast(pl.String)


def _number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
        return column.fill_nan(None)
    # Small types refuse to be compared with numbers they cannot hold.
    exact = dtype.is_integer() and dtype not in {pl.UInt64, pl.Int128, pl.UInt128}
    return column.cast(pl.Int64 if exact else pl.Float64)


def as_utc(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Dates and datetimes as UTC microseconds; without a zone they are UTC already."""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _plain(text: Text) -> Text:
    return text.str.strip_chars().str.to_lowercase()


def _unfit(question: Question, kind: ColumnKind) -> str:
    """Why a question does not suit a kind of column, with the mend; empty if it does."""
    listed = kind.startswith("list")
    if question.kind == "true":
        return "" if kind == "true or false" else f"holds {kind}; compare it with something"
    if listed and question.kind != "has":
        return f'is a {kind}; ask `{question.column} has "…"`'
    if question.kind == "has" and not listed:
        return f"holds {kind}, not a list; use == or in"
    if question.kind in COMPARISONS[2:] and kind in {"text", "true or false"}:
        return f"holds {kind}, which has no order; use == or in"
    wanted = {"number": "a number", "true or false": "true or false"}.get(kind, "a text in quotes")
    wanted = "a number" if kind == "list of numbers" else wanted
    for value in question.values:
        if _value_kind(value) != wanted:
            shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
            return f"holds {kind}, got {shown}; write {wanted}"
    return ""


def _value_kind(value: Value) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a text in quotes" if isinstance(value, str) else "a number"


def _compared(column: pl.Expr, kind: str, values: list[object]) -> pl.Expr:
    literals = [
        pl.lit(value, dtype=TIMESTAMP) if isinstance(value, datetime) else pl.lit(value)
        for value in values
    ]
    if kind == "has":
        return column.list.contains(literals[0])
    if kind == "in" and isinstance(values[0], str):
        return column.is_in(pl.Series(values, dtype=pl.String).implode())
    if kind == "in":
        return pl.any_horizontal([column == literal for literal in literals])
    one = literals[0]
    return {
        "==": column == one,
        "!=": column != one,
        "<": column < one,
        "<=": column <= one,
        ">": column > one,
        ">=": column >= one,
    }[kind]
