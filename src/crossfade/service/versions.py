"""Which version of the system answers, and how another one takes its place without a pause."""

import asyncio
import logging
import threading
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakValueDictionary

from crossfade.errors import BundleError, ConfigError, CrossfadeError
from crossfade.service.meters import Meters
from crossfade.service.workers import System, Workers, load
from crossfade.store import Registry, Version

logger = logging.getLogger("crossfade.service")


@dataclass(frozen=True)
class Source:
    """Where versions come from: one bundle, or a registry."""

    bundle: Path | None = None
    registry: Path | None = None

    def __post_init__(self) -> None:
        if (self.bundle is None) == (self.registry is None):
            raise ConfigError("give a bundle or a registry, one of them")


class Versions:
    """The version that serves.

    Another one is loaded and asked once beside the one that serves; then requests are given to it.
    What is being answered is finished by the version that began it.

    Args:
        source: Where versions come from.
        meters: Where loads are counted.
        n_workers: Processes that make lists; 0 makes them in this one.

    Raises:
        BundleError: If there is nothing that could serve.
    """

    def __init__(self, source: Source, meters: Meters, n_workers: int) -> None:
        self._source, self._meters, self._n_workers = source, meters, n_workers
        self._loading = threading.Lock()
        self._alive: WeakValueDictionary[str, System] = WeakValueDictionary()
        self._current = self._loaded()
        self.problem: str | None = None
        """Why the promoted version does not serve; None where it does."""

    def current(self) -> System:
        """The system that answers now."""
        return self._current

    def load(self, version: str) -> System:
        """The system of a version of the registry; where it serves already, or answers an arm, that one.

        Raises:
            ConfigError: If one bundle serves.
            BundleError: If it is not there or damaged.
        """
        return self._read(self._registry().path(version))

    def list(self) -> list[Version]:
        """The versions of the registry, the newest first; none for a bundle."""
        return [] if self._source.registry is None else Registry(self._source.registry).versions()

    def promote(self, version: str) -> None:
        """Let a version of the registry serve, here and wherever the registry is read.

        Raises:
            ConfigError: If one bundle serves.
            BundleError: If it is not there or damaged; then the old one goes on.
        """
        self._registry().promote(version, datetime.now(UTC))
        self.refresh()

    def rollback(self) -> None:
        """Let the version serve that served before.

        Raises:
            ConfigError: If one bundle serves.
            BundleError: If there is none, or it is damaged.
        """
        self._registry().rollback(datetime.now(UTC))
        self.refresh()

    def refresh(self) -> None:
        """Serve what the registry promotes now.

        Raises:
            CrossfadeError: If it cannot be loaded; then the old one goes on.
        """
        with self._loading:
            if self._source.registry is not None:
                if Registry(self._source.registry).promoted() == self._current.version:
                    self.problem = None
                    return
                try:
                    found = self._loaded()
                except CrossfadeError as error:
                    self._meters.reloads.labels("refused").inc()
                    self.problem = f"the promoted version cannot serve: {error}"
                    raise
                self._current, self.problem = found, None
                self._meters.reloads.labels("loaded").inc()
                logger.info("version %s serves", found.version)

    async def watch(self, every_s: float) -> None:
        """Look after the registry until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await asyncio.to_thread(self.refresh)
            except CrossfadeError:  # the old version serves on, and readiness says why
                logger.exception("the promoted version does not serve")

    def _registry(self) -> Registry:
        if self._source.registry is None:
            raise ConfigError("one bundle serves here; start the service with a registry")
        return Registry(self._source.registry)

    def _loaded(self) -> System:
        source = self._source
        if source.registry is not None:
            return Registry(source.registry).read_promoted(self._read)
        assert source.bundle is not None
        return self._read(source.bundle)

    def _read(self, bundle: Path) -> System:
        alive = self._alive.get(bundle.name)
        if alive is not None:
            return alive
        try:
            found = Workers(bundle, self._n_workers) if self._n_workers else load(bundle)
        except BrokenProcessPool as error:
            raise BundleError(
                f"{bundle}: a process died that loaded it; see that there is memory for one more version"
            ) from error
        self._alive[bundle.name] = found
        return found
