"""Ingests into one log again and again and is killed each time.

Run as a program, in a process of its own: ``python ingesting.py URL ROUNDS``. Each round is a fork that is
killed by SIGKILL at a random moment, so nothing is cleaned up. The parent itself stays off everything that
starts threads, which a fork would not have. Prints one JSON document: what was acknowledged, as
``[key, sequence]``, how many calls were under way when their round was killed, and how many rounds were
killed after their first acknowledgement.
"""

import itertools
import json
import os
import random
import signal
import sys
import threading
import time

import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401  (imported once, not in every fork)

from crossfade.store.log import Log, NewEvent
from crossfade.store.log import database as _imported_once  # noqa: F401

BATCHES = (1, 1, 7)
"""Events in each call, of each thread."""


def ingest(url: str, number: int, pipe: int) -> None:
    """Append until killed, telling the parent of each call before it and after it."""
    log = Log.open(url)

    def work(thread: int) -> None:
        for call in itertools.count():
            keys = [f"{number}-{thread}-{call}-{i}" for i in range(BATCHES[thread])]
            os.write(pipe, b"?\n")
            done = log.append([NewEvent("t", call, "ann", key=key) for key in keys], number)
            told = "".join(f"{key} {kept.sequence}\n" for key, kept in zip(keys, done, strict=True))
            os.write(pipe, told.encode() + b"!\n")

    for thread in range(len(BATCHES)):
        threading.Thread(target=work, args=(thread,)).start()


def killed(url: str, number: int, after_s: float, *, at_work: bool) -> str:
    """What a child wrote until it was killed, so long after it began, or after its first acknowledgement."""
    out, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ingest(url, number, pipe)
            signal.pause()
        finally:  # a child must never go on as its parent
            os._exit(1)
    os.close(pipe)
    told = b""
    while at_work and b"!" not in told:
        told += os.read(out, 4096)
        assert told, "the child ended by itself"
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child ended by itself"
    with os.fdopen(out, "rb") as rest:
        return (told + rest.read()).decode()


def main(url: str, n_rounds: int) -> None:
    rng = random.Random(n_rounds)
    acknowledged, n_under_way, n_at_work = [], 0, 0
    for number in range(n_rounds):
        # One in five also looks at what a kill does to a log that is being opened.
        at_work = number % 5 > 0
        told = killed(url, number, rng.uniform(0, 0.06), at_work=at_work).splitlines()
        n_at_work += at_work
        acknowledged += [line.split() for line in told if line not in {"?", "!"}]
        n_under_way += told.count("?") - told.count("!")
    seen = {"acknowledged": acknowledged, "n_under_way": n_under_way, "n_at_work": n_at_work}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
