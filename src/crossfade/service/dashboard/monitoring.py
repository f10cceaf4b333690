"""The newest report of a monitor, and how its measures went in the reports before."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from crossfade.monitoring import Measure, MonitorReport
from crossfade.service.dashboard.charts import Moment, Trend, trend
from crossfade.service.dashboard.pages import Looks, Running, render
from crossfade.service.state import Service

router = APIRouter(dependencies=[Looks])

N_REPORTS = 30
"""Reports that are drawn at most."""

N_FIRST = 6
"""Measures of one name that stand above the fold."""

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "What comes in",
        "How far requests, items and events are spread otherwise than at the end of the version’s log.",
        ("psi", "energy", "session_shift", "session_spread", "session_outside", "unknown"),
    ),
    (
        "What is known of items",
        "Of those that are shown.",
        ("completeness", "audio_confidence", "audio_guessed"),
    ),
    (
        "What answers",
        "Whom the blend trusts, and how clearly.",
        ("method", "weight", "decisiveness"),
    ),
    (
        "Variety of the lists",
        "Different and repeated creators and genres.",
        ("creators", "repeat_creator", "genres", "within_lists", "list_length"),
    ),
    (
        "What came of the lists",
        "Of those old enough to have an outcome.",
        (
            "hit",
            "loss",
            "loss_change",
            "candidate_recall",
            "calibration_error",
            "probability",
            "wanted",
            "brier",
        ),
    ),
    ("Against the version before", "Neighbours that both share.", ("neighbour_overlap",)),
)
"""Headings, what they are about, and the measures below them; others stand at the end."""


@dataclass(frozen=True)
class Row:
    """A measure of the newest report.

    Attributes:
        measure: It.
        trend: How it went; None where it was never known.
        alert: Whether it breaks a rule.
    """

    measure: Measure
    trend: Trend | None
    alert: bool


@dataclass(frozen=True)
class Group:
    """Measures under one heading.

    Attributes:
        title: The heading.
        about: One sentence.
        first: What everybody sees: of each name, alerts first, then the largest.
        more: The rest.
    """

    title: str
    about: str
    first: Sequence[Row]
    more: Sequence[Row]


@router.get("/monitoring")
async def monitoring(request: Request, service: Running) -> Response:
    """The newest report."""
    reports = await asyncio.to_thread(_reports, service)
    return render(request, "monitoring.html.j2", reports=reports, groups=groups(reports))


def groups(reports: Sequence[MonitorReport]) -> list[Group]:
    """The measures of the last report, below headings.

    Args:
        reports: Oldest first; none is no measures.
    """
    if not reports:
        return []
    alerts = {(one.measure, one.of) for one in reports[-1].alerts}
    drawn = _trends(reports)
    by_name: dict[str, list[Row]] = {}
    for one in reports[-1].measures:
        row = Row(one, drawn[one.key], one.key in alerts)
        by_name.setdefault(one.name, []).append(row)
    for rows in by_name.values():
        rows.sort(key=lambda row: (not row.alert, -abs(row.measure.value or 0.0)))
    named = {name for _, _, names in GROUPS for name in names}
    others = tuple(name for name in by_name if name not in named)
    made = []
    for title, about, names in (*GROUPS, ("Others", "", others)):
        there = [by_name[name] for name in names if name in by_name]
        if there:
            first = [row for rows in there for row in rows[:N_FIRST]]
            more = [row for rows in there for row in rows[N_FIRST:]]
            made.append(Group(title, about, first, more))
    return made


def _reports(service: Service) -> list[MonitorReport]:
    """The newest reports on one version, oldest first."""
    newest = service.log.monitoring.reports(limit=1)
    if not newest:
        return []
    stored = service.log.monitoring.reports(newest[0].version, N_REPORTS)
    return [MonitorReport.read(one.report) for one in reversed(stored)]


def _trends(reports: Sequence[MonitorReport]) -> dict[tuple[str, str], Trend | None]:
    moments: dict[tuple[str, str], list[Moment]] = {}
    for report in reports:
        for one in report.measures:
            moment = Moment(report.until_us, one.value, one.usual_low, one.usual_high)
            moments.setdefault(one.key, []).append(moment)
    return {key: trend(some) for key, some in moments.items()}
