"""The newest report of a monitor; `crossfade monitor --store` leaves them in the log."""

import asyncio

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from crossfade.monitoring import MonitorReport
from crossfade.service.asking import Running, needs
from crossfade.service.state import Service

router = APIRouter(prefix="/v1", tags=["operations"], dependencies=[Depends(needs("read"))])


class MonitoringAnswer(BaseModel):
    """The newest report."""

    time_us: int
    """When it was stored, microseconds since 1970; 0 where none was."""
    report: MonitorReport | None
    """Null where none was stored."""


@router.get("/monitoring")
async def monitoring(service: Running) -> MonitoringAnswer:
    """What was measured last of drift, weights, outcomes and variety; counts only, nobody is named."""
    return await asyncio.to_thread(newest_report, service)


def newest_report(service: Service) -> MonitoringAnswer:
    """The report that was stored last, of whatever version."""
    stored = service.log.monitoring.reports(limit=1)
    if not stored:
        return MonitoringAnswer(time_us=0, report=None)
    return MonitoringAnswer(time_us=stored[0].time_us, report=MonitorReport.read(stored[0].report))
