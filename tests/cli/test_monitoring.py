"""`crossfade monitor`: what it prints, keeps and exits with."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from tests.online.systems import cut, fit, world

from crossfade.cli.app import run
from crossfade.config import validate
from crossfade.data.dataset import to_datetime
from crossfade.monitoring import MonitorConfig, MonitorReport
from crossfade.monitoring.replay import events_done, lists_shown
from crossfade.online import LiveSystem
from crossfade.rng import generator
from crossfade.store.log import Log

WHOLE = world()
START = cut(WHOLE)[1]
UNTIL = START + 10 * 86_400_000_000
SETTINGS = """
reference_windows = 2
reference_lists = 10
recall_lists = 5
resamples = 20
[[rules]]
name = "always"
measure = "hit"
above = true
at_least = -1.0
min_n = 1
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command over a system that served for ten days."""
    place = tmp_path_factory.mktemp("monitored")
    model = fit(cut(WHOLE)[0])
    model.save(place / "bundle")
    url = f"sqlite:///{place / 'log.db'}"
    with Log.open(url) as log:
        log.add_impressions(
            lists_shown(
                LiveSystem(model), WHOLE, START, UNTIL, n_lists=40, rng=generator(0, "test")
            )
        )
        log.append(events_done(WHOLE, START, UNTIL), START)
    settings = place / "monitor.toml"
    settings.write_text(SETTINGS)
    return [
        *(
            "monitor",
            "--bundle",
            str(place / "bundle"),
            "--database",
            url,
            "--settings",
            str(settings),
        ),
        *("--window-days", "10", "--until", to_datetime(UNTIL).isoformat()),
    ]


def test_numbers_come_with_people_intervals_and_what_is_usual(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("people")
    (line,) = (one for one in lines if one.startswith("completeness shown"))
    value, interval, n, usual = line[50:58], line[60:78], line[78:85], line[87:]
    assert 0 < float(value) <= 1
    assert interval.strip().startswith("[")
    assert int(n) > 10
    assert " to " in usual
    assert sum(one.startswith("psi ") for one in lines) == 5
    assert any(one.startswith("not measured: adaptation_gain: ") for one in lines)
    assert lines[-1].startswith("no rule is broken") or lines[-1].startswith("warning: ")


def test_a_stored_report_is_the_one_that_is_printed(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*asked, "--json", "--store"]) == 0
    printed = MonitorReport.read(capsys.readouterr().out)
    with Log.open(asked[asked.index("--database") + 1]) as log:
        (stored,) = log.monitoring.reports()
    assert MonitorReport.read(stored.report) == printed
    assert stored.time_us == printed.until_us == UNTIL


def test_an_alert_fails_where_it_is_asked_to(
    asked: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calm = tmp_path / "calm.toml"
    calm.write_text(SETTINGS.replace("-1.0", "1.0"))
    quiet = [str(calm) if part.endswith("monitor.toml") else part for part in asked]
    assert run([*asked, "--json"]) == 0
    assert {one["rule"] for one in json.loads(capsys.readouterr().out)["alerts"]} == {"always"}
    assert run([*asked, "--fail-on-alert"]) == 1
    assert "warning: always: hit lists is " in capsys.readouterr().out
    assert run([*quiet, "--fail-on-alert"]) == 0
    assert capsys.readouterr().out.endswith("no rule is broken\n")


def test_the_rules_on_the_page_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md").read_text()
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    rules = validate(MonitorConfig, tomllib.loads(block), "monitor.md").rules
    assert [rule.name for rule in rules] == ["input_drift", "candidates_miss"]
