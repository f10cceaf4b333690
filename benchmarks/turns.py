"""Programs in processes of their own, timed by turns; imports nothing that is not in every Python.

Each says what it is as one line of JSON once it is ready, then answers once for every line that it is
sent and says what that took. Who waits for its turn computes nothing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

Facts = dict[str, Any]


class Player:
    """One of the programs, from outside; ready when it is made."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.facts = self._said()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def turn(self) -> Facts:
        """What one answer took: ``seconds``, and ``cpu`` seconds of all its threads."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._said()

    def _said(self) -> Facts:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._process.args!r} stopped with {self._process.wait()}; see above")
        found: Facts = json.loads(line)
        return found


def play(facts: Facts, answer: Callable[[], object]) -> None:
    """The same from inside: until nobody asks any more."""
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        answer()
        taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        print(json.dumps(taken), flush=True)
