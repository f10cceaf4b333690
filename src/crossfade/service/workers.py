"""Processes that make lists: what they compute does not hold up the web server, nor it them."""

import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from crossfade.errors import BundleError, CrossfadeError
from crossfade.hybrid import HybridModel
from crossfade.meta.recommendation import Recommendation, Recommendations
from crossfade.online import (
    Adaptation,
    Answer,
    Ask,
    Happened,
    HeadConfig,
    ItemFacts,
    ItemName,
    LiveSystem,
    Prediction,
    Quality,
)
from crossfade.ranking import RankingConfig
from crossfade.threads import alone, settle

T = TypeVar("T")

logger = logging.getLogger("crossfade.service")

TRIES = 2
"""Whoever asks a process that dies is answered by the one that takes its place."""


def load(bundle: Path) -> LiveSystem:
    """The system of a bundle, asked once: what a first request computes is not left to one of theirs.

    Raises:
        BundleError: If it is damaged, or answers no newcomer.
    """
    live = LiveSystem(HybridModel.load(bundle))
    (first,) = live.answer([Ask(k=1)])
    if isinstance(first, CrossfadeError):
        raise BundleError(f"version {live.version} answers no newcomer: {first}")
    return live


CALLS_EACH = 2
"""Calls that a process has at once: it goes on with the second while the first is taken away."""


class Workers:
    """A live system in processes that each hold it; the same calls give the same answers.

    One that dies is replaced, and what it was asked is asked once more. They end when nobody holds
    this object any more, so what a version began it also finishes.

    Args:
        bundle: Where the system is; its arrays are mapped, so processes share them.
        n: Processes, 1 or more.

    Attributes:
        version: See `LiveSystem`.
        newest_us: See `LiveSystem`.
        ranking: See `LiveSystem`.

    Raises:
        BundleError: As in `load`.
    """

    def __init__(self, bundle: Path, n: int) -> None:
        self._bundle = bundle
        self._free: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        started = [_Process() for _ in range(n)]
        for facts in [process.submit(_facts, bundle) for process in started]:  # all load at once
            self.version, self.newest_us, self.ranking = facts.result()
        for process in started * CALLS_EACH:
            self._free.put(process)

    def answer(self, asks: Sequence[Ask]) -> list[Answer | CrossfadeError]:
        """See `LiveSystem.answer`."""
        return self._call("answer", asks)  # type: ignore[no-any-return]

    def explain(self, ask: Ask, item_id: str) -> Recommendation | None:
        """See `LiveSystem.explain`."""
        return self._call("explain", ask, item_id)  # type: ignore[no-any-return]

    def predict(self, ask: Ask, item_ids: Sequence[str]) -> list[Prediction | None]:
        """See `LiveSystem.predict`."""
        return self._call("predict", ask, item_ids)  # type: ignore[no-any-return]

    def similar(
        self, item_id: str, k: int = 10, block: Sequence[str] = ()
    ) -> tuple[str, Recommendations]:
        """See `LiveSystem.similar`."""
        return self._call("similar", item_id, k, block)  # type: ignore[no-any-return]

    def adapt(self, ask: Ask, config: HeadConfig) -> Adaptation:
        """See `LiveSystem.adapt`."""
        return self._call("adapt", ask, config)  # type: ignore[no-any-return]

    def known_items(self, item_ids: Sequence[str]) -> list[bool]:
        """See `LiveSystem.known_items`."""
        return self._call("known_items", item_ids)  # type: ignore[no-any-return]

    def known_users(self, user_ids: Sequence[str]) -> list[bool]:
        """See `LiveSystem.known_users`."""
        return self._call("known_users", user_ids)  # type: ignore[no-any-return]

    def what_if(self, ask: Ask, weights: Mapping[str, float]) -> Recommendations:
        """See `LiveSystem.what_if`."""
        return self._call("what_if", ask, weights)  # type: ignore[no-any-return]

    def history(self, ask: Ask, n: int) -> list[Happened]:
        """See `LiveSystem.history`."""
        return self._call("history", ask, n)  # type: ignore[no-any-return]

    def users(self, text: str, n: int) -> list[str]:
        """See `LiveSystem.users`."""
        return self._call("users", text, n)  # type: ignore[no-any-return]

    def items(self, text: str, n: int) -> list[ItemName]:
        """See `LiveSystem.items`."""
        return self._call("items", text, n)  # type: ignore[no-any-return]

    def named(self, item_ids: Sequence[str]) -> list[ItemName]:
        """See `LiveSystem.named`."""
        return self._call("named", item_ids)  # type: ignore[no-any-return]

    def item(self, item_id: str) -> ItemFacts:
        """See `LiveSystem.item`."""
        return self._call("item", item_id)  # type: ignore[no-any-return]

    def labels(self) -> dict[str, tuple[str, ...]]:
        """See `LiveSystem.labels`."""
        return self._call("labels")  # type: ignore[no-any-return]

    def bases(self) -> tuple[str, ...]:
        """See `LiveSystem.bases`."""
        return self._call("bases")  # type: ignore[no-any-return]

    def quality(self) -> Quality:
        """See `LiveSystem.quality`."""
        return self._call("quality")  # type: ignore[no-any-return]

    def _call(self, name: str, *arguments: Any) -> Any:
        process = self._free.get()
        try:
            for left in reversed(range(TRIES)):
                asked = process.submit(_answered, self._bundle, name, arguments)
                try:
                    return asked.result()
                except BrokenProcessPool:
                    if not left:
                        raise
        finally:
            self._free.put(process)


class _Process:
    """One process; where it died, the next call starts another."""

    def __init__(self) -> None:
        self._pool = _started()
        self._replacing = threading.Lock()

    def submit(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        with self._replacing:
            try:
                return self._pool.submit(function, *arguments)
            except BrokenProcessPool:
                logger.exception("a process that makes lists died; another takes its place")
                self._pool = _started()
                return self._pool.submit(function, *arguments)


System = LiveSystem | Workers
"""What answers: a system in this process, or in others."""


def _started() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin)


# -- in the process ------------------------------------------------------------------------

_here: list[LiveSystem] = []


def _begin() -> None:
    # It is the one who started it that ends it, also where a terminal or systemd tells all processes.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # whoever was killed could not say so

    threading.Thread(target=follow, daemon=True).start()


def _system(bundle: Path) -> LiveSystem:
    if not _here:
        with ThreadPoolExecutor(1, initializer=_stand_back) as loading:
            _here.append(loading.submit(load, bundle).result())
        settle()
        alone()()  # other processes and the web server have the other cores
    return _here[0]


def _stand_back() -> None:
    """Let the version that serves have the cores: on Linux this holds for the calling thread alone."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, 10)


def _facts(bundle: Path) -> tuple[str, int | None, RankingConfig]:
    live = _system(bundle)
    return live.version, live.newest_us, live.ranking


def _answered(bundle: Path, name: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(_system(bundle), name)(*arguments)
