"""`Writer`: one thread that makes all changes, as many as wait in one transaction.

To flush a commit to the disk takes far longer than to write a row. Callers who come while one
transaction is being flushed share the next one.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from crossfade.errors import StoreError

T = TypeVar("T")
Tx = TypeVar("Tx")


class Job(Generic[Tx]):
    """A change that somebody waits for.

    Attributes:
        change: What to do in a transaction. It may raise a `CrossfadeError` as long as it has
            changed nothing; then it alone fails.
        done: Set once the transaction is durable, or has failed.
    """

    def __init__(self, change: Callable[[Tx], Any]) -> None:
        self.change = change
        self.done: Future[Any] = Future()


class Writer(Generic[Tx]):
    """Hands jobs to a thread, which commits together all that wait.

    Args:
        commit: Does all of some jobs in one transaction and settles each.
        place: The database, for messages.
    """

    def __init__(self, commit: Callable[[list[Job[Tx]]], None], place: str) -> None:
        self._commit, self._place = commit, place
        self._waiting: list[Job[Tx]] = []
        self._closing = False
        self._changed = threading.Condition()
        # A daemon: a program that forgets to close ends all the same, and what it was told is kept is kept.
        self._thread = threading.Thread(target=self._run, name="crossfade-log", daemon=True)
        self._thread.start()

    def __call__(self, change: Callable[[Tx], T]) -> T:
        """Make a change and wait until it is durable.

        Raises:
            StoreError: If it could not be committed, or the writer is closed.
        """
        job = Job[Tx](change)
        with self._changed:
            self.check_open()
            self._waiting.append(job)
            self._changed.notify()
        result: T = job.done.result()
        return result

    def check_open(self) -> None:
        """Raise `StoreError` if no more jobs are taken."""
        if self._closing:
            raise StoreError(f"{self._place}: the event log is closed; open it again")

    def close(self) -> None:
        """Take no more jobs and return when those handed in are settled."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        jobs: list[Job[Tx]] = []
        try:
            while jobs := self._next():
                self._commit(jobs)
        except BaseException as error:  # a fault of ours: nobody may wait for a thread that is gone
            with self._changed:
                self._closing = True
                jobs += self._waiting
            for job in jobs:
                if not job.done.done():
                    job.done.set_exception(error)
            raise

    def _next(self) -> list[Job[Tx]]:
        """All that wait, as soon as one does; none when the writer is closed and all is done."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            jobs, self._waiting = self._waiting, []
            return jobs
