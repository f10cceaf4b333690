"""`Monitoring`: what a monitor reads of a log, and the reports it leaves there."""

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from crossfade.store.log.database import Database
from crossfade.store.log.events import stored
from crossfade.store.log.impressions import read
from crossfade.store.log.rows import Impression, StoredEvent, StoredReport
from crossfade.store.log.tables import events, impressions, monitor_reports


class Monitoring:
    """Windows of time over a log; see `Log` for what its methods raise.

    Every window begins at ``since_us`` and ends before ``until_us``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def methods(self, version: str, since_us: int, until_us: int) -> dict[str, int]:
        """How many lists of a version came about by each method."""
        query = (
            select(impressions.c.method, func.count().label("n"))
            .where(*_shown(version, since_us, until_us))
            .group_by(impressions.c.method)
            .order_by(impressions.c.method)
        )
        with self._database.read() as connection:
            return {row.method: row.n for row in connection.execute(query)}

    def impressions(
        self, version: str, since_us: int, until_us: int, limit: int
    ) -> list[Impression]:
        """Lists of a version, at most so many: those with the first request ids, which are random."""
        where = _shown(version, since_us, until_us)
        order = impressions.c.request_id
        query = select(impressions).where(*where).order_by(order).limit(limit)
        with self._database.read() as connection:
            return read(connection, query)

    def events(self, since_us: int, until_us: int) -> list[StoredEvent]:
        """What happened, by sequence; the whole table is looked through."""
        when = (events.c.time_us >= since_us, events.c.time_us < until_us)
        query = select(events).where(*when).order_by(events.c.sequence)
        with self._database.read() as connection:
            return [stored(row._asdict()) for row in connection.execute(query)]

    def add_report(self, report: StoredReport) -> None:
        """Keep a report; another one of the same moment makes way."""

        def change(connection: Connection) -> None:
            same = monitor_reports.c.time_us == report.time_us
            connection.execute(delete(monitor_reports).where(same))
            connection.execute(insert(monitor_reports), vars(report))

        self._database.write(change)

    def reports(self, version: str | None = None, limit: int | None = None) -> list[StoredReport]:
        """Stored ones, newest first; of one version where that is given."""
        where = () if version is None else (monitor_reports.c.version == version,)
        order = monitor_reports.c.time_us.desc()
        query = select(monitor_reports).where(*where).order_by(order).limit(limit)
        with self._database.read() as connection:
            return [StoredReport(**row._asdict()) for row in connection.execute(query)]


def _shown(version: str, since_us: int, until_us: int) -> tuple[ColumnElement[bool], ...]:
    return (
        impressions.c.version == version,
        impressions.c.time_us >= since_us,
        impressions.c.time_us < until_us,
    )
