"""The newest report of a monitor as a page."""

from tests.service.dashboard.conftest import Desk
from tests.service.dashboard.markup import Element, page

from crossfade.monitoring import Alert, Measure, MonitorReport
from crossfade.service.dashboard.charts import Moment, Scale, trend
from crossfade.service.dashboard.monitoring import N_FIRST, groups
from crossfade.store.log import StoredReport

DAY = 86_400_000_000


def report(at: int, version: str = "v1", **changed: object) -> MonitorReport:
    drift = [
        Measure(name="psi", of=f"f{i}", value=i / 100, n=9, usual_low=0.0, usual_high=0.05)
        for i in range(N_FIRST + 3)
    ]
    measures = (*drift, Measure(name="hit", of="lists", value=0.25, low=0.125, high=0.5, n=40))
    base = {
        "version": version, "since_us": (at - 1) * DAY, "until_us": at * DAY, "n_lists": 3, "n_looked_at": 3,
        "n_with_features": 1, "n_people": 2, "n_events": 4, "methods": {"static": 3},
        "measures": measures, "missing": {"adaptation_gain": "<b>no</b> shadow"}, "alerts": (),
    }  # fmt: skip
    return MonitorReport.model_validate(base | changed)


def store(desk: Desk, one: MonitorReport) -> None:
    stored = StoredReport(one.until_us, one.version, one.model_dump_json())
    desk.service.log.monitoring.add_report(stored)


def opened(desk: Desk) -> Element:
    answer = desk.read.get("/dashboard/monitoring")
    assert answer.status_code == 200, answer.text
    return page(answer.text)


ALERT = Alert(
    rule="input_drift", severity="critical", measure="psi", of="f0", value=0.5, limit=0.25, n=9
)


def test_the_page_says_what_to_run_then_shows_the_newest_report_of_one_version(desk: Desk) -> None:
    assert "crossfade monitor" in opened(desk).all("code")[0].text
    for one in (report(1, "v0"), report(2), report(3), report(4, alerts=(ALERT,))):
        store(desk, one)
    read = opened(desk)
    headings = [one.text for one in read.all("h2")]
    assert headings == ["Alerts", "What comes in", "What came of the lists", "Not measured"]
    (alert,) = read.of_class("alerts")[0].all("li")
    assert "critical input drift: psi f0 is 0.5, the limit is 0.25 (n = 9)" in alert.text
    assert "Another version serves now" in read.of_class("banner")[0].text
    assert "newest 3 reports" in read.text  # v0 is another version
    first, more, came = read.all("table")
    assert [row.all("small")[0].text for row in first.all("tr")[1:]][:2] == ["f0", "f8"]
    assert len(first.all("tr")) == N_FIRST + 1
    assert len(more.all("tr")) == 3 + 1
    assert len(first.of_class("alerting")) == 1
    cells = [cell.text for cell in came.all("tr")[1].all("td")]
    assert cells[:4] == ["0.250", "0.125 to 0.500", "40", ""]
    assert first.of_class("line")[0].attributes["d"].count("L") == 2
    assert "<b>no</b> shadow" in read.text


def test_measures_nobody_named_stand_at_the_end() -> None:
    new = Measure(name="brand_new", of="", value=None, n=1)
    (only,) = groups([report(1, measures=(new,))])
    assert (only.title, only.first[0].measure, only.first[0].trend) == ("Others", new, None)
    assert groups([]) == []


def test_a_trend_has_gaps_where_nothing_is_known() -> None:
    values = [(0, 1.0, None, None), (1, None, 0.0, 2.0), (2, 0.0, 0.0, 2.0), (4, 2.0, 0.0, 2.0)]
    drawn = trend([Moment(*one) for one in values])
    assert drawn is not None
    assert drawn.line == "M0.0 50.0h0M50.0 100.0L100.0 0.0"
    assert drawn.band == "M25.0 0.0L50.0 0.0L100.0 0.0L100.0 100.0L50.0 100.0L25.0 100.0Z"
    assert trend([Moment(0, None, 0.0, 1.0)]) is None
    alone = trend([Moment(7, 3.0, None, None)])
    assert alone is not None
    assert (alone.line, alone.band) == ("M50.0 50.0h0", "")
    assert Scale.over([None, 2.0, 4.0]).at(3.0) == 50.0
