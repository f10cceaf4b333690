"""The import itself: read, check, encode, sort, save; nothing is written if that fails."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TextIO

import polars as pl

from crossfade.data.conform import by_id
from crossfade.data.dataset import Dataset
from crossfade.data.directory import save_dataset
from crossfade.data.importing.batch import Batch
from crossfade.data.importing.catalogue import load_joins, read_table, with_joins
from crossfade.data.importing.collect import Collector
from crossfade.data.importing.convert import (
    EVENTS,
    FRIENDS,
    ITEMS,
    TAGGINGS,
    USERS,
    Converter,
    TableKind,
)
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.plan import Plan, PlannedTable
from crossfade.data.importing.report import ImportReport
from crossfade.data.importing.vectors import read_vectors, vectors_by_row
from crossfade.data.schema import EVENT_KINDS
from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import DataError
from crossfade.files import refuse_foreign
from crossfade.progress import task

SIDE_FILE = "skipped.jsonl"

OnError = Literal["fail", "skip"]


def run_plan(
    plan: Plan, to: Path, *, now: datetime, on_error: OnError = "fail", origin: str = "table"
) -> ImportReport:
    """Carry out an import.

    Args:
        plan: What to read and how.
        to: Directory of the data set to write.
        now: The clock; later times are faults.
        on_error: ``"fail"`` writes nothing if any row has a fault; ``"skip"`` leaves such
            rows out and keeps them in the side file. Faults of a whole file always fail.
        origin: Where the data come from, kept in the manifest.

    Raises:
        DataError: With every problem found, counted.
        BundleError: If the place holds something else or the disk refuses.
    """
    refuse_foreign(to, "dataset")
    with _side_file() as (side_path, side):
        run = _Run(plan, now, side, on_error)
        dataset = run.dataset()
        side.flush()
        report = run.report(dataset, to, has_side_file=side_path.stat().st_size > 0)
        version = save_dataset(
            dataset,
            to,
            {"origin": origin, "imported_at": now.isoformat(), **_kept_facts(report)},
            [side_path] if report.side_file is not None else [],
        )
    side_at = to / f"parts-{version}" / SIDE_FILE if report.side_file is not None else None
    return replace(report, version=version, side_file=side_at)


class _Run:
    def __init__(self, plan: Plan, now: datetime, side: TextIO, on_error: OnError) -> None:
        self.plan, self.now, self.on_error = plan, now, on_error
        self.of_events = Findings(side, keep_skipped=on_error == "skip")
        self.of_others = Findings(side, keep_skipped=on_error == "skip")
        self.n_kept = 0
        for text in plan.notes:
            self.of_events.note(text)

    def dataset(self) -> Dataset:
        plan = self.plan
        items = self._table(plan.items, ITEMS)
        users = self._table(plan.users, USERS)
        taggings = self._table(plan.taggings, TAGGINGS)
        friends = self._table(plan.friends, FRIENDS)
        vectors = {
            name: read_vectors(name, one, self.of_others) for name, one in plan.vectors.items()
        }
        collector = Collector(self.of_events, duplicates=plan.duplicates)
        self._read_events(collector)
        told = collector.items()
        if told is not None:
            items = self._items_from_events(told)
        n_good = collector.n_rows
        if not n_good or self.of_events.file_problems or self.of_others.file_problems:
            self._refuse(n_good)
        events, user_ids, item_ids = collector.finish(items, users)
        self.n_kept = events.height
        of_items = vectors_by_row(vectors, item_ids, self.of_others)
        if self.of_others.file_problems:
            self._refuse(n_good)
        if self.on_error == "fail" and (self.of_events.problems or self.of_others.problems):
            self._refuse(n_good)
        self._check_kinds(events)
        self._check_target(events)
        return Dataset.from_rows(
            events,
            _by_id(item_ids, items),
            _by_id(user_ids, users),
            name=plan.name,
            target=plan.target,
            taggings=self._in_rows("taggings", taggings, user_id=user_ids, item_id=item_ids),
            friends=self._in_rows("friends", friends, user_id=user_ids, friend_id=user_ids),
            vectors=of_items,
            session_gap_minutes=plan.session_gap_minutes,
        )

    def report(self, dataset: Dataset, to: Path, *, has_side_file: bool) -> ImportReport:
        aside = dict(self.of_events.set_aside)
        times = dataset.events["timestamp"] if dataset.has_times else None
        return ImportReport(
            name=dataset.name,
            directory=to,
            version="",
            n_read=self.n_kept + self.of_events.n_skipped + sum(aside.values()),
            n_kept=self.n_kept,
            n_skipped=self.of_events.n_skipped,
            set_aside=aside,
            n_skipped_elsewhere=self.of_others.n_skipped + self.of_others.set_aside.total(),
            n_users=dataset.n_users,
            n_items=dataset.n_items,
            span=None if times is None else (times[0], times[-1]),
            n_positives=int((dataset.events["strength"] > 0).sum()),
            target=dataset.target,
            problems=(*self.of_events.problems, *self.of_others.problems),
            warnings=(*self.of_events.warnings, *self.of_others.warnings),
            notes=(*self.of_events.notes, *self.of_others.notes),
            side_file=to if has_side_file else None,
        )

    def _table(self, planned: PlannedTable | None, kind: TableKind) -> pl.DataFrame | None:
        if planned is None:
            return None
        with task(f"read {kind.name}"):
            return read_table(planned, kind, self.now, self.of_others)

    def _read_events(self, collector: Collector) -> None:
        planned, in_events = self.plan.events, self.plan.items_in_events
        prefixes = tuple(f"{join.name}." for join in self.plan.item_joins)
        sources = [s for column in in_events.values() for s in column.sources]
        sources = [s for s in sources if not s.startswith(prefixes)] if prefixes else sources
        sources += [join.key for join in self.plan.item_joins]
        told = list(dict.fromkeys(sources))
        converter = Converter(
            EVENTS,
            planned.columns,
            self.now,
            self.of_events,
            keep_others=planned.keep_others,
            require=planned.require,
            also_read=tuple(told),
        )
        with task("read events") as progress:
            for batch in planned.read(
                lambda file: lambda own: converter.choose(own, file), self.of_events
            ):
                events, kept = converter.convert(batch)
                collector.add(events, kept, self._about_items(events, kept, told))
                progress.advance(len(batch))
        for text in converter.describe_times():
            self.of_events.note(text)

    @staticmethod
    def _about_items(events: pl.DataFrame, kept: Batch, told: list[str]) -> pl.DataFrame | None:
        if not told:
            return None
        return kept.frame.select(told).with_columns(events["item_id"].alias("item_id"))

    def _items_from_events(self, told: pl.DataFrame) -> pl.DataFrame:
        joins, columns = self.plan.item_joins, dict(self.plan.items_in_events)
        joined = load_joins(joins, columns, self.of_others)
        columns.pop("item_id", None)
        converter = Converter(ITEMS, columns, self.now, self.of_others)
        frame = with_joins(told, joins, joined)
        numbers = pl.int_range(1, told.height + 1, dtype=pl.Int64, eager=True)
        batch = Batch("items of the events", "row", numbers, frame, lambda i: str(frame.row(i)))
        if not converter.choose(told.columns, batch.file, frame.columns):
            return told.select("item_id")
        return converter.convert(batch)[0]

    def _check_kinds(self, events: pl.DataFrame) -> None:
        """Says which kinds of event mean nothing to us; a "thumbs down" would count as wanted."""
        if "event" not in events.columns:
            return
        unknown = events["event"].drop_nulls()
        unknown = unknown.filter(~unknown.is_in(EVENT_KINDS))
        if len(unknown):
            listed = ", ".join(f'"{kind}"' for kind in unknown.unique().sort().head(3))
            mend = f"they count like plays; if that is wrong, call them one of {', '.join(EVENT_KINDS)}"
            self.of_events.warn("unknown_event", len(unknown), "events", listed, mend)

    def _check_target(self, events: pl.DataFrame) -> None:
        """Says how many events pass a rule only because what it looks at is unknown."""
        target = self.plan.target
        rules = (
            ("no_rating", "value", target.min_value, "or more"),
            ("no_played_ms", "played_ms", target.min_played_ms, "ms or more"),
        )
        for check, column, least, unit in rules:
            known = column in events.columns
            n_unknown = events[column].null_count() if known else events.height
            if least is not None and n_unknown:
                mend = f"they count as positive although the target asks for {least:g} {unit}"
                self.of_events.warn(check, n_unknown, "events", f"no {column}", mend)

    def _in_rows(
        self, table: str, frame: pl.DataFrame | None, **vocabularies: Vocabulary
    ) -> pl.DataFrame | None:
        """Ids as rows; pairs with somebody or something unknown are left out, and counted."""
        if frame is None:
            return None
        rows = [
            ids.encode(frame[name]).alias(f"{name[:-3]}_row") for name, ids in vocabularies.items()
        ]
        whole = frame.drop(*vocabularies).select(*rows, pl.all())
        known = whole.drop_nulls([row.name for row in rows])
        if known.height < whole.height:
            self.of_others.warn(
                f"{table}_of_unknown",
                whole.height - known.height,
                table,
                "users or items that are in no event and no catalogue",
                "left out, since nobody could use them",
            )
        return known

    def _refuse(self, n_good: int) -> None:
        problems = (*self.of_events.problems, *self.of_others.problems)
        n_bad = self.of_events.n_skipped
        n_rows = n_good + n_bad - self._n_repeated()
        if not problems and not n_good:
            aside = sum(self.of_events.set_aside.values())
            why = f"all {aside:,} rows were set aside" if aside else "the files hold no rows"
            raise DataError(
                f"{self.plan.name}: no events to import; {why}; give a log with at least one event"
            )
        count = f"{n_bad:,} of {n_rows:,} rows of the log have faults; " if n_bad else ""
        mend = (
            "" if self._beyond_skipping(n_good) else ", or leave such rows out with --on-error skip"
        )
        raise DataError(
            f"{self.plan.name}: {count}nothing was written; mend these{mend}:", problems
        )

    def _n_repeated(self) -> int:
        found = [p.n_rows for p in self.of_events.problems if p.check == "duplicate_event"]
        return sum(found)

    def _beyond_skipping(self, n_good: int) -> bool:
        return not n_good or bool(self.of_events.file_problems or self.of_others.file_problems)


@contextmanager
def _side_file() -> Iterator[tuple[Path, TextIO]]:
    with tempfile.TemporaryDirectory(prefix="crossfade-import-") as folder:
        path = Path(folder) / SIDE_FILE
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield path, file


def _by_id(ids: Vocabulary, catalogue: pl.DataFrame | None) -> pl.DataFrame:
    return pl.DataFrame({f"{ids.noun}_id": ids.ids}) if catalogue is None else by_id(ids, catalogue)


def _kept_facts(report: ImportReport) -> dict[str, object]:
    names = (
        "n_read",
        "n_kept",
        "n_skipped",
        "set_aside",
        "n_skipped_elsewhere",
        "problems",
        "warnings",
        "notes",
    )
    facts = report.facts()
    return {name: facts[name] for name in names}
