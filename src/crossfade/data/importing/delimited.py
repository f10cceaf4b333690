"""Streaming reader of CSV and TSV files.

A block in which every line is one record with the right number of fields goes through
Polars at full speed. A block with some odd line goes record by record through the
standard library's ``csv``, and if it ends inside a quoted value, so does the rest of
the file. Every row keeps its line number.
"""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossfade.data.faults import Fault
from crossfade.data.importing.batch import BATCH_ROWS, Batch
from crossfade.data.importing.blocks import Block, Choose, decoded_lines, text_blocks
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import FileMapping
from crossfade.types import Bools

UNIT_SEPARATOR = "\x1f"
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def read_delimited(
    path: Path, options: FileMapping, choose: Choose, findings: Findings
) -> Iterator[Batch]:
    """Batches of text columns.

    Args:
        path: The file, perhaps ``.gz``.
        options: Delimiter, quote, encoding, header.
        choose: Which of the file's columns are wanted.
        findings: Where rows go that cannot be split, and faults of the whole file.
    """
    default = "\t" if options.file_kind() == "tsv" else ","
    delimiter = options.delimiter if options.delimiter is not None else default
    default_quote = "" if options.file_kind() == "tsv" or len(delimiter) > 1 else '"'
    quote = options.quote if options.quote is not None else default_quote
    yield from _Reader(path, options, delimiter, quote, findings).batches(choose)


class _Reader:
    def __init__(
        self, path: Path, options: FileMapping, delimiter: str, quote: str, findings: Findings
    ) -> None:
        self.path, self.encoding, self.findings = path, options.encoding, findings
        self.shown_delimiter, self.quote = delimiter, quote
        # "::" and the like: our parsers want one character.
        self.delimiter = UNIT_SEPARATOR if len(delimiter) > 1 else delimiter
        self.names: Sequence[str] = options.header if options.header is not None else ()
        self.has_header = options.header is None
        self.wanted: list[str] = []

    def batches(self, choose: Choose) -> Iterator[Batch]:
        blocks: Iterator[Block] = (
            self._prepared(block) for block in text_blocks(self.path, self.findings)
        )
        first = next(blocks, None)
        if first is None:
            return
        if self.has_header:
            header, first = self._split_header(first)
            if header is None:
                return
            self.names = header
        self.wanted = list(choose(self.names))
        if not self.wanted:
            return
        blocks = itertools.chain([first], blocks)
        for block in blocks:
            plain = self._plain(block)
            n_quotes = block.data.count(self.quote.encode()) if self.quote else 0
            if plain is not None:
                yield plain
            elif n_quotes == 0:
                yield from self._line_by_line(block)
            elif n_quotes % 2 == 0:
                # A value that goes on in the next block has opened a quote and not closed it.
                yield from self._quoted(iter([block]))
            else:
                yield from self._quoted(itertools.chain([block], blocks))

    def _prepared(self, block: Block) -> Block:
        data = block.data
        if self.encoding != "utf-8":
            try:
                data = data.decode(self.encoding).encode()
            except UnicodeDecodeError:
                lines = dict(decoded_lines(block, self.path, self.encoding, self.findings))
                numbers = range(block.first_line, block.first_line + data.count(b"\n"))
                # An empty line in place of a bad one keeps the numbers of the others.
                data = "".join(lines.get(number, "\n") for number in numbers).encode()
        if len(self.shown_delimiter) > 1:
            data = data.replace(self.shown_delimiter.encode(), UNIT_SEPARATOR.encode())
        return Block(data, block.first_line)

    def _split_header(self, block: Block) -> tuple[list[str] | None, Block]:
        line, _, rest = block.data.partition(b"\n")
        text = line.decode("utf-8", errors="replace")
        try:
            names = [name.strip() for name in self._fields(text)]
        except csv.Error as error:
            where, mend = f"{self.path.name}: line 1", "check that this is a table of text"
            self.findings.file("damaged_file", where, str(error), mend)
            return None, block
        others = [label for mark, label in DELIMITERS.items() if mark in text]
        if len(names) == 1 and others:
            self.findings.file(
                "wrong_delimiter",
                f"{self.path.name}: line 1",
                f'one column "{text}"',
                f"the columns seem to be separated by {others[0]}; set delimiter",
            )
            return None, block
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            self.findings.file(
                "repeated_column",
                f"{self.path.name}: line 1",
                f'"{twice}" stands there twice',
                "give every column its own name",
            )
            return None, block
        return names, Block(rest, block.first_line + 1)

    def _fields(self, line: str) -> list[str]:
        if not self.quote:
            return line.split(self.delimiter)
        return next(csv.reader([line], delimiter=self.delimiter, quotechar=self.quote), [""])

    def _plain(self, block: Block) -> Batch | None:
        """The whole block at once, or None where some line needs a closer look."""
        data, n = block.data, len(self.names)
        if not data or n < 2 or not _is_utf8(data):
            return None
        marks = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(marks == ord("\n"))
        seps = np.flatnonzero(marks == ord(self.delimiter))
        if self.quote:
            quotes = np.flatnonzero(marks == ord(self.quote))
            if not _well_quoted(marks, quotes, ord(self.delimiter)) or _inside(quotes, ends).any():
                return None
            seps = seps[~_inside(quotes, seps)] if len(quotes) else seps
        starts = np.concatenate([[0], ends[:-1] + 1])
        if len(seps) != len(ends) * (n - 1):
            return None
        grid = seps.reshape(len(ends), n - 1)
        if (grid[:, 0] < starts).any() or (grid[:, -1] > ends).any():
            return None
        frame = pl.read_csv(
            io.BytesIO(data),
            has_header=False,
            new_columns=list(self.names),
            separator=self.delimiter,
            quote_char=self.quote or None,
            infer_schema=False,
        ).select(self.wanted)
        if frame.height != len(ends):
            return None

        def raw(place: int) -> str:
            return self._shown(data[starts[place] : ends[place]].decode())

        numbers = pl.Series(np.arange(block.first_line, block.first_line + len(ends)))
        return self._without_headers(Batch(self.path.name, "line", numbers, frame, raw))

    def _line_by_line(self, block: Block) -> Iterator[Batch]:
        """A block without quotes in which at least one line is odd."""
        found: list[tuple[int, str, list[str]]] = []
        for number, line in decoded_lines(block, self.path, "utf-8", self.findings):
            text = line.rstrip("\n")
            if text.strip():
                self._keep(found, number, text, text.split(self.delimiter))
        yield from self._as_batch(found)

    def _quoted(self, blocks: Iterator[Block]) -> Iterator[Batch]:
        """The rest of the file by the rules of quoting; a record may span lines."""
        consumed: list[tuple[int, str]] = []

        def feed() -> Iterator[str]:
            for block in blocks:
                for number, line in decoded_lines(block, self.path, "utf-8", self.findings):
                    consumed.append((number, line))
                    yield line

        reader = csv.reader(feed(), delimiter=self.delimiter, quotechar=self.quote, strict=True)
        found: list[tuple[int, str, list[str]]] = []
        while True:
            consumed.clear()
            try:
                fields = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                self.findings.row(
                    "bad_quoting",
                    (self.path.name, consumed[0][0]),
                    self._shown("".join(line for _, line in consumed).rstrip("\n")),
                    f"{error} ({len(consumed)} lines)" if len(consumed) > 1 else str(error),
                    'close the quote or double it; set quote = "" if quotes mean nothing here',
                )
                continue
            if fields and any(field.strip() for field in fields):
                text = "".join(line for _, line in consumed).rstrip("\n")
                self._keep(found, consumed[0][0], text, fields)
            if len(found) == BATCH_ROWS:
                yield from self._as_batch(found)
                found = []
        yield from self._as_batch(found)

    def _keep(
        self, found: list[tuple[int, str, list[str]]], number: int, text: str, fields: list[str]
    ) -> None:
        if len(fields) == len(self.names):
            found.append((number, text, fields))
            return
        n_columns = f"{len(self.names)} column{'s' if len(self.names) > 1 else ''}"
        self.findings.row(
            "ragged_row",
            (self.path.name, number),
            self._shown(text),
            f"{len(fields)} fields where there are {n_columns}",
            "give every row all columns; put values that hold the delimiter in quotes",
        )

    def _as_batch(self, found: list[tuple[int, str, list[str]]]) -> Iterator[Batch]:
        if not found:
            return
        places = {name: place for place, name in enumerate(self.names)}
        frame = pl.DataFrame(
            {name: [fields[places[name]] for _, _, fields in found] for name in self.wanted},
            schema=dict.fromkeys(self.wanted, pl.String),
        )
        numbers = pl.Series([number for number, _, _ in found], dtype=pl.Int64)
        texts = [text for _, text, _ in found]
        batch = Batch(
            self.path.name, "line", numbers, frame, lambda place: self._shown(texts[place])
        )
        yield self._without_headers(batch)

    def _without_headers(self, batch: Batch) -> Batch:
        """Glued files repeat their header in the middle."""
        if not self.has_header:
            return batch
        header = batch.frame.select(
            pl.all_horizontal(pl.col(name).eq_missing(name) for name in self.wanted).alias("is")
        )["is"]
        if not header.any():
            return batch
        fault = Fault(
            "repeated_header",
            "",
            header,
            batch.frame[self.wanted[0]],
            "remove the header lines inside the file",
        )
        return batch.where(self.findings.sort_out(batch, [fault]))

    def _shown(self, text: str) -> str:
        return text.replace(UNIT_SEPARATOR, self.shown_delimiter) if self.delimiter else text


def _inside(quotes: NDArray[np.int64], places: NDArray[np.int64]) -> Bools:
    """Which places lie between an opening and a closing quote."""
    inside: Bools = (np.searchsorted(quotes, places) & 1).astype(np.bool_)
    return inside


def _well_quoted(marks: NDArray[np.uint8], quotes: NDArray[np.int64], separator: int) -> bool:
    """Whether quotes open only at the start of a value, close only at its end, or are doubled.

    ``marks`` ends with a newline.
    """
    opening, closing = quotes[::2], quotes[1::2]
    if len(opening) != len(closing):
        return False
    edges = (separator, ord("\n"))
    # A doubled quote reads as a closing one and an opening one beside it.
    doubled = np.flatnonzero(closing[:-1] + 1 == opening[1:])
    before = np.isin(marks[opening - 1], edges) | (opening == 0)
    after = np.isin(marks[closing + 1], edges)
    before[doubled + 1] = True
    after[doubled] = True
    return bool(before.all() and after.all())


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
