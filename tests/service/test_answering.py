"""Passes: what waits gathers while a process works, and a second pass is made ready only for enough of it."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from crossfade.online import Ask
from crossfade.service.answering import ENOUGH, Answering
from crossfade.service.meters import Meters
from crossfade.service.workers import System


class Slow:
    """A system that answers once it may, and notes how many it was asked for at once."""

    version = "v"

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.may, self.began = threading.Semaphore(0), threading.Semaphore(0)

    def answer(self, asks: Sequence[Ask]) -> list[Any]:
        self.passes.append(len(asks))
        self.began.release()
        assert self.may.acquire(timeout=10)
        return list(asks)


@pytest.mark.parametrize("n_waiting", [ENOUGH - 1, ENOUGH])
def test_few_wait_for_the_pass_at_work_and_enough_are_made_ready(n_waiting: int) -> None:
    async def ask() -> None:
        first = asyncio.create_task(answering.ask(lambda _: Ask()))
        assert await asyncio.to_thread(slow.began.acquire, timeout=10)
        rest = [asyncio.create_task(answering.ask(lambda _: Ask())) for _ in range(n_waiting)]
        ready = await asyncio.to_thread(slow.began.acquire, timeout=0.3)
        assert ready == (n_waiting >= ENOUGH)
        for _ in range(2):
            slow.may.release()
        assert [version for version, _ in await asyncio.gather(first, *rest)] == ["v"] * (
            1 + n_waiting
        )

    slow = Slow()
    answering = Answering(lambda: cast("System", slow), 1, 16, 100, Meters())
    asyncio.run(ask())
    assert slow.passes == [1, n_waiting]
    answering.close()


def test_no_request_is_left_behind_however_they_come() -> None:
    async def ask(n: int) -> None:
        for _ in range(n):
            asyncio.get_running_loop().call_later(0.001, slow.may.release)
            await answering.ask(lambda _: Ask())

    async def all_ask() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(ask(20) for _ in range(8)))

    slow = Slow()
    answering = Answering(lambda: cast("System", slow), 2, 4, 100, Meters())
    asyncio.run(all_ask())
    assert sum(slow.passes) == 160
    assert max(slow.passes) <= 4
    answering.close()


def test_who_waits_beside_a_pass_that_fails_is_answered() -> None:
    class Broken(Slow):
        def answer(self, asks: Sequence[Ask]) -> list[Any]:
            found = super().answer(asks)
            if len(self.passes) == 1:
                raise ZeroDivisionError
            return found

    async def ask() -> None:
        first = asyncio.create_task(answering.ask(lambda _: Ask()))
        assert await asyncio.to_thread(broken.began.acquire, timeout=10)
        second = asyncio.create_task(answering.ask(lambda _: Ask()))
        await asyncio.sleep(0.1)
        broken.may.release(2)
        async with asyncio.timeout(10):
            with pytest.raises(RuntimeError, match="a pass failed"):
                await first
            assert (await second)[0] == "v"

    broken = Broken()
    answering = Answering(lambda: cast("System", broken), 1, 16, 100, Meters())
    asyncio.run(ask())
    answering.close()
