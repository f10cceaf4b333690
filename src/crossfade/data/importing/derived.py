"""Small building blocks the source formats share: chained readers, derived columns, file search."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.plan import Read
from crossfade.errors import DataError

TITLE_YEAR = r"\((\d{4})\)\s*$"


@dataclass(frozen=True)
class Derived:
    """A source column that a format computes from others (all of them text)."""

    name: str
    sources: tuple[str, ...]
    expression: pl.Expr


def with_derived(read: Read, *columns: Derived) -> Read:
    """The same batches with computed columns, as if the file held them.

    A column is computed only where it is wanted and all its sources are there.
    """

    def derived(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        wanted: list[str] = []

        def inner(file: str) -> Choose:
            def choose(own: Sequence[str]) -> Sequence[str]:
                able = [c for c in columns if set(c.sources) <= set(own)]
                names = choose_for(file)([*own, *(c.name for c in able if c.name not in own)])
                wanted[:] = names
                computed = {c.name: c for c in able}
                needed = [name for name in names if name not in computed]
                for name in names:
                    needed += computed[name].sources if name in computed else ()
                # A file may be wanted for nothing but a constant; then any column will do.
                return list(dict.fromkeys(needed)) or list(own[:1] if names else ())

            return choose

        for batch in read(inner, findings):
            here = [c for c in columns if c.name in wanted]
            frame = batch.frame.with_columns(c.expression.alias(c.name) for c in here)
            yield replace(batch, frame=frame)

    return derived


def chained(reads: Sequence[Read]) -> Read:
    """The batches of several files, one after the other."""

    def read(choose_for: Callable[[str], Choose], findings: Findings) -> Iterator[Batch]:
        for one in reads:
            yield from one(choose_for, findings)

    return read


def names_key(creator: str, title: str) -> pl.Expr:
    """An item id from printed names, for plays without an id of their own; null without a title."""

    def clean(name: str) -> pl.Expr:
        return pl.col(name).str.strip_chars().str.to_lowercase()

    known = clean(title).is_not_null() & (clean(title) != "")
    return pl.when(known).then(clean(creator).fill_null("") + " / " + clean(title))


def known_text(name: str) -> pl.Expr:
    """A text column with empty text as null."""
    return pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name))


def wanted_file(source: Path, names: Sequence[str], kind: str) -> Path:
    """The first of some files that is there; ``source`` may be the file itself.

    Raises:
        DataError: If none is.
    """
    found = optional_file(source, names) if not source.is_file() else source
    if found is None:
        listed = " or ".join(names)
        raise DataError(f"{source}: no {listed} here; give the folder of an unpacked {kind} set")
    return found


def optional_file(source: Path, names: Sequence[str]) -> Path | None:
    """The first of some files beside or in ``source``, or None."""
    folder = source.parent if source.is_file() else source
    paths = [folder / name for name in names]
    return next((path for path in paths if path.is_file()), None)


def wanted_folder(source: Path) -> None:
    """Raises a `DataError` if there is nothing at ``source``."""
    if not source.exists():
        raise DataError(f"{source}: no such file or folder; check the path")


def people(source: Path, patterns: Sequence[str]) -> list[tuple[str, Path]]:
    """Whose each file is: files in a sub-folder belong to the person it is named after.

    Files directly in ``source`` (or ``source`` itself, if a file) belong to the person
    the folder (or file) is named after.
    """
    wanted_folder(source)
    if source.is_file():
        return [(source.name.split(".")[0], source)]
    paths = sorted({path for pattern in patterns for path in source.rglob(pattern)})
    out = []
    for path in paths:
        inside = path.relative_to(source).parts
        out.append((inside[0] if len(inside) > 1 else source.resolve().name, path))
    return out
