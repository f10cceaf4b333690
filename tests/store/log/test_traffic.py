"""Counts of requests add up, whoever counted them, on each database."""

from concurrent.futures import ThreadPoolExecutor

from crossfade.store.log import Answered, Log

HOUR_US = 3_600_000_000


def counted(hour: int, n: int, route: str = "a", at_most_us: int = 1_000) -> Answered:
    return Answered(hour * HOUR_US, route, "done", at_most_us, n)


def test_what_two_processes_count_adds_up(log: Log, url: str) -> None:
    with Log.open(url) as other, ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(one.traffic.add, [counted(5, 1), counted(5, 2, "b")])
            for one in (log, other) * 10
        ]:
            done.result()
    assert log.traffic.between(0, 10 * HOUR_US) == [
        Answered(0, "a", "done", 1_000, 20),
        Answered(0, "b", "done", 1_000, 40),
    ]


def test_a_window_holds_every_hour_that_it_touches(log: Log) -> None:
    log.traffic.add([counted(hour, 10**hour) for hour in range(5)])
    log.traffic.add([])

    def n(since: float, until: float) -> int:
        found = log.traffic.between(round(since * HOUR_US), round(until * HOUR_US))
        return sum(one.n for one in found)

    assert n(1, 3) == 110
    assert n(1.5, 3.5) == 1110
    assert n(5, 9) == 0


def test_old_hours_go(log: Log) -> None:
    log.traffic.add([counted(hour, 1) for hour in range(5)])
    assert log.traffic.drop_before(3 * HOUR_US) == 3
    assert sum(one.n for one in log.traffic.between(0, 9 * HOUR_US)) == 2
