"""`crossfade export` and `crossfade adapt` as a person runs them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.online.systems import cut
from tests.online.updates.logs import fill, fit, of_hits, since

from crossfade.cli.app import run
from crossfade.data import load_dataset
from crossfade.data.dataset import to_us
from crossfade.store import Registry
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


def test_adapt_promotes_a_better_version_and_tells_refusal_and_nothing_new_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = of_hits()
    old, moment = cut(whole, 2 / 3)
    registry = Registry(tmp_path / "registry")
    first = registry.add(fit(old).save, datetime.now(UTC))
    registry.promote(first, datetime.now(UTC))
    url, strict = f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "strict.toml"
    strict.write_text("least_users = 1000\n")
    command = ["adapt", "--registry", str(registry.directory), "--database", url]
    assert run(command) == 0
    assert f"nothing is newer than what version {first} knows" in capsys.readouterr().out
    with Log.open(url) as log:
        fill(log, since(whole, moment))
    assert run([*command, "--config", str(strict)]) == 3
    told = capsys.readouterr().out
    assert "not accepted: 50 people with newest events are too few" in told
    assert "still serves the version before" in told
    assert registry.promoted() == first
    assert run([*command, "--mode", "weekly"]) == 0
    told = capsys.readouterr().out
    assert f"weekly candidate after version {first}" in told
    assert f"serves version {registry.promoted()}" in told
    assert registry.promoted() != first
    assert run([*command, "--mode", "monthly"]) == 1
