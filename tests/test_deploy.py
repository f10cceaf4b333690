"""The files under `deploy/`, which nobody runs here: what can be known of them without that."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from crossfade.cli.app import app
from crossfade.config import validate
from crossfade.service.config import ServiceConfig
from crossfade.version import __version__

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
PAGE = ROOT / "docs" / "how-to" / "deploy.md"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+[\w.-]*")
"""An image whose tag names a version."""

SHUTDOWN_S = ServiceConfig().shutdown_s


# -- the image -----------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, with lines that go on joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    return [(name, rest) for name, rest in pairs]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(at for at, (name, _) in enumerate(found) if name == "FROM") :]


def values(name: str) -> list[str]:
    return [rest for kind, rest in last_stage() if kind == name]


def test_the_image_stands_on_pinned_ones_and_takes_nothing_from_addresses() -> None:
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases), bases
    assert not [rest for name, rest in instructions() if name == "ADD"]
    text = (DEPLOY / "Dockerfile").read_text()
    assert set(re.findall(r"\w+://[\w.]*", text)) == {"http://127.0.0.1", "sqlite://"}


def test_the_image_runs_as_nobody_in_particular_without_a_compiler() -> None:
    (user,) = values("USER")
    assert user not in {"root", "0"}
    order = [name for name, _ in last_stage()]
    assert order.index("USER") < order.index("CMD")
    assert re.search(rf"useradd .*\b{user}$", " ".join(values("RUN")))
    assert "-slim" in last_stage()[0][1]
    assert not re.search(r"gcc|g\+\+|build-essential|pip install", " ".join(values("RUN")))


def test_the_image_asks_itself_whether_it_can_answer() -> None:
    (check,) = values("HEALTHCHECK")
    command = json.loads(check[check.index("CMD") + 4 :])
    assert command[:2] == ["python", "-c"]
    assert f"127.0.0.1:{ServiceConfig().port}/readyz" in command[2]
    compile(command[2], "healthcheck", "exec")


def test_whatever_is_copied_is_there_and_in_the_context() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored, source


def test_the_image_installs_at_the_versions_the_tests_ran_with() -> None:
    (install,) = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    assert "-c constraints.txt" in install
    (wanted,) = re.findall(r"'\.\[(.*)\]'", install)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {"serve", "postgres"} <= set(wanted.split(",")) <= set(extras)


# -- compose -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_every_container_is_pinned_and_watched(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert PINNED.fullmatch(service["image"]), name
        assert "healthcheck" in service or "build" in service, name
    built = compose["services"]["crossfade"]
    assert built["image"] == f"crossfade:{__version__}"
    context = DEPLOY / built["build"]["context"]
    assert (context / built["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert built["depends_on"]["database"]["condition"] == "service_healthy"


def test_every_volume_and_file_of_a_container_is_there(compose: Any) -> None:
    used = {v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", ())}
    files = {one for one in used if one.startswith(".")}
    assert used - files == set(compose["volumes"])
    assert all((DEPLOY / one).is_file() for one in files)
    secrets = {one for s in compose["services"].values() for one in s.get("secrets", ())}
    assert secrets == set(compose["secrets"])


def test_containers_are_reached_from_this_machine_alone_and_hold_no_password(compose: Any) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|DATABASE", name):
                assert "${POSTGRES_PASSWORD:?" in value
    assert "ports" not in compose["services"]["database"]


def test_prometheus_finds_the_service_and_its_key(compose: Any) -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"crossfade:{ServiceConfig().port}"]}]
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"


# -- systemd -------------------------------------------------------------------------------


def unit(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(file.read_text())
    return parser


@pytest.mark.parametrize("file", SERVICES, ids=lambda file: file.name)
def test_services_may_do_little(file: Path) -> None:
    service = unit(file)["Service"]
    assert service["User"] != "root"
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
        assert service[name] == "yes", name
    assert service["UMask"] == "0077"


def test_every_timer_starts_a_service_that_is_there() -> None:
    timers = [file for file in UNITS if file.suffix == ".timer"]
    assert len(timers) == 2
    for timer in timers:
        assert timer.with_suffix(".service") in SERVICES
        assert unit(timer)["Timer"]["OnCalendar"]
        assert unit(timer)["Install"]["WantedBy"] == "timers.target"


def test_whoever_stops_the_service_waits_for_it(compose: Any) -> None:
    waits_s = int(unit(DEPLOY / "systemd" / "crossfade.service")["Service"]["TimeoutStopSec"])
    grace = compose["services"]["crossfade"]["stop_grace_period"]
    assert waits_s > SHUTDOWN_S
    assert int(grace.removesuffix("s")) > SHUTDOWN_S


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze: install the package systemd")
    for file in UNITS:  # what they start is not installed here
        text = file.read_text().replace(
            "ExecStart=/opt/crossfade/bin/crossfade", "ExecStart=/bin/true"
        )
        (tmp_path / file.name).write_text(text)
    files = [str(tmp_path / file.name) for file in UNITS]
    done = subprocess.run([program, "verify", *files], capture_output=True, text=True, check=False)
    ours = [
        line for line in done.stderr.splitlines() if str(tmp_path) in line or "crossfade" in line
    ]
    assert ours == []
    assert done.returncode == 0, done.stderr


# -- settings and commands -----------------------------------------------------------------


def test_settings_are_settings(compose: Any) -> None:
    shown = [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == "toml"]
    assert shown
    for text in (*shown, (DEPLOY / "service.toml").read_text()):
        validate(ServiceConfig, tomllib.loads(text), "deploy")
    files = [DEPLOY / "Dockerfile", DEPLOY / "compose.yaml", *UNITS, PAGE]
    named = re.findall(r"CROSSFADE_([A-Z_]+)[=:]", "".join(file.read_text() for file in files))
    assert {"HOST", "DATABASE"} <= set(named)
    assert {name.lower() for name in named} <= set(ServiceConfig.model_fields)
    assert f"reverse_proxy 127.0.0.1:{ServiceConfig().port}" in (DEPLOY / "Caddyfile").read_text()


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every call of crossfade in these files, and where it is."""
    (entry,), (usual,) = values("ENTRYPOINT"), values("CMD")
    assert json.loads(entry) == ["crossfade"]
    yield "Dockerfile", json.loads(usual)
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    yield "compose.yaml", services["crossfade"]["command"]
    for file in SERVICES:
        for line in re.findall(r"/opt/crossfade/bin/crossfade (.*)", file.read_text()):
            yield file.name, shlex.split(line.rstrip("'"))
    starts = r"^(?:docker compose run (?:.* )?)?crossfade ([a-z].*)$"
    for kind, text in BLOCK.findall(PAGE.read_text()):
        if kind == "sh":
            for line in re.findall(starts, text, re.MULTILINE):
                yield PAGE.name, shlex.split(line)


def test_every_command_there_is_can_be_called_so() -> None:
    called = list(commands())
    assert len(called) >= 15
    files = {"Dockerfile", "compose.yaml", PAGE.name, *(file.name for file in SERVICES)}
    assert {place for place, _ in called} == files
    for place, arguments in called:
        command: Any = get_command(app)
        rest = list(arguments)
        while hasattr(command, "commands"):
            name = rest.pop(0)
            assert name in command.commands, (place, arguments)
            command = command.commands[name]
        command.make_context(command.name, rest)  # raises where an option is none
