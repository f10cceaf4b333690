"""Killed while it ingests, a log keeps all it acknowledged, once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from crossfade.store.log import Log

PROGRAM = Path(__file__).with_name("ingesting.py")


def test_what_was_acknowledged_before_a_kill_is_there_once(url: str) -> None:
    kill_often(url, 10)


@pytest.mark.slow
def test_a_hundred_kills_take_nothing_either(tmp_path: Path) -> None:
    kill_often(f"sqlite:///{tmp_path / 'log.db'}", 100)


def kill_often(url: str, n_rounds: int) -> None:
    Log.open(url).close()
    done = subprocess.run(
        [sys.executable, PROGRAM, url, str(n_rounds)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    acknowledged = {key: int(sequence) for key, sequence in seen["acknowledged"]}
    with Log.open(url) as log:
        events = log.events_after(0, 10**9)
        last = log.last_sequence()
    kept = {stored.event.key: stored.sequence for stored in events}
    assert len(acknowledged) >= seen["n_at_work"] == n_rounds * 4 / 5
    assert acknowledged.items() <= kept.items()
    assert len(kept) == len(events)
    assert [stored.sequence for stored in events] == list(range(1, last + 1))
    # Of the calls that were under way either nothing was kept or all seven events.
    calls = Counter(key.rpartition("-")[0] for key in kept if key is not None)
    assert {n for call, n in calls.items() if call.split("-")[1] == "2"} <= {7}
    assert seen["n_under_way"] > 0
