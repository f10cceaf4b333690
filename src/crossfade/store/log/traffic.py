"""Traffic: how many requests there were and how long they took, by hour and route; nobody is named."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from crossfade.store.log.database import Database
from crossfade.store.log.entries import Answered
from crossfade.store.log.tables import traffic

HOUR_US = 3_600_000_000


class Traffic:
    """The counts in a database; see `Log` for what holds of all its parts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, counts: Sequence[Answered]) -> None:
        """Add to what is there, whichever process counted it."""
        rows = list(counts)
        if rows:
            self._database.write(lambda connection: _add(connection, rows))

    def between(self, since_us: int, until_us: int) -> list[Answered]:
        """The counts of all hours of which some part lies in a window, added up over them.

        ``hour_us`` of each is 0.
        """
        hours = (traffic.c.hour_us > since_us - HOUR_US, traffic.c.hour_us < until_us)
        names = (traffic.c.route, traffic.c.outcome, traffic.c.at_most_us)
        total = func.sum(traffic.c.n).label("n")
        query = select(*names, total).where(*hours).group_by(*names).order_by(*names)
        with self._database.read() as connection:
            return [
                Answered(0, row.route, row.outcome, row.at_most_us, int(row.n))
                for row in connection.execute(query)
            ]

    def drop_before(self, time_us: int) -> int:
        """Delete hours that began before a moment; returns how many rows those were."""
        old = delete(traffic).where(traffic.c.hour_us < time_us)
        return self._database.write(lambda connection: connection.execute(old).rowcount)


def _add(connection: Connection, rows: Sequence[Answered]) -> None:
    for row in rows:
        said = vars(row)
        same = [traffic.c[name] == said[name] for name in said if name != "n"]
        more = update(traffic).where(*same).values(n=traffic.c.n + row.n)
        # There is one writer at a time, in all processes, so nobody adds the row in between.
        if not connection.execute(more).rowcount:
            connection.execute(insert(traffic), said)
