"""`Registry`: versions of one system side by side, and which of them serves.

    registry.json          what happened, in order; who serves follows from it
    versions/<version>/    one bundle each

Every change is one atomic rename, and the journal is written before what it tells of: after a
kill at any point the version that served serves on, and doing the same again completes it. What
is in `versions` decides which versions there are; an entry about one that never came is harmless.
"""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from crossfade.errors import BundleError
from crossfade.files import alone_in, flush_names, is_version, remove
from crossfade.store import journal as record
from crossfade.store.difference import Difference, differences
from crossfade.store.journal import JOURNAL, Deed, Entry, Journal, read_journal, write_journal
from crossfade.store.version import Version, adopt_whole, checked, file_sizes, manifest_of

VERSIONS = "versions"
_OURS = re.compile(rf"(\.incoming-|\.gone-|\.{re.escape(JOURNAL)}-)[0-9a-f]{{16}}")
"""Names of what is not finished; whoever changes the registry next takes it away."""

T = TypeVar("T")


class Registry:
    """A directory of versions.

    Several processes may use one registry: changes wait for each other, readers never wait.
    Reading works on a disk that cannot be written. Every method raises `BundleError` where there
    is no registry, or where its journal is damaged; `add` makes one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._versions = directory / VERSIONS

    # -- reading ---------------------------------------------------------------------

    def promoted(self) -> str | None:
        """The version that serves; None before the first is promoted."""
        line = record.served(read_journal(self.directory))
        return line[-1] if line else None

    def path(self, version: str) -> Path:
        """The bundle of one version.

        Raises:
            BundleError: If there is no such version.
        """
        read_journal(self.directory)
        there = self._there()
        if version not in there:
            raise BundleError(
                f"{self.directory}: no version {version}; it holds {', '.join(sorted(there)) or 'none'}"
            )
        return self._versions / version

    def read_promoted(self, read: Callable[[Path], T]) -> T:
        """What ``read`` makes of the bundle that serves.

        What looks damaged is read once more where another version was promoted meanwhile, for
        then the old one may have been taken away.

        Raises:
            BundleError: If nothing is promoted; or from ``read``.
        """
        version = self._serving()
        try:
            return read(self.path(version))
        except BundleError:
            if self._serving() == version:
                raise
        return read(self.path(self._serving()))

    def versions(self) -> list[Version]:
        """All versions, the newest first; those that were put there by hand last.

        Manifests are read, checksums are not verified; a version whose manifest cannot be read
        says so in `Version.problem`.
        """
        journal = read_journal(self.directory)
        line, times, there = record.served(journal), record.added(journal), self._there()
        target = record.rollback_target(line, there)
        newest_first = [version for version in reversed(times) if version in there]
        by_hand = sorted(there - times.keys())
        return [
            Version.read(
                self._versions / version,
                added=times.get(version),
                promoted=line[-1:] == [version],
                rollback=version == target,
            )
            for version in newest_first + by_hand
        ]

    def diff(self, before: str, after: str) -> list[Difference]:
        """What the manifests of two versions say differently.

        Raises:
            BundleError: If there is no such version, or a manifest is damaged.
        """
        paths = [self.path(version) for version in (before, after)]
        first, second = (manifest_of(path) for path in paths)
        sizes = (file_sizes(paths[0], first), file_sizes(paths[1], second))
        return differences(first, second, sizes)

    def refuse_foreign(self) -> None:
        """Never make a registry in a directory that holds somebody's other files.

        `add` asks this itself; long work asks it before it begins.

        Raises:
            BundleError: If the directory is a file, holds anything but a registry, or cannot be
                written.
        """
        if self.directory.exists() and not self.directory.is_dir():
            raise BundleError(f"{self.directory}: is a file; give a directory for the registry")
        if self.directory.exists() and not os.access(self.directory, os.W_OK):
            raise BundleError(
                f"{self.directory}: cannot be written; make it writable or choose another place"
            )
        if (self.directory / JOURNAL).exists():
            read_journal(self.directory)
            return
        names = [entry.name for entry in _entries(self.directory) if entry.name != VERSIONS]
        names += [e.name for e in _entries(self._versions) if not is_version(e.name)]
        foreign = sorted(name for name in names if not _OURS.fullmatch(name))
        if foreign:
            raise BundleError(
                f"{self.directory}: is not empty and holds no registry (found {foreign[0]}); "
                "choose another directory"
            )

    # -- changing --------------------------------------------------------------------

    def add(self, write: Callable[[Path], object], now: datetime) -> str:
        """A new version, not yet promoted.

        A version that is there already stays as it is; if it is damaged, it is replaced.

        Args:
            write: Saves a bundle in the empty folder it is given, such as `HybridModel.save`.
            now: Time of the entry in the journal.

        Returns:
            The version id.

        Raises:
            BundleError: If the directory holds something else, or the disk refuses; or from
                ``write``. What was there before is unchanged.
        """
        self.refuse_foreign()
        with self._changing():
            incoming = self._pending("incoming")
            incoming.mkdir()  # what cannot be written is told in the words of the registry
            write(incoming)
            version = str(checked(incoming)["version"])
            place = self._versions / version
            if place.exists():
                try:
                    checked(place, version)
                except BundleError:
                    place.rename(self._pending("gone"))
                else:
                    return version
            self._note(now, "added", version)
            incoming.rename(place)
            flush_names(self._versions)
        return version

    def adopt(self, bundle: Path, now: datetime) -> str:
        """As `add`, with a bundle that was saved elsewhere; its files are shared where the disk can."""
        return self.add(lambda place: adopt_whole(bundle, place), now)

    def promote(self, version: str, now: datetime) -> None:
        """Let a version serve, its checksums verified first; nothing happens where it does already.

        Raises:
            BundleError: If there is no such version, it is damaged, or the disk refuses.
        """
        self.path(version)
        with self._changing():
            checked(self.path(version), version)
            if self.promoted() != version:
                self._note(now, "promoted", version)

    def rollback(self, now: datetime) -> str:
        """Let the version serve that served before; again, and it is the one before that.

        Versions that are no longer there are passed over.

        Returns:
            The version that serves now.

        Raises:
            BundleError: If none served before, or the one that did is damaged, or the disk refuses.
        """
        self._serving()
        with self._changing():
            version = record.rollback_target(
                record.served(read_journal(self.directory)), self._there()
            )
            if version is None:
                raise BundleError(
                    f"{self.directory}: nothing served before version {self._serving()}, or it is gone; "
                    "promote another version"
                )
            checked(self.path(version), version)
            self._note(now, "rolled back", version)
        return version

    def gc(self, keep: int, now: datetime, *, dry_run: bool = False) -> list[Version]:
        """Take away old versions.

        The version that serves stays, and the one a rollback would go to, and what was put
        there by hand.

        Args:
            keep: How many of the newest stay besides.
            now: Time of the entries in the journal.
            dry_run: Only say what would go.

        Returns:
            What went, the newest first.

        Raises:
            BundleError: If ``keep`` is negative or the disk refuses.
        """
        if keep < 0:
            raise BundleError(f"keep must be 0 or more, got {keep}")
        if dry_run:
            return self._too_old(keep)
        read_journal(self.directory)
        with self._changing():
            gone = self._too_old(keep)
            for version in gone:
                self._note(now, "removed", version.version)
                # Under another name first: a kill in between never leaves half a version.
                aside = self._pending("gone")
                (self._versions / version.version).rename(aside)
                remove(aside)
        return gone

    # -- inside ----------------------------------------------------------------------

    def _serving(self) -> str:
        version = self.promoted()
        if version is None:
            raise BundleError(
                f"{self.directory}: no version is promoted yet; choose one with crossfade registry promote"
            )
        return version

    def _there(self) -> set[str]:
        return {entry.name for entry in _entries(self._versions) if is_version(entry.name)}

    def _too_old(self, keep: int) -> list[Version]:
        ours = [version for version in self.versions() if version.added is not None]
        return [v for v in ours[keep:] if not v.promoted and not v.rollback]

    def _pending(self, name: str) -> Path:
        return self._versions / f".{name}-{uuid.uuid4().hex[:16]}"

    def _note(self, now: datetime, did: Deed, version: str) -> None:
        known = (self.directory / JOURNAL).exists()
        journal: Journal = read_journal(self.directory) if known else ()
        write_journal(self.directory, (*journal, Entry.of(now, did, version)))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Alone in the registry; what is not finished is taken away before and after."""
        try:
            self._versions.mkdir(parents=True, exist_ok=True)
            with alone_in(self.directory):
                self._clear()
                try:
                    yield
                finally:
                    self._clear()
        except OSError as error:
            raise BundleError(
                f"{self.directory}: could not change the registry ({error.strerror or error}); make it "
                "writable and free space, or choose another place; what it held is unchanged"
            ) from error

    def _clear(self) -> None:
        for entry in (*_entries(self.directory), *_entries(self._versions)):
            if _OURS.fullmatch(entry.name):
                remove(entry)


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []
