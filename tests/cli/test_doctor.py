"""What `crossfade doctor` finds in a deployment."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from crossfade.cli import checking
from crossfade.cli.app import run
from crossfade.service import finding, fitness
from crossfade.service.config import ServiceConfig
from crossfade.store.log import Log, NewEvent, migrations

DAY_US = 86_400_000_000
NOW = 1_700_000_000_000_000


@pytest.fixture(autouse=True)
def deployment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the deployment is looked at."""
    monkeypatch.setattr(checking, "_installation", lambda _: ())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


def findings(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, tuple[str, str]]:
    code = run(["doctor", *map(str, arguments), "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    found = {one["check"]: (one["state"], one["said"]) for one in checks}
    assert len(found) == len(checks)
    assert code == int("wrong" in {state for state, _ in found.values()})
    return found


def of_log(url: str, now_us: int = NOW) -> dict[str, tuple[str, str]]:
    config = ServiceConfig(database=url)
    return {one.check: (one.state, one.said) for one in fitness.of_database(config, now_us)}


def test_a_sound_deployment_is_ok_line_by_line(
    url: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log.open(url) as log:
        log.add_key("shop", "read", NOW)
        log.append([NewEvent("t", NOW, "ann")], NOW)
    settings = tmp_path / "service.toml"
    settings.write_text("port = 9000\n")
    asked = ["--config", settings, "--database", url, "--bundle", bundle]
    found = findings(capsys, *asked)
    assert {state for state, _ in found.values()} == {"ok"}
    assert list(found) == ["settings", "database", "clock", "keys", "version"]
    assert run(["doctor", *map(str, asked)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", name] for name in found]


def test_what_is_wrong_is_named_with_its_mend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "service.toml"
    settings.write_text("prot = 9000\n")
    found = findings(capsys, "--config", settings, "--bundle", tmp_path / "none")
    said = f"{settings}: prot is not a setting; remove it or check its spelling"
    assert found["settings"] == ("wrong", said)
    assert found["version"][0] == "wrong"
    assert "check the path" in found["version"][1]


def test_a_registry_without_a_sound_version_is_wrong(
    url: str, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "registry"
    at = ["--registry", str(place)]
    assert run(["registry", "add", str(bundle), *at]) == 0
    capsys.readouterr()
    found = findings(capsys, *at, "--database", url)
    assert found["version"][0] == "wrong"  # nothing is promoted
    assert found["registry"] == ("ok", "1 versions")
    (there,) = (place / "versions").iterdir()
    assert run(["registry", "promote", there.name, *at]) == 0
    capsys.readouterr()
    assert findings(capsys, *at, "--database", url)["version"][0] == "ok"
    victim = max(there.rglob("*.safetensors"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    assert findings(capsys, *at, "--database", url)["version"][0] == "wrong"
    (there / "manifest.json").write_text("{")
    assert findings(capsys, *at, "--database", url)["registry"][0] == "warn"


def test_looking_at_a_log_makes_and_changes_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of_log(url)["database"][0] == "warn"
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        Log.open(url).close()
    before = (tmp_path / "log.db").read_bytes()
    state, said = of_log(url)["database"]
    assert state == "warn"
    assert said.startswith("has schema 1; the service brings it to ")
    assert (tmp_path / "log.db").read_bytes() == before


def test_a_log_that_cannot_be_used_is_wrong(url: str, tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(b"no database" * 100)
    assert of_log(url)["database"][0] == "wrong"
    (tmp_path / "log.db").unlink()
    assert of_log(f"sqlite:///{tmp_path / 'no' / 'log.db'}")["database"][0] == "wrong"
    assert of_log("postgresql://me:secret@127.0.0.1:1/x")["database"][0] == "wrong"
    assert "secret" not in of_log("postgresql://me:secret@127.0.0.1:1/x")["database"][1]
    Log.open(url).close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as newer, newer:
        newer.execute("UPDATE schema_version SET version = 999")
    assert "upgrade crossfade" in of_log(url)["database"][1]


def test_a_clock_behind_the_newest_event_is_wrong(url: str) -> None:
    with Log.open(url) as log:
        log.append([NewEvent("t", NOW + DAY_US, "ann")], NOW)  # callers may say any time
    assert of_log(url, NOW)["clock"][0] == "ok"
    state, said = of_log(url, NOW - 60_000_000)["clock"]
    assert state == "wrong"
    assert said.startswith("the newest event came in 60 s from now; ")


def test_keys_that_are_over_open_nothing_and_those_that_expire_soon_are_named(url: str) -> None:
    with Log.open(url) as log:
        log.add_key("old", "read", NOW, NOW)
        log.revoke_key(log.add_key("lost", "read", NOW).split("_")[1], NOW)
        assert of_log(url)["keys"][0] == "wrong"
        log.add_key("soon", "read", NOW, NOW + 13 * DAY_US)
        state, said = of_log(url)["keys"]
        assert state == "warn"
        assert "soon (2023-11-27" in said
        assert "old" not in said
    assert of_log(url, NOW - 20 * DAY_US)["keys"][0] == "ok"


def test_settings_that_let_too_many_in_are_named() -> None:
    assert fitness.of_settings(ServiceConfig(keys=False)).state == "warn"
    assert fitness.of_settings(ServiceConfig(host="0.0.0.0")).state == "warn"


@pytest.mark.parametrize(("free", "state"), [(9e8, "wrong"), (4e9, "warn"), (6e9, "ok")])
def test_a_disk_that_fills_up_is_noticed(
    free: float, state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = type("usage", (), {"free": free})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert finding.disk(tmp_path).state == state


def test_packages_that_are_absent_or_old_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["numpy>=2.0", "polars>=999.1", "no-such-thing>=1; python_version > '3'"]
    monkeypatch.setattr(checking, "requires", lambda _: [*needed, "gone>=1; extra == 'x'"])
    found = checking._packages()
    assert found.state == "wrong"
    assert "polars is " in found.said
    assert "at least 999.1 is needed, no-such-thing is not installed" in found.said
    assert "gone" not in found.said


def test_where_a_package_is_broken_the_doctor_can_still_say_so(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['polars'] = None; from crossfade.cli.app import run; "
        f"sys.exit(run(['doctor', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("wrong"))
    assert "polars" in line
    assert "pip install" in line
