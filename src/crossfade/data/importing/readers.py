"""The reader for a file, by its kind."""

from collections.abc import Iterator
from pathlib import Path

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.delimited import read_delimited
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.mapping import FileMapping
from crossfade.data.importing.records import read_json, read_parquet


def read_file(
    path: Path, options: FileMapping, choose: Choose, findings: Findings
) -> Iterator[Batch]:
    """Batches of any file a mapping may name.

    Args:
        path: Where the file is.
        options: How to read it.
        choose: Called with the column names; gives those to read. An empty answer
            means that the file cannot be used and has been reported.
        findings: Takes everything that is wrong with the file.
    """
    kind = options.file_kind()
    # Asked here because what the readers are told of a folder differs, down to "damaged".
    if path.is_dir():
        findings.file("missing_file", str(path), "a folder", "name the file in it")
        return iter(())
    if not path.exists():
        findings.file("missing_file", str(path), "no such file", "check the path")
        return iter(())
    match kind:
        case "parquet":
            return read_parquet(path, choose, findings)
        case "json" | "jsonl":
            return read_json(path, options, choose, findings)
        case "csv" | "tsv":
            return read_delimited(path, options, choose, findings)
