"""Whole columns from whatever a file has to the types of the event contract.

Each function takes the source columns (one or more, of equal length) and gives our
column, null where nothing is known, and the faults of the values that do not fit.
"""

from collections.abc import Sequence

import polars as pl

from crossfade.data.faults import Fault

TRUE = ("true", "1", "yes", "y", "t")
FALSE = ("false", "0", "no", "n", "f")
YEAR = r"^\d{4}$"
NO_LABELS = ("", "(no genres listed)", "unknown")

Sources = Sequence[pl.Series]


def readable(values: pl.Series, label: str, *, lists: bool) -> tuple[pl.Series, list[Fault]]:
    """A column of a typed file (Parquet, JSON) in a type the functions below can read.

    Categories and bytes become text. Nested and other types come out null, at fault.

    Args:
        values: The source column.
        label: Its name.
        lists: Whether lists mean something here, as they do for labels.
    """
    kind = values.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return values.cast(pl.String), []
    if kind == pl.Binary:
        return _decoded(values, label)
    simple = isinstance(kind, pl.List) and not isinstance(kind.inner, pl.Struct | pl.Array)
    odd = kind.is_nested() and not (lists and simple)
    if not odd and not isinstance(kind, pl.Duration | pl.Object):
        return values, []
    mend = f"write plain text, numbers or times instead of {kind}"
    nothing = pl.repeat(None, len(values), dtype=pl.String, eager=True)
    found = pl.Series([None if v is None else str(v) for v in values.to_list()], dtype=pl.String)
    return nothing, [Fault("mixed_types", label, values.is_not_null(), found, mend)]


def _decoded(values: pl.Series, label: str) -> tuple[pl.Series, list[Fault]]:
    texts: list[str | None] = []
    for value in values:
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            texts.append(None)
    text = pl.Series(texts, dtype=pl.String)
    bad = values.is_not_null() & text.is_null()
    return text, [Fault("wrong_encoding", label, bad, values, "write text as UTF-8")]


def plain_text(values: pl.Series) -> pl.Series:
    """Values as text without outer blanks; empty text is null."""
    if isinstance(values.dtype, pl.List):
        values = values.cast(pl.List(pl.String)).list.join(" ")
    text = values.cast(pl.String).str.strip_chars()
    if values.dtype.is_float():
        # Whole numbers stored as floats, as some tools do when a column has gaps.
        text = text.str.replace(r"\.0$", "")
    return text.set((text == "").fill_null(value=False), None)


def as_text(sources: Sources, *, lower: bool = False) -> pl.Series:
    """Text; several sources are joined with a space, missing parts left out."""
    texts = [plain_text(values) for values in sources]
    text = texts[0]
    if len(texts) > 1:
        frame = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(texts)])
        text = frame.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
        text = text.set(text == "", None)
    return text.str.to_lowercase() if lower else text


def as_id(sources: Sources, label: str) -> tuple[pl.Series, list[Fault]]:
    """Ids as text; an id with any empty part is a fault."""
    texts = [plain_text(values) for values in sources]
    empty = texts[0].is_null()
    for part in texts[1:]:
        empty |= part.is_null()
    ids = texts[0] if len(texts) == 1 else as_text(sources)
    mend = "fill in the id or leave the row out"
    return ids, [Fault("empty_id", label, empty, ids.set(empty, None), mend)]


def as_number(
    sources: Sources, label: str, scale: float = 1.0, *, nan_is_missing: bool
) -> tuple[pl.Series, list[Fault]]:
    """Float32; a word or an infinite or NaN value is a fault, nothing is null."""
    values = _first_known(sources)
    numbers, faults = _numbers(values, label)
    # What a 32-bit number cannot hold has become infinite.
    kept = (numbers * scale).cast(pl.Float32)
    odd = (kept.is_nan() | kept.is_infinite()).fill_null(value=False)
    if nan_is_missing:
        kept = kept.set(odd, None)
    else:
        mend = "leave the value empty if it is unknown"
        faults.append(Fault("nan_value", label, odd, values.cast(pl.String), mend))
    return kept, faults


def as_double(values: pl.Series, label: str) -> tuple[pl.Series, list[Fault]]:
    """Float64, where a rounded number would do harm; a word is a fault, NaN is null."""
    numbers, faults = _numbers(values, label)
    return numbers.fill_nan(None), faults


def as_whole_number(
    sources: Sources, label: str, scale: float = 1.0
) -> tuple[pl.Series, list[Fault]]:
    """Int64 of zero or more (durations); fractions are rounded after scaling."""
    values = _first_known(sources)
    numbers, faults = _numbers(values, label)
    numbers = numbers.set((numbers.is_nan() | numbers.is_infinite()).fill_null(value=False), None)
    negative = (numbers < 0).fill_null(value=False)
    mend = "leave the duration empty if it is unknown"
    faults.append(Fault("negative_duration", label, negative, values.cast(pl.String), mend))
    return (numbers * scale).round(0).cast(pl.Int64, strict=False), faults


def as_flag(sources: Sources, label: str) -> tuple[pl.Series, list[Fault]]:
    """True or false from flags, 0 and 1, or the usual words."""
    values = _first_known(sources)
    if values.dtype == pl.Boolean:
        return values, []
    text = plain_text(values).str.to_lowercase()
    flags = pl.DataFrame({"text": text}).select(
        pl.when(pl.col("text").is_in(TRUE))
        .then(statement=True)
        .when(pl.col("text").is_in(FALSE))
        .then(statement=False)
        .alias("flag")
    )["flag"]
    bad = text.is_not_null() & flags.is_null()
    return flags, [Fault("mixed_types", label, bad, text, "write true or false, or leave it empty")]


def as_labels(sources: Sources, split: str) -> pl.Series:
    """Sorted lower-case labels; several sources are united, no label at all is null."""
    parts = []
    for place, values in enumerate(sources):
        if isinstance(values.dtype, pl.List):
            labels = values.cast(pl.List(pl.String))
        else:
            labels = values.cast(pl.String).str.split(split)
        parts.append(labels.alias(str(place)))
    united = pl.concat_list(pl.all().fill_null(pl.lit([], dtype=pl.List(pl.String))))
    clean = pl.element().str.strip_chars().str.to_lowercase()
    column = pl.DataFrame(parts).select(
        united.list.eval(clean.filter(~clean.is_in(NO_LABELS)).drop_nulls().unique().sort()).alias(
            "labels"
        )
    )["labels"]
    return column.set((column.list.len() == 0).fill_null(value=False), None)


def as_date(sources: Sources, label: str) -> tuple[pl.Series, list[Fault]]:
    """Dates; a bare year stands for its first day, a month likewise."""
    values = _first_known(sources)
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        return values.cast(pl.Date), []
    text = plain_text(values)
    padded = (
        pl.DataFrame({"text": text})
        .select(
            pl.when(pl.col("text").str.contains(YEAR))
            .then(pl.col("text") + "-01-01")
            .when(pl.col("text").str.contains(r"^\d{4}-\d{2}$"))
            .then(pl.col("text") + "-01")
            .otherwise(pl.col("text").str.slice(0, 10))
            .alias("text")
        )
        .to_series()
    )
    dates = padded.str.to_date("%Y-%m-%d", strict=False)
    # Catalogues write year 0 for unknown.
    unknown = text.is_in(["0", "0000"])
    bad = text.is_not_null() & dates.is_null() & ~unknown
    mend = "write dates as YYYY-MM-DD, YYYY-MM or YYYY"
    return dates.set(unknown.fill_null(value=False), None), [
        Fault("bad_date", label, bad, text, mend)
    ]


def as_is(sources: Sources) -> tuple[pl.Series, list[Fault]]:
    """Free columns keep their type; empty text is null."""
    values = _first_known(sources)
    if values.dtype == pl.String:
        values = values.set((values.str.strip_chars() == "").fill_null(value=False), None)
    return values, []


def _first_known(sources: Sources) -> pl.Series:
    if len(sources) == 1:
        return sources[0]
    frame = pl.DataFrame([values.alias(str(place)) for place, values in enumerate(sources)])
    return frame.select(pl.coalesce(pl.all())).to_series()


def _numbers(values: pl.Series, label: str) -> tuple[pl.Series, list[Fault]]:
    if values.dtype != pl.String:
        return values.cast(pl.Float64, strict=False), []
    text = plain_text(values)
    numbers = text.cast(pl.Float64, strict=False)
    bad = text.is_not_null() & numbers.is_null()
    return numbers, [Fault("mixed_types", label, bad, text, "write a number or leave it empty")]
