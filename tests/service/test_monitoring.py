"""What the service keeps for a monitor, and what it tells of the newest report."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import Metric
from prometheus_client.samples import Sample
from tests.online.systems import cut, fit, world
from tests.service.conftest import Start

from crossfade import monitoring
from crossfade.data.dataset import to_datetime
from crossfade.hybrid import HybridModel
from crossfade.monitoring import Alert, Measure, MonitorReport
from crossfade.online import Answer, Ask, LiveSystem
from crossfade.service.impressions import kept
from crossfade.service.meters import Meters
from crossfade.service.state import Service
from crossfade.store import Registry
from crossfade.store.log import StoredReport

LOG, END_US = cut(world())


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One version, whose learned blend serves."""
    place = tmp_path_factory.mktemp("versions") / "registry"
    added = Registry(place).add(fit(LOG).save, to_datetime(END_US))
    Registry(place).promote(added, to_datetime(END_US))
    return place


def test_features_are_kept_of_the_share_that_is_asked_for() -> None:
    ids = [f"{at:08x}" for at in range(0, 16**8, 16**5)]
    for share in (0.0, 0.1, 1.0):
        assert np.mean([kept(name, share) for name in ids]) == pytest.approx(share, abs=1e-3)
    assert [kept(name, 0.1) for name in ids] == sorted([kept(name, 0.1) for name in ids])[::-1]


def test_an_impression_holds_what_the_blend_was_told(start: Start, registry: Path) -> None:
    running = start(registry, keep_features=1)
    live = LiveSystem(Registry(registry).read_promoted(HybridModel.load))
    told = running.read.post("/v1/recommendations", json={"user_id": "u", "k": 3}).json()
    running.service.impressions.close()
    shown = running.service.log.impression(told["request_id"])
    assert shown is not None
    (there,) = live.answer([Ask("u", k=3, now_us=shown.time_us, features=True)])
    assert isinstance(there, Answer)
    assert there.features is not None
    assert shown.features == there.features


REPORT = MonitorReport(
    version="v1",
    since_us=1,
    until_us=2,
    n_lists=3,
    n_looked_at=3,
    n_with_features=0,
    n_people=2,
    n_events=0,
    methods={"static": 3},
    measures=(
        Measure(name="psi", of="event hour", value=0.25, n=2, usual_low=0.0, usual_high=0.5),
        Measure(name="brier", of="", value=None, n=0),
    ),
    missing={"features": "none"},
    alerts=(
        Alert(rule="r", severity="warning", measure="psi", of="event hour", value=1, limit=0, n=2),
    ),
)


def store(service: Service, report: MonitorReport, time_us: int) -> None:
    stored = StoredReport(time_us, report.version, report.model_dump_json())
    service.log.monitoring.add_report(stored)


def test_the_newest_report_is_told_and_measured(start: Start) -> None:
    running = start()
    assert running.read.get("/v1/monitoring").json() == {"time_us": 0, "report": None}
    assert "crossfade_monitor_value{" not in running.read.get("/metrics").text
    store(running.service, REPORT, 5_000_000)
    told = running.read.get("/v1/monitoring").json()
    assert told["time_us"] == 5_000_000
    assert MonitorReport.model_validate(told["report"]) == REPORT
    text = running.read.get("/metrics").text
    assert 'crossfade_monitor_value{measure="psi",of="event hour"} 0.25' in text
    assert 'crossfade_monitor_usual_high{measure="psi",of="event hour"} 0.5' in text
    assert 'crossfade_monitor_people{measure="psi",of="event hour"} 2.0' in text
    assert 'crossfade_monitor_report_time_seconds{version="v1"} 5.0' in text
    assert 'measure="psi",of="event hour",rule="r",severity="warning"} 1.0' in text
    assert "brier" not in text
    store(running.service, REPORT.model_copy(update={"alerts": (), "measures": ()}), 6_000_000)
    text = running.read.get("/metrics").text
    assert 'of="event hour"' not in text  # what is over is over


def test_reports_are_for_those_with_a_key(start: Start) -> None:
    assert start().nobody.get("/v1/monitoring").status_code == 401


@pytest.mark.parametrize("file", ["prometheus-rules.yaml", "grafana-dashboard.json"])
def test_what_is_shipped_asks_for_metrics_that_there_are(file: str) -> None:
    meters = Meters()
    meters.reported(REPORT, 1)
    made = {
        sample.name
        for family in meters.registry.collect()
        for sample in [*family.samples, *_unlabelled(family)]
    }
    text = (Path(__file__).parents[2] / "deploy" / file).read_text()
    asked = set(re.findall(r"crossfade_[a-z_]+", text))
    assert len(asked) > 4
    assert asked <= made


def _unlabelled(family: Metric) -> list[Sample]:
    """What a family with labels will hold once something was counted."""
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    return [Sample(family.name + end, {}, 0.0) for end in ends.get(family.type, [""])]


def test_the_dashboard_asks_for_measures_that_there_are() -> None:
    dashboard = json.loads(
        (Path(__file__).parents[2] / "deploy" / "grafana-dashboard.json").read_text()
    )
    exprs = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for expr in exprs for name in re.findall(r'measure="([a-z_]+)"', expr)}
    room = Path(monitoring.__file__).parent
    code = "".join(path.read_text() for path in room.glob("*.py"))
    assert len(asked) > 10
    assert [name for name in asked if f'"{name}"' not in code] == []
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
