"""The process may be killed at any point: what served serves on, and doing it again completes it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks")

SETTINGS = """
[bases.popularity]
[bases.item_knn]
[blend]
fusion = "ridge"
n_candidates = 10
n_earlier_blocks = 1
min_requests = 5
"""


def watched(what: str, folder: Path, *more: str) -> Any:
    """What `killing.py` saw; it stops with an error at the first thing that may not be."""
    program = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, str(program), what, str(folder), *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("stride", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_step_on_the_disk_loses_nothing_and_the_same_again_completes(
    tmp_path: Path, stride: int
) -> None:
    seen = watched("steps", tmp_path, str(stride))
    assert seen.keys() == {"save", "add", "adopt", "promote", "rollback", "gc"}
    for work in ("save", "promote", "rollback"):
        # Killed on both sides of the one rename that makes the new version current.
        assert seen[work]["old"] >= 5, seen
        assert seen[work]["new"] >= 1, seen
    for work in ("add", "adopt", "gc"):
        assert seen[work]["steps"] >= 50, seen


@pytest.mark.slow
@pytest.mark.parametrize("where", ["bundle", "registry"])
def test_a_fit_killed_at_twenty_random_moments_leaves_what_served_and_completes_when_run_again(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "settings.toml").write_text(SETTINGS)
    seen = watched("fit", tmp_path, where)
    assert seen["killed"] == 20
    assert seen["killed"] - seen.get("new", 0) >= 15, seen  # most kills were before the switch
    assert seen.get("most left", 0) <= 2, seen  # of one attempt, however many there were
    assert seen["left"] == []
