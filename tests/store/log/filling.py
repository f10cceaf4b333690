"""Fills a disk that has room for little: ``python filling.py URL``, in a process of its own.

The disk is a limit on the size of files. Prints one JSON document: what was acknowledged while there was
room, what the refused call said, how many more were refused, a check among them, and what was acknowledged
afterwards.
"""

import json
import resource
import sys
from pathlib import Path

from crossfade.errors import StoreError
from crossfade.store.log import Log, NewEvent

BATCH = 20


def batch(number: int) -> list[NewEvent]:
    note = {"note": "x" * 500}
    return [NewEvent("t", number, "ann", key=f"{number}-{i}", context=note) for i in range(BATCH)]


def main(url: str) -> None:
    log = Log.open(url)
    acknowledged, said = [], ""
    log.append(batch(0), 0)
    acknowledged.append(0)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = max(file.stat().st_size for file in Path(url[10:]).parent.iterdir()) + 200_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
    for number in range(1, 1000):
        try:
            log.append(batch(number), number)
        except StoreError as error:
            said = str(error)
            break
        acknowledged.append(number)
    n_refused = 0
    for number in range(1000, 1005):
        try:
            log.append(batch(number), number)
            acknowledged.append(number)
        except StoreError:
            n_refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, most))  # not even for one page
    try:
        log.check()
    except StoreError:
        n_refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    log.check()
    log.append(batch(2000), 0)
    acknowledged.append(2000)
    print(json.dumps({"acknowledged": acknowledged, "said": said, "n_refused": n_refused}))


if __name__ == "__main__":
    main(sys.argv[1])
