"""Events piece by piece: growing vocabularies, compact columns, one sort at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import Duplicates
from crossfade.data.vocabulary import Vocabulary
from crossfade.types import Bools, Rows

DUPLICATE_KEY = ("user_id", "item_id", "timestamp", "event")
SHOWN_MISSING = 3


class GrowingVocabulary:
    """Texts and the codes they get in the order they first appear."""

    def __init__(self) -> None:
        self._code_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._code_of)

    def encode(self, texts: pl.Series) -> Rows:
        """Codes of a whole column, -1 for null; new texts get the next codes."""
        unique = texts.drop_nulls().unique(maintain_order=True)
        code_of = self._code_of
        codes = np.fromiter(
            (code_of.setdefault(text, len(code_of)) for text in unique.to_list()),
            dtype=np.int32,
            count=len(unique),
        )
        places = texts.cast(pl.Enum(unique)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        # The appended -1 is what place -1, the nulls, picks.
        chosen: Rows = np.append(codes, np.int32(-1))[places]
        return chosen

    def texts(self) -> pl.Series:
        """All texts, by code."""
        return pl.Series(list(self._code_of), dtype=pl.String)


@dataclass
class Collector:
    """Checked events in about 30 bytes each, however long their ids are.

    Attributes:
        findings: Takes duplicates and ids that no catalogue knows.
        duplicates: What becomes of events that repeat an earlier one.
    """

    findings: Findings
    duplicates: Duplicates = "report"
    n_rows: int = 0
    _vocabularies: dict[str, GrowingVocabulary] = field(default_factory=dict)
    _pieces: list[pl.DataFrame] = field(default_factory=list)
    _places: list[tuple[str, str, pl.Series]] = field(default_factory=list)
    _items: list[pl.DataFrame] = field(default_factory=list)

    def add(self, events: pl.DataFrame, batch: Batch, items: pl.DataFrame | None = None) -> None:
        """Take the events of a batch.

        Args:
            events: Converted good rows.
            batch: The same rows as they were, for their places.
            items: What the rows say about their items, one row each, if anything.
        """
        if events.is_empty():
            return
        n_known = len(self._vocabularies.get("item_id", ()))
        columns = []
        for series in events:
            if series.dtype == pl.String:
                growing = self._vocabularies.setdefault(series.name, GrowingVocabulary())
                columns.append(pl.Series(series.name, growing.encode(series), dtype=pl.Int32))
            else:
                columns.append(series)
        piece = pl.DataFrame(columns)
        self._pieces.append(piece)
        numbers = batch.numbers.cast(pl.UInt32)
        self._places.append((batch.file, batch.unit, numbers))
        self.n_rows += piece.height
        if items is not None:
            # The first row about an item describes it; later ones repeat it.
            fresh = items.with_columns(piece["item_id"].alias("code")).filter(
                pl.col("code") >= n_known
            )
            self._items.append(fresh.unique("code", keep="first", maintain_order=True).drop("code"))

    def items(self) -> pl.DataFrame | None:
        """The catalogue that the events themselves tell, or None if they tell nothing."""
        return pl.concat(self._items, how="diagonal_relaxed") if self._items else None

    def finish(
        self, items: pl.DataFrame | None, users: pl.DataFrame | None
    ) -> tuple[pl.DataFrame, Vocabulary, Vocabulary]:
        """All events with ``user_row`` and ``item_row``, in file order, and the final vocabularies.

        The collector is empty afterwards. Call it with one event at least.
        """
        # A context column can be text in one file and absent in the next.
        events = pl.concat(self._pieces, how="diagonal_relaxed", rechunk=True)
        self._pieces = []
        if self.duplicates != "keep":
            keep = self._first_of_each(events)
            if keep is not None:
                events = events.filter(pl.Series(keep))
                self._keep_places(keep)
        rows = {}
        final = {}
        for noun, catalogue in (("user", users), ("item", items)):
            texts = self._vocabularies[f"{noun}_id"].texts()
            codes = events[f"{noun}_id"]
            if catalogue is None:
                final[noun] = Vocabulary.of(noun, texts)
            else:
                final[noun] = Vocabulary.of(noun, texts, catalogue[f"{noun}_id"])
                self._report_missing(noun, texts, codes, catalogue[f"{noun}_id"])
            row_of_code = final[noun].encode(texts).fill_null(-1).to_numpy()
            rows[noun] = pl.Series(f"{noun}_row", row_of_code[codes.to_numpy()], dtype=pl.Int32)
        others = [
            self._text(series) if series.name in self._vocabularies else series
            for series in events.drop("user_id", "item_id")
        ]
        self._vocabularies = {}
        return pl.DataFrame([rows["user"], rows["item"], *others]), final["user"], final["item"]

    def _text(self, codes: pl.Series) -> pl.Series:
        texts = self._vocabularies[codes.name].texts()
        return texts.gather(codes.set(codes < 0, None)).alias(codes.name)

    def _first_of_each(self, events: pl.DataFrame) -> Bools | None:
        """True for first occurrences; None where nothing is repeated."""
        names = [name for name in DUPLICATE_KEY if name in events.columns]
        hashes = _hash(events, names)
        ordered = np.sort(hashes)
        doubtful = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        if not len(doubtful):
            return None
        # Equal hashes are only a suspicion; the suspects are compared for real.
        suspects = np.flatnonzero(np.isin(hashes, doubtful))
        first = events[suspects].select(pl.struct(names).is_first_distinct()).to_series()
        repeated = suspects[~first.to_numpy()]
        if not len(repeated):
            return None
        keep = np.ones(events.height, dtype=np.bool_)
        keep[repeated] = False
        rows = events[repeated].select(names)
        self.findings.repeated(
            pl.DataFrame(
                [
                    *self._places_of(repeated),
                    *(self._text(s) if s.name in self._vocabularies else s for s in rows),
                ]
            ),
            set_aside=self.duplicates == "set_aside",
        )
        return keep

    def _report_missing(
        self, noun: str, texts: pl.Series, codes: pl.Series, catalogue: pl.Series
    ) -> None:
        known = texts.is_in(catalogue.implode()).to_numpy()
        missing = np.flatnonzero(~known[codes.to_numpy()])
        if not len(missing):
            return
        ids = texts.gather(codes.gather(missing).unique(maintain_order=True))
        file, unit, number = (column[0] for column in self._places_of(missing[:1]))
        shown = ", ".join(f'"{text}"' for text in ids.head(SHOWN_MISSING))
        self.findings.warn(
            f"{noun}_not_in_catalogue",
            len(missing),
            f"{file}: {unit} {number:,}",
            f"{len(ids):,} {noun}s such as {shown}",
            f"kept as {noun}s about whom nothing but the events is known"
            if noun == "user"
            else "kept as items without content",
        )

    def _places_of(self, places: Sequence[int] | np.ndarray) -> list[pl.Series]:
        wanted = np.asarray(places)
        stops = np.cumsum([len(numbers) for _, _, numbers in self._places])
        pieces = np.searchsorted(stops, wanted, side="right")
        starts = np.concatenate([[0], stops[:-1]])
        found = [
            (*self._places[piece][:2], self._places[piece][2][int(place - starts[piece])])
            for place, piece in zip(wanted, pieces, strict=True)
        ]
        return [
            pl.Series("file", [file for file, _, _ in found]),
            pl.Series("unit", [unit for _, unit, _ in found]),
            pl.Series("number", [number for _, _, number in found], dtype=pl.Int64),
        ]

    def _keep_places(self, keep: Bools) -> None:
        start = 0
        kept = []
        for file, unit, numbers in self._places:
            stop = start + len(numbers)
            kept.append((file, unit, numbers.filter(pl.Series(keep[start:stop]))))
            start = stop
        self._places = kept


def _hash(events: pl.DataFrame, names: Sequence[str]) -> np.ndarray:
    """A 64-bit mix of some integer columns, one per row."""
    mixed = np.zeros(events.height, dtype=np.uint64)
    for name in names:
        values = events[name].to_physical().fill_null(-1).cast(pl.Int64).to_numpy()
        mixed ^= values.view(np.uint64)
        # The two odd constants and shifts of the splitmix64 generator.
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
