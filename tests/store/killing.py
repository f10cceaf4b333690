"""Kills work at the steps it takes on the disk, or at random moments, and looks at what is left.

Run as a program, in a process of its own: ``python killing.py fit FOLDER bundle``, ``fit FOLDER registry`` or
``steps FOLDER STRIDE``.
Each attempt is a fork that is killed by SIGKILL, so nothing is cleaned up. The parent itself stays off
everything that starts threads, which a fork would not have. Prints one JSON document of what it saw.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from crossfade.errors import BundleError
from crossfade.files import disk, publishing, read_manifest
from crossfade.store import Bundle, Registry, load_bundle, save_bundle
from crossfade.store import registry as registering
from crossfade.store.bundle import SCHEMA

NOW = datetime(2024, 5, 1, tzinfo=UTC)
WRITERS = tuple(str(module.__file__) for module in (disk, publishing, registering, shutil))
"""A call made from these files is a step, once for each way that led there: loops count once."""

N_FIT_KILLS = 20


def bundle(number: int) -> Bundle:
    return Bundle({"number": number}, {"base-a": {"x": np.full(1000, number)}, "b": {}}, {})


def number_of(directory: Path) -> int:
    loaded = load_bundle(directory)
    assert set(loaded.arrays["base-a"]["x"].tolist()) == {loaded.header["number"]}
    return int(loaded.header["number"])


def killed(
    work: Callable[[], Any], at_step: int | None = None, after_s: float | None = None
) -> bool:
    """Whether a child that does the work was killed; False: it was done before."""
    child = os.fork()
    if child == 0:
        if at_step is not None:
            kill_at(at_step)
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (a child must never go on as its parent)
            print(f"the work failed: {error!r}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def kill_at(step: int) -> None:
    """Kill this process just before a step."""
    taken: set[tuple[int, ...]] = set()

    def hook(frame: FrameType, event: str, called: Any) -> None:
        caller = frame.f_back if event == "call" else frame if event == "c_call" else None
        if caller is None or caller.f_code.co_filename not in WRITERS:
            return
        way = [hash(frame.f_code if event == "call" else called)]
        while caller is not None:
            way += [hash(caller.f_code), caller.f_lineno]
            caller = caller.f_back
        if tuple(way) not in taken and len(taken) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        taken.add(tuple(way))

    sys.setprofile(hook)


# -- what is done, each from a fresh copy of the same state ----------------------------


def prepared(folder: Path) -> dict[str, str]:
    """A bundle, and a registry in which version 1 served, 2 serves, 3 and 4 wait."""
    save_bundle(bundle(2), folder / "bundle")
    save_bundle(bundle(5), folder / "elsewhere")
    registry = Registry(folder / "registry")
    versions = {
        str(n): registry.add(lambda place, n=n: save_bundle(bundle(n), place), NOW)  # type: ignore[misc]
        for n in range(1, 5)
    }
    registry.promote(versions["1"], NOW)
    registry.promote(versions["2"], NOW)
    return versions


def works(place: Path, versions: dict[str, str]) -> dict[str, tuple[Callable[[], Any], int]]:
    """Each kind of work, and the number of what is read once it is done; before it is 2."""
    registry = Registry(place / "registry")
    return {
        "save": (lambda: save_bundle(bundle(5), place / "bundle"), 5),
        "add": (lambda: registry.add(lambda to: save_bundle(bundle(5), to), NOW), 2),
        "adopt": (lambda: registry.adopt(place / "elsewhere", NOW), 2),
        "promote": (lambda: registry.promote(versions["3"], NOW), 3),
        "rollback": (lambda: registry.rollback(NOW), 1),
        "gc": (lambda: registry.gc(0, NOW), 2),
    }


def read(place: Path, name: str) -> int:
    if name == "save":
        return number_of(place / "bundle")
    return Registry(place / "registry").read_promoted(number_of)


def leftovers(place: Path) -> list[str]:
    """What no finished work leaves."""
    return unfinished(place / "registry") + unfinished(place / "bundle")


def unfinished(place: Path) -> list[str]:
    """The same of one bundle or registry."""
    folders = [place, place / "versions"] if (place / "versions").exists() else [place]
    names = [entry.name for folder in folders for entry in folder.iterdir()]
    parts = [name for name in names if name.startswith("parts-")]
    return [name for name in names if name.startswith(".")] + parts[1:]


def kill_at_steps(folder: Path, name: str, versions: dict[str, str], stride: int) -> dict[str, Any]:
    """How many steps the work took, and how often the old and the new were read after a kill."""
    place, seen, step = folder / "try", Counter[str](), 0
    while True:
        # Links: whoever changed a saved file in place would change it for all that follows.
        shutil.copytree(folder / "state", place, copy_function=os.link)
        work, after = works(place, versions)[name]
        was_killed = killed(work, at_step=step)
        found = read(place, name)
        assert found in {2, after}, (name, step, found)
        if not was_killed:
            assert found == after
            assert not leftovers(place)
            shutil.rmtree(place)
            return {"steps": step, "old": seen["old"], "new": seen["new"]}
        for version in Registry(place / "registry").versions():
            number_of(place / "registry" / "versions" / version.version)
        seen["old" if found == 2 else "new"] += 1
        # A rollback that was killed after it took place has been done; once more is one further.
        if not (name == "rollback" and found == after):
            work()
        assert read(place, name) == after, (name, step)
        assert not leftovers(place), (name, step, leftovers(place))
        shutil.rmtree(place)
        step += stride


# -- a whole fit -----------------------------------------------------------------------


def kill_fits(folder: Path, where: str) -> dict[str, Any]:
    """A fit that saves over a bundle, or adds to a registry and promotes, killed all along its way."""
    # Imported before the forks, so that kills fall into work; the other half forks faster without.
    import sklearn.isotonic  # noqa: F401

    from crossfade.cli.app import run
    from crossfade.data import save_dataset
    from crossfade.data.world import WorldConfig, make_world
    from crossfade.hybrid import HybridModel

    place = folder / where
    asked = ["fit", str(folder / "data"), f"--{where}", str(place)]
    asked += ["--config", str(folder / "settings.toml")]
    asked += ["--promote"] if where == "registry" else []

    def make_data() -> None:
        small = WorldConfig(n_listeners=30, n_tracks=60, n_plays=1_500)
        save_dataset(make_world(small, seed=3).dataset, folder / "data")

    def fit() -> None:
        sys.stdout = sys.stderr  # the document is the only thing on standard output
        if run(asked) != 0:
            raise BundleError("the fit failed")

    def current() -> Path:
        registry = Registry(place)
        return place if where == "bundle" else registry.path(str(registry.promoted()))

    def serves() -> None:
        model = HybridModel.load(current())
        assert model.learned is not None
        assert model.recommend(user=model.dataset.user_ids.id(0))

    def version() -> str:
        return str(read_manifest(current(), "bundle", SCHEMA)["version"])

    def done(work: Callable[[], None]) -> float:
        began = time.monotonic()
        assert not killed(work)
        return time.monotonic() - began

    done(make_data)
    done(fit)
    seconds, rng = min(done(fit) for _ in range(3)), random.Random(5)
    seen: Counter[str] = Counter()
    while seen["killed"] < N_FIT_KILLS:
        before = version()
        # A random moment in each twentieth of the time it takes.
        after_s = (seen["killed"] + rng.random()) / N_FIT_KILLS * seconds
        if not killed(fit, after_s=after_s):
            assert version() != before
            seen["faster"] += 1
            seconds *= 0.9  # what else the machine did while this was measured has ended
            continue
        done(serves)
        seen["killed"] += 1
        seen["new"] += version() != before
        seen["most left"] = max(seen["most left"], len(unfinished(place)))
    before = version()
    done(fit)
    done(serves)
    assert version() != before
    return {"left": unfinished(place), **seen}


def no_wait(fd: Any) -> None:
    """In place of `os.fsync`."""


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "fit":
        print(json.dumps(kill_fits(folder, sys.argv[3])))
        return
    # A kill is no power cut, and waiting for the disk takes most of the time.
    os.fsync = no_wait
    (folder / "state").mkdir()
    versions = prepared(folder / "state")
    names = works(folder, versions)
    stride = int(sys.argv[3])
    print(json.dumps({name: kill_at_steps(folder, name, versions, stride) for name in names}))


if __name__ == "__main__":
    main()
