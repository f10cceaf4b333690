"""`crossfade export` and `crossfade adapt` as a person runs them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from crossfade.cli.app import run
from crossfade.data import load_dataset
from crossfade.data.dataset import to_us
from crossfade.store.log import Log, NewEvent

NOW = to_us(datetime.now(UTC))


def test_export_writes_what_the_log_adds_and_says_what_stayed_out(
    world_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, out = f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "out"
    with Log.open(url) as log:
        some = [NewEvent("a", NOW, "eve"), NewEvent("a", NOW, session_id="s")]
        log.append(some, NOW)
        log.forget(user_id=load_dataset(world_directory).user_ids.id(0), now_us=NOW)
    command = ["export", str(world_directory), "--database", url, "--out", str(out)]
    assert run(command) == 0
    told = capsys.readouterr().out
    assert "with the 2 events of the log" in told
    assert "left out: events of sessions without a user (1), people who were forgotten (1)" in told
    assert "eve" in load_dataset(out).user_ids
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    assert run([*command[:-1], str(tmp_path / "other")]) == 1
