"""Kills the writing of lists at the steps it takes on the disk, or at random moments, and does it again.

Run as a program, in a process of its own: ``python killing.py steps FOLDER``, or ``moments FOLDER`` where
``FOLDER/bundle`` is a system. Each attempt is a fork that is killed by SIGKILL, so nothing is cleaned up. The
parent itself stays off everything that starts threads, which a fork would not have: only children touch a
table. Prints one JSON document of what it saw and stops with an error at the first thing that may not be.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from crossfade.batch import parts, recommend_all
from crossfade.files import MANIFEST, disk
from crossfade.hybrid import HybridModel
from crossfade.ranking import RankingConfig

WRITERS = (str(disk.__file__), str(parts.__file__), __file__)
QUIET = ("contextlib.py", "re.py", "uuid.py", "__init__.py", *WRITERS)
"""A call made from the writers is a step, unless it leads to these files, which leave the disk alone."""

N_MOMENTS = 20
N_PARTS = 2


def killed(
    work: Callable[[], Any],
    at_step: int | None = None,
    after_s: float | None = None,
    before: Callable[[], Any] = lambda: None,
) -> bool:
    """Whether a child that does the work was killed; False: it was done before that."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before()
            os.write(told, b".")
            if at_step is not None:
                kill_at(at_step)
            work()
        except BaseException as error:  # noqa: BLE001  (a child must never go on as its parent)
            print(f"the work failed: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    os.close(told)
    assert os.read(ready, 1) == b"."
    os.close(ready)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def kill_at(step: int) -> None:
    """Kill this process just before a step of its main thread, which alone writes."""
    taken = 0

    def hook(frame: FrameType, event: str, called: Any) -> None:
        nonlocal taken
        caller = frame.f_back if event == "call" else frame if event == "c_call" else None
        if caller is None or caller.f_code.co_filename not in WRITERS:
            return
        if event == "call" and frame.f_code.co_filename.endswith(QUIET):
            return
        if event == "c_call" and home_of(called) not in {"posix", "fcntl", "_io"}:
            return
        if taken == step:
            os.kill(os.getpid(), signal.SIGKILL)
        taken += 1

    sys.setprofile(hook)


def home_of(called: Any) -> str:
    """Module of a function or method written in C."""
    return called.__module__ or type(called.__self__).__module__


def contents(directory: Path) -> dict[str, str]:
    """Digest of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


def whole_parts(left: dict[str, str], whole: dict[str, str]) -> int:
    """How many parts a kill left; under the manifest of the run each is one of the run."""
    names = [name for name in left if name.startswith("part-")]
    if left.get(MANIFEST) == whole[MANIFEST]:
        assert all(left[name] == whole[name] for name in names), left
        return len(names)
    return 0


# -- at every step on the disk -----------------------------------------------------------


def write(to: Path, number: int, *, fresh: bool = False) -> None:
    """What `recommend_all` does on the disk."""
    with opened(to, number, fresh=fresh) as some:
        for part in range(N_PARTS):
            if part not in some:
                some.write(part, pl.DataFrame({"part": [part], "number": [number]}))


def write_in_halves(frame: pl.DataFrame, path: Path) -> None:
    """In place of `write_parquet`, which is one step however long it takes."""
    with path.open("wb") as file:
        for half in (b"the first half of ", json.dumps(frame.to_dicts()).encode()):
            file.write(half)
            file.flush()


def opened(to: Path, number: int, *, fresh: bool) -> Any:
    return parts.opened(to, {"number": number}, fresh=fresh)


def kill_at_steps(folder: Path, *, fresh: bool) -> dict[str, int]:
    """A new directory, or one with parts of other facts that is started over."""
    to, whole, step, kept = folder / "try", contents(folder / "whole"), 0, 0
    while True:
        to.mkdir()
        if fresh:
            shutil.copytree(folder / "others", to, dirs_exist_ok=True)
        was_killed = killed(lambda: write(to, 2, fresh=fresh), at_step=step)
        left = contents(to)
        kept += whole_parts(left, whole)
        if was_killed:
            # Where the new manifest is there, whoever started over goes on without doing so again.
            again = fresh and left[MANIFEST] != whole[MANIFEST]
            assert not killed(lambda: write(to, 2, fresh=again))  # noqa: B023  (called at once)
        assert contents(to) == whole, (fresh, step, left)
        shutil.rmtree(to)
        if not was_killed:
            return {"steps": step, "kept": kept}
        step += 1


# -- at any moment -----------------------------------------------------------------------


def kill_at_moments(folder: Path) -> dict[str, int]:
    """Lists of everybody, some places left to chance; killed again and again until they are done."""
    model: list[HybridModel] = []

    def load() -> None:
        model.append(HybridModel.load(folder / "bundle"))

    def work(to: Path) -> None:
        chance = RankingConfig(explore=0.4)
        recommend_all(model[0], to, k=5, ranking=chance, chunk=15)

    def timed() -> None:
        began = time.monotonic()
        work(folder / "whole")
        (folder / "seconds").write_text(str(time.monotonic() - began))

    assert not killed(timed, before=load)
    seconds = float((folder / "seconds").read_text())
    whole, rng = contents(folder / "whole"), random.Random(5)
    n_killed, n_done, kept, to = 0, 0, 0, folder / "try"
    to.mkdir()
    while n_killed < N_MOMENTS:
        after_s = rng.uniform(0.2, 0.8) * seconds
        was_killed = killed(lambda: work(to), after_s=after_s, before=load)
        n_parts = whole_parts(contents(to), whole)
        n_killed, kept = n_killed + was_killed, kept + (was_killed and n_parts > 0)
        if not was_killed:
            assert contents(to) == whole
            shutil.rmtree(to)
            to.mkdir()
            n_done += 1
            seconds *= 0.9  # what else the machine did while this was measured has ended
    assert not killed(lambda: work(to), before=load)
    assert contents(to) == whole
    return {"killed": n_killed, "kept": kept, "done": n_done + 1}


def no_wait(fd: Any) -> None:
    """In place of `os.fsync`."""


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    # A kill is no power cut, and waiting for the disk takes most of the time.
    os.fsync = no_wait
    if what == "moments":
        print(json.dumps(kill_at_moments(folder)))
        return
    vars(parts)["write_parquet"] = write_in_halves
    for name, number in (("others", 1), ("whole", 2)):
        assert not killed(lambda: write(folder / name, number))  # noqa: B023  (called at once)
    print(json.dumps({str(fresh): kill_at_steps(folder, fresh=fresh) for fresh in (False, True)}))


if __name__ == "__main__":
    main()
