"""Text files as blocks of whole lines, so that no file is ever held in memory."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from crossfade.data.importing.findings import Findings

BLOCK_BYTES = 16 << 20
MAX_LINE_BYTES = 16 << 20
ENCODING_MEND = (
    'save the file as UTF-8, or set encoding = "latin-1" or "cp1252" if that is what it is'
)

Choose = Callable[[Sequence[str]], Sequence[str]]
"""Given the column names of a file, the ones to read; none where the file cannot be used."""


@dataclass(frozen=True)
class Block:
    """Some whole lines of a file; ``first_line`` is the number of the first, from 1."""

    data: bytes
    first_line: int


def text_blocks(path: Path, findings: Findings) -> Iterator[Block]:
    """The file in pieces of about 16 MiB, each ending with a newline.

    A byte order mark is dropped, Windows line ends become plain ones, and ``.gz`` is
    unpacked. A file that is absent, empty, UTF-16, damaged or has an endless line
    becomes a problem of the whole file and gives no further block.
    """
    try:
        with _open(path) as file:
            yield from _whole_lines(file, path.name, findings)
    except FileNotFoundError:
        findings.file("missing_file", str(path), "no such file", "check the path")
    except (OSError, EOFError, zlib.error) as error:
        mend = "get the file again or unpack it by hand"
        findings.file("damaged_file", path.name, str(error), mend)


def _whole_lines(file: IO[bytes], name: str, findings: Findings) -> Iterator[Block]:
    data = file.read(BLOCK_BYTES)
    if not data.strip():
        findings.file("empty_file", name, "nothing in it", "give a file with rows")
        return
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        findings.file("wrong_encoding", name, "a UTF-16 file", "save the file as UTF-8")
        return
    data = data.removeprefix(b"\xef\xbb\xbf")
    n_lines, rest = 0, b""
    while data:
        cut = data.rfind(b"\n") + 1
        if cut:
            whole = _plain_ends(rest + data[:cut])
            yield Block(whole, n_lines + 1)
            n_lines += whole.count(b"\n")
            rest = data[cut:]
        else:
            rest += data
        if len(rest) > MAX_LINE_BYTES:
            where = f"{name}: line {n_lines + 1:,}"
            found = f"longer than {MAX_LINE_BYTES >> 20} MiB"
            findings.file("endless_line", where, found, "check that every row ends with a newline")
            return
        data = file.read(BLOCK_BYTES)
    if rest:
        yield Block(_plain_ends(rest + b"\n"), n_lines + 1)


def _plain_ends(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n") if b"\r" in data else data


def decoded_lines(
    block: Block, path: Path, encoding: str, findings: Findings
) -> Iterator[tuple[int, str]]:
    """Numbered lines of a block as text, newline kept; undecodable ones become problems."""
    # Not splitlines(): a lone \r or an exotic separator does not end a line here.
    for offset, line in enumerate(block.data[:-1].split(b"\n")):
        try:
            yield block.first_line + offset, line.decode(encoding) + "\n"
        except UnicodeDecodeError as error:
            raw = line.decode(encoding, errors="backslashreplace")
            found = f"byte 0x{line[error.start]:02x} is not {encoding}"
            where = (path.name, block.first_line + offset)
            findings.row("wrong_encoding", where, raw, found, ENCODING_MEND)


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")
