"""The process may be killed at any point: the same again ends in the very files of an undisturbed run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forks"),
    pytest.mark.slow,
]


def watched(what: str, folder: Path) -> Any:
    """What `killing.py` saw; it stops with an error at the first thing that may not be."""
    program = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, str(program), what, str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_kill_at_any_step_on_the_disk_leaves_whole_parts_and_the_same_again_completes(
    tmp_path: Path,
) -> None:
    seen = watched("steps", tmp_path)
    for fresh in ("False", "True"):
        assert seen[fresh]["steps"] >= 40, seen
        assert seen[fresh]["kept"] >= 10, seen  # killed while parts of the run were there


def test_twenty_kills_at_random_moments_change_no_list(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "bundle")
    seen = watched("moments", tmp_path)
    assert seen["killed"] == 20
    assert seen["kept"] >= 1, seen  # some of them after the first part
