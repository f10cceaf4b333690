"""Readers of JSON, JSON lines and Parquet files."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from crossfade.data.importing.batch import BATCH_ROWS, Batch
from crossfade.data.importing.blocks import Choose, decoded_lines, text_blocks
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import FileMapping

MAX_JSON_BYTES = 1 << 30
JSON_BATCH_ROWS = 50_000

Record = dict[str, Any]


def json_lines(
    path: Path, findings: Findings, encoding: str = "utf-8"
) -> Iterator[tuple[int, str, Record]]:
    """Line number, text and object of each line; other lines become problems."""
    for block in text_blocks(path, findings):
        for number, line in decoded_lines(block, path, encoding, findings):
            text = line.strip()
            if not text:
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                found, mend = str(error), "write one JSON object per line"
                findings.row("bad_json", (path.name, number), text, found, mend)
                continue
            if isinstance(record, dict):
                yield number, text, record
            else:
                found, mend = f"{type(record).__name__}", "write one JSON object per line"
                findings.row("bad_json", (path.name, number), text, found, mend)


def json_array(path: Path, findings: Findings) -> Iterator[tuple[int, str, Record]]:
    """Place, text and object of each element of a JSON file that holds one array.

    The file is read whole, so it may not be larger than 1 GiB.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            mend = "turn the file into JSON lines (one object per line)"
            findings.file("file_too_large", path.name, "a JSON array above 1 GiB", mend)
            return
        data = path.read_bytes()
        if not data.strip():
            findings.file("empty_file", path.name, "no JSON in it", "give a file with rows")
            return
        array = json.loads(data)
    except FileNotFoundError:
        findings.file("missing_file", str(path), "no such file", "check the path")
        return
    except (OSError, ValueError, RecursionError) as error:
        mend = "get the file again; if it holds one object per line, set kind = jsonl"
        findings.file("damaged_file", path.name, str(error), mend)
        return
    if not isinstance(array, list):
        found = f"a JSON {type(array).__name__}, not an array"
        findings.file("damaged_file", path.name, found, "give an array of objects")
        return
    for place, record in enumerate(array, start=1):
        text = json.dumps(record, ensure_ascii=False)
        if isinstance(record, dict):
            yield place, text, record
        else:
            found = type(record).__name__
            findings.row("bad_json", (path.name, place), text, found, "give an array of objects")


def read_json(
    path: Path, options: FileMapping, choose: Choose, findings: Findings
) -> Iterator[Batch]:
    """Batches of a JSON or JSON-lines file; inner objects give columns ``outer.inner``."""
    if options.file_kind() == "json":
        rows, unit = json_array(path, findings), "row"
    else:
        rows, unit = json_lines(path, findings, options.encoding), "line"
    for chunk in chunks(((n, text, flat(record)) for n, text, record in rows), JSON_BATCH_ROWS):
        # A key may be absent in some objects, so the names are those of the whole chunk.
        names = list(dict.fromkeys(name for _, _, record in chunk for name in record))
        wanted = choose(names)
        if not wanted:
            return
        yield record_batch(path.name, unit, chunk, wanted)


def record_batch(
    file: str, unit: str, rows: Sequence[tuple[int, str, Record]], names: Sequence[str]
) -> Batch:
    """Objects as a batch of the named columns; absent keys are null."""
    texts = [text for _, text, _ in rows]
    return Batch(
        file,
        "line" if unit == "line" else "row",
        pl.Series([number for number, _, _ in rows], dtype=pl.Int64),
        pl.DataFrame(
            [_column(name, [record.get(name) for _, _, record in rows]) for name in names]
        ),
        texts.__getitem__,
    )


def chunks(
    rows: Iterable[tuple[int, str, Record]], size: int
) -> Iterator[list[tuple[int, str, Record]]]:
    """Consecutive rows in lists of at most ``size``."""
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def flat(record: Record, prefix: str = "") -> Record:
    """Inner objects opened: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    out: Record = {}
    for key, value in record.items():
        if isinstance(value, dict):
            out.update(flat(value, f"{prefix}{key}."))
        else:
            out[f"{prefix}{key}"] = value
    return out


def _column(name: str, values: list[Any]) -> pl.Series:
    if any(isinstance(value, list) for value in values) and all(
        value is None or isinstance(value, list) for value in values
    ):
        texts = [None if value is None else [_text(part) for part in value] for value in values]
        return pl.Series(name, texts, dtype=pl.List(pl.String))
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    return (
        value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )


def read_parquet(path: Path, choose: Choose, findings: Findings) -> Iterator[Batch]:
    """Batches of a Parquet file in the types it has; numbers are row numbers."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = list(choose(names))
            if not wanted:
                return
            n_before = 0
            for part in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
                frame = pl.from_arrow(part)
                assert isinstance(frame, pl.DataFrame)
                numbers = pl.int_range(
                    n_before + 1, n_before + 1 + frame.height, dtype=pl.Int64, eager=True
                )
                n_before += frame.height
                yield Batch(path.name, "row", numbers, frame.select(wanted), _row_text(frame))
            if n_before == 0:
                findings.file("empty_file", path.name, "no rows", "give a file with rows")
    except FileNotFoundError:
        findings.file("missing_file", str(path), "no such file", "check the path")
    except (OSError, pa.ArrowException) as error:
        mend = "get the file again; it may be truncated or no Parquet file at all"
        findings.file("damaged_file", path.name, str(error), mend)


def _row_text(frame: pl.DataFrame) -> Any:
    def raw(place: int) -> str:
        return json.dumps(frame.row(place, named=True), default=str, ensure_ascii=False)

    return raw
