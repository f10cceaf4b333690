"""`crossfade serve` and `crossfade keys` as a person runs them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from crossfade.cli.app import run
from crossfade.cli.serving import service_settings
from crossfade.errors import ConfigError

CROSSFADE = str(Path(sys.executable).with_name("crossfade"))


def test_a_key_is_told_once_listed_without_its_secret_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = ["--database", f"sqlite:///{tmp_path / 'log.db'}"]
    assert run(["keys", "add", "shop", "--role", "write", *database]) == 0
    key = capsys.readouterr().out.strip()
    assert run(["keys", "list", "--json", *database]) == 0
    listed = capsys.readouterr().out
    (told,) = json.loads(listed)["keys"]
    assert (told["name"], told["role"], told["revoked_us"]) == ("shop", "write", None)
    assert key.removeprefix(f"cf_{told['id']}_") not in listed
    assert run(["keys", "revoke", told["id"], *database]) == 0
    capsys.readouterr()
    assert run(["keys", "list", *database]) == 0
    assert "revoked" in capsys.readouterr().out
    assert run(["keys", "revoke", told["id"], *database]) == 1
    assert told["id"] in capsys.readouterr().err
    assert run(["keys", "add", "x", "--role", "king", *database]) == 1
    assert capsys.readouterr().err == 'error: role "king" is none; it is read, write or admin\n'


def test_options_go_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "service.toml"
    file.write_text("port = 1\nburst = 2\nmax_events = 3\n")
    monkeypatch.setenv("CROSSFADE_PORT", "10")
    monkeypatch.setenv("CROSSFADE_BURST", "20")
    monkeypatch.setenv("CROSSFADE_CORS_ORIGINS", "https://a.example,https://b.example")
    found = service_settings(file, {"port": 100, "host": None})
    assert (found.port, found.burst, found.max_events) == (100, 20, 3)
    assert found.cors_origins == ("https://a.example", "https://b.example")


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text("port = 'x'\nbirst = 2\n")
    with pytest.raises(ConfigError) as error:
        service_settings(file, {})
    assert "port" in str(error.value)
    assert "birst" in str(error.value)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--no-keys", "--host", "0.0.0.0"],
        ["--database", "mysql://x"],
        ["--bundle", "no-such-bundle"],
        ["--port", "99999"],
    ],
)
def test_what_cannot_be_served_is_one_line(
    bundle: Path, tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    database = ["--database", f"sqlite:///{tmp_path / 'log.db'}"]
    place = [] if "--bundle" in wrong else ["--bundle", str(bundle)]
    assert run(["serve", *place, *database, *wrong]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def asked(url: str, key: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(url, json.dumps(body).encode(), headers)) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.slow
def test_a_service_answers_logs_and_ends_when_it_is_told_to(bundle: Path, tmp_path: Path) -> None:
    port, database = free_port(), f"sqlite:///{tmp_path / 'log.db'}"
    made = subprocess.run(
        [CROSSFADE, "keys", "add", "shop", "--role", "write", "--database", database],
        capture_output=True,
        text=True,
        check=True,
    )
    key = made.stdout.strip()
    command = [
        CROSSFADE,
        "serve",
        "--bundle",
        str(bundle),
        "--port",
        str(port),
        "--database",
        database,
    ]
    log = (tmp_path / "log").open("w")
    service = subprocess.Popen(command, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        place = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urlopen(f"{place}/readyz").close()
                break
            except URLError:
                assert service.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.1)
        status, told = asked(f"{place}/v1/recommendations", key, {"user_id": "nobody yet"})
        assert status == 200
        item = told["items"][0]["item_id"]  # type: ignore[index]
        event = {"user_id": "nobody yet", "item_id": item}
        assert asked(f"{place}/v1/events", key, event)[0] == 201
        assert asked(f"{place}/v1/recommendations", "cf_no_key", {})[0] == 401
    finally:
        service.send_signal(signal.SIGTERM)
        ended = service.wait(60)
        log.close()
    assert ended == 0  # it ended by itself, with all it had to tidy up
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    messages = [line["message"] for line in lines]
    assert "POST /v1/events 201" in messages
    assert not any("Traceback" in str(line) for line in lines)
    # What was acknowledged and what was shown are both there.
    from crossfade.store.log import Log

    with Log.open(database) as kept:
        assert [one.event.item_id for one in kept.events_of(user_id="nobody yet")] == [item]
        assert len(kept.impressions_of(user_id="nobody yet")) == 1
