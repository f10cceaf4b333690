"""`Findings`: everything an import has to say about its source, collected on the way."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import TextIO

import polars as pl

from crossfade.data.faults import Fault
from crossfade.data.importing.batch import Batch
from crossfade.errors import Problem

SHOWN_CHARACTERS = 80
RAW_CHARACTERS = 1_000_000


class Findings:
    """Problems with counts and first places, and the side file of rows left out.

    Rows that fail a check are *skipped*; rows that a format or mapping leaves out on
    purpose (podcasts, say) are *set aside*. Both go to the side file, so nothing
    vanishes.
    """

    def __init__(self, side_file: TextIO, *, keep_skipped: bool) -> None:
        """Rows with faults go to the side file only if ``keep_skipped``."""
        self._side_file, self._keep_skipped = side_file, keep_skipped
        self._problems: dict[tuple[str, str], Problem] = {}
        self._warnings: dict[tuple[str, str], Problem] = {}
        self.n_skipped = 0
        self.set_aside: Counter[str] = Counter()
        self.notes: list[str] = []

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Faults found so far, faults of whole files first."""
        return tuple(sorted(self._problems.values(), key=lambda problem: problem.n_rows > 0))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Oddities that stop nothing."""
        return tuple(self._warnings.values())

    @property
    def file_problems(self) -> tuple[Problem, ...]:
        """Faults that no skipping of rows can mend."""
        return tuple(problem for problem in self._problems.values() if problem.n_rows == 0)

    def file(self, check: str, where: str, found: str, mend: str) -> None:
        """A whole file cannot be used."""
        self._problems.setdefault((check, where), Problem(check, 0, where, shorten(found), mend))

    def warn(self, check: str, n_rows: int, where: str, found: str, mend: str) -> None:
        """Something odd that is kept."""
        _count(self._warnings, (check, ""), Problem(check, n_rows, where, shorten(found), mend))

    def note(self, text: str) -> None:
        """A decision the report shall state, once."""
        if text not in self.notes:
            self.notes.append(text)

    def row(self, check: str, where: tuple[str, int], raw: str, found: str, mend: str) -> None:
        """One row of a text file that could not even be split into columns."""
        file, number = where
        place = f"{file}: line {number:,}"
        _count(self._problems, (check, ""), Problem(check, 1, place, shorten(found), mend))
        self.n_skipped += 1
        if self._keep_skipped:
            self._write(file, number, [check], raw)

    def sort_out(self, batch: Batch, faults: Iterable[Fault]) -> pl.Series:
        """Count the faults of a batch and write the rows that have one to the side file.

        Returns:
            True for the rows without a fault.
        """
        checks: dict[int, list[str]] = {}
        seen = set()
        for fault in faults:
            places = fault.bad.arg_true().to_list()
            # A source column that serves two of ours is at fault once.
            if not places or (fault.check, fault.column) in seen:
                continue
            seen.add((fault.check, fault.column))
            first = places[0]
            column = f", column {fault.column}" if fault.column else ""
            where = f"{batch.file}: {batch.unit} {batch.numbers[first]:,}{column}"
            found = shorten(_quoted(fault.found[first]))
            problem = Problem(fault.check, len(places), where, found, fault.mend)
            _count(self._problems, (fault.check, fault.column), problem)
            for place in places:
                names = checks.setdefault(place, [])
                if fault.check not in names:
                    names.append(fault.check)
        for place, names in sorted(checks.items()) if self._keep_skipped else ():
            self._write(batch.file, batch.numbers[place], names, batch.raw(place))
        self.n_skipped += len(checks)
        return _all_but(len(batch), list(checks))

    def put_aside(self, batch: Batch, reason: str, aside: pl.Series) -> Batch:
        """Leave out rows on purpose; returns the others."""
        places = aside.arg_true().to_list()
        for place in places:
            self._write(batch.file, batch.numbers[place], [reason], batch.raw(place))
        if places:
            self.set_aside[reason] += len(places)
        return batch.where(~aside)

    def repeated(self, rows: pl.DataFrame, *, set_aside: bool) -> None:
        """Duplicate events: ``file``, ``unit``, ``number`` and the event as it was understood."""
        described = rows.drop("file", "unit", "number")
        if set_aside:
            self.set_aside["duplicate_event"] += rows.height
        else:
            first = ", ".join(
                f"{name} {value}" for name, value in described.row(0, named=True).items()
            )
            where = f"{rows['file'][0]}: {rows['unit'][0]} {rows['number'][0]:,}"
            mend = 'remove the repeats, or set duplicates = "keep" or "set_aside" in a mapping file'
            problem = Problem("duplicate_event", rows.height, where, shorten(first), mend)
            _count(self._problems, ("duplicate_event", ""), problem)
            self.n_skipped += rows.height
        if set_aside or self._keep_skipped:
            for row in rows.iter_rows(named=True):
                event = {name: row[name] for name in described.columns}
                raw = json.dumps(event, default=str, ensure_ascii=False)
                self._write(row["file"], row["number"], ["duplicate_event"], raw)

    def _write(self, file: str, number: int, checks: list[str], raw: str) -> None:
        row = {"file": file, "number": number, "checks": checks, "row": raw[:RAW_CHARACTERS]}
        self._side_file.write(json.dumps(row, ensure_ascii=False) + "\n")


def shorten(text: str) -> str:
    """A value for a message: one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "…"


def _quoted(value: object) -> str:
    return "nothing there" if value is None or value == "" else f'"{value}"'


def _count(into: dict[tuple[str, str], Problem], key: tuple[str, str], new: Problem) -> None:
    old = into.get(key)
    into[key] = (
        new
        if old is None
        else Problem(old.check, old.n_rows + new.n_rows, old.where, old.found, old.mend)
    )


def _all_but(n: int, places: list[int]) -> pl.Series:
    keep = pl.repeat(value=True, n=n, dtype=pl.Boolean, eager=True)
    return keep.scatter(places, values=False) if places else keep
