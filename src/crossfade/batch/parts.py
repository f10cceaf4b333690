"""A directory of lists in parts, each whole or absent, and a manifest that says how they are made.

    manifest.json         what every part has in common; written first
    part-00000.parquet    lists of the first users, and so on

A part is written under another name, put on the disk and renamed. So a part that is there is
whole, and what is missing after a kill can be made again without looking at the rest.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from crossfade.errors import BundleError, ConfigError
from crossfade.files import MANIFEST, alone_in, flush_names, remove, replace_json, write_parquet

KIND, SCHEMA = "lists", 1
_PART = r"part-\d{5,}\.parquet"
_PENDING = rf"\.({_PART}|{re.escape(MANIFEST)})-[0-9a-f]{{16}}"
"""Names of what is not finished; whoever writes here next takes it away."""

Facts = Mapping[str, Any]
"""JSON-ready, by name; parts made under other facts do not belong together."""


class Parts:
    """The parts of one run; made by `opened`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, number: int) -> Path:
        """Where a part is, or will be."""
        return self.directory / f"part-{number:05d}.parquet"

    def __contains__(self, number: int) -> bool:
        return self.path(number).is_file()

    def write(self, number: int, lists: pl.DataFrame) -> None:
        """Add a part.

        Raises:
            BundleError: If the disk refuses; then the part is absent.
        """
        path = self.path(number)
        pending = _pending(path)
        with _refusals(self.directory):
            try:
                write_parquet(lists, pending)
                with pending.open("r+b") as file:
                    os.fsync(file.fileno())
                pending.replace(path)
            except BaseException:
                remove(pending)
                raise
            flush_names(self.directory)


@contextmanager
def opened(directory: Path, facts: Facts, *, fresh: bool) -> Iterator[Parts]:
    """The parts of a directory, for one writer at a time; another one waits.

    Args:
        directory: Created with its parents.
        facts: How all its parts are made.
        fresh: Take away parts that are there.

    Raises:
        BundleError: If the directory holds something else, its manifest is damaged, or the disk
            refuses.
        ConfigError: If parts were made under other facts and may not be taken away.
    """
    if directory.exists() and not directory.is_dir():
        raise BundleError(f"{directory}: is a file; give a directory for the lists")
    with _refusals(directory):
        directory.mkdir(parents=True, exist_ok=True)
    with alone_in(directory):
        with _refusals(directory):
            _prepare(directory, facts, fresh=fresh)
        yield Parts(directory)


def _prepare(directory: Path, facts: Facts, *, fresh: bool) -> None:
    before = _facts_of(directory, fresh=fresh)
    names = [entry.name for entry in directory.iterdir()]
    for name in names:
        if re.fullmatch(_PENDING, name):
            remove(directory / name)
    if before is not None and not fresh:
        _refuse_differences(directory, before, facts)
        return
    if before is not None:
        for name in names:
            if re.fullmatch(_PART, name):
                # Never passed over: a part that stays would count as one of the new facts.
                (directory / name).unlink()
        # On the disk before the new manifest is, or a power cut could bring old parts back.
        flush_names(directory)
    manifest = {"kind": KIND, "schema": SCHEMA, "facts": dict(facts)}
    replace_json(directory / MANIFEST, manifest, _pending(directory / MANIFEST))


def _facts_of(directory: Path, *, fresh: bool) -> Facts | None:
    """The facts of what is there; None where nothing is."""
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        names = sorted(entry.name for entry in directory.iterdir())
        foreign = [name for name in names if not re.fullmatch(_PENDING, name)]
        if foreign:
            raise BundleError(
                f"{directory}: is not empty and holds no lists (found {foreign[0]}); choose another directory"
            ) from None
        return None
    except (ValueError, RecursionError) as error:
        if fresh:
            return {}
        raise BundleError(
            f"{path}: damaged ({error}); start over with --fresh (fresh=True in Python)"
        ) from None
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind != KIND:
        raise BundleError(
            f"{directory}: holds {f'a {kind}' if kind else 'something else'}, not lists; choose another directory"
        )
    facts = manifest.get("facts")
    if fresh:
        return {}
    if manifest.get("schema") != SCHEMA or not isinstance(facts, dict):
        raise BundleError(
            f"{path}: has schema {manifest.get('schema')}, this crossfade goes on with {SCHEMA} alone; start over "
            "with --fresh (fresh=True in Python), or choose another directory"
        )
    return facts


def _refuse_differences(directory: Path, before: Facts, now: Facts) -> None:
    names = [*now, *(name for name in before if name not in now)]
    differing = [
        f"{name} was {_shown(before.get(name))} and is {_shown(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise ConfigError(
            f"{directory}: its lists were made otherwise: {'; '.join(differing)}; ask for the same again "
            "to complete them, choose another directory, or start over with --fresh (fresh=True in Python)"
        )


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _pending(path: Path) -> Path:
    return path.with_name(f".{path.name}-{uuid.uuid4().hex[:16]}")


@contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{directory}: could not write the lists ({error.strerror or error}); make it writable and free space, "
            "or choose another place; finished parts stay, and the same again goes on from there"
        ) from error
