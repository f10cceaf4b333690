"""What the service counts and times, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crossfade.monitoring import MonitorReport
from crossfade.store.log import SECONDS

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_MEASURE = ("measure", "of")
REPORTED = {
    "report_time_seconds": ("When the newest monitoring report was stored.", ("version",)),
    "value": ("A measure of the newest monitoring report.", _MEASURE),
    "usual_low": ("The smallest that was usual for it.", _MEASURE),
    "usual_high": ("The largest that was usual for it.", _MEASURE),
    "people": ("People that the measure rests on.", _MEASURE),
    "alert": ("1 for each rule it breaks.", ("rule", "severity", *_MEASURE)),
}
"""What is told of a report, each after ``crossfade_monitor_``."""


class Meters:
    """Counters of one service; each has its own, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._seconds = Histogram(
            "crossfade_request_seconds",
            "Time of a request from its first byte to its answer.",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=registry,
        )
        self.waiting = Gauge(
            "crossfade_waiting", "Requests that wait for an answer.", registry=registry
        )
        self.together = Histogram(
            "crossfade_answered_together",
            "Requests that were answered in one pass.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.lists = Counter(
            "crossfade_lists", "Lists by what answered.", ("method",), registry=registry
        )
        self.events = Counter(
            "crossfade_events", "Events that were taken.", ("duplicate",), registry=registry
        )
        self.impressions_lost = Counter(
            "crossfade_impressions_lost",
            "Impressions that could not be written down.",
            registry=registry,
        )
        self.arms_refused = Counter(
            "crossfade_arms_refused",
            "Lists that an arm of an experiment could not answer, and that were made without it.",
            ("experiment", "arm"),
            registry=registry,
        )
        self.experiments_waiting = Gauge(
            "crossfade_experiments_waiting",
            "Experiments that run and that nobody takes part in here, as a version of theirs is not loaded.",
            registry=registry,
        )
        self.people = Gauge(
            "crossfade_people", "People whose recent events are in memory.", registry=registry
        )
        self.adaptations = Counter(
            "crossfade_adaptations",
            "Adaptations by how they ended; passed_over had no room to wait.",
            ("outcome",),
            registry=registry,
        )
        self.adapting = Histogram(
            "crossfade_adaptation_seconds",
            "Time of one adaptation.",
            buckets=SECONDS,
            registry=registry,
        )
        self.adapted_lists = Counter(
            "crossfade_adapted_lists", "Lists that a head changed.", registry=registry
        )
        self.reloads = Counter(
            "crossfade_reloads",
            "Versions that were loaded or refused.",
            ("done",),
            registry=registry,
        )
        self._reported_us = 0
        self._reported = {
            name: Gauge(f"crossfade_monitor_{name}", text, labels, registry=registry)
            for name, (text, labels) in REPORTED.items()
        }

    def reported(self, report: MonitorReport, time_us: int) -> None:
        """The newest report of a monitor, in place of the one before."""
        if time_us == self._reported_us:
            return
        self._reported_us = time_us
        gauges = self._reported
        for gauge in gauges.values():
            gauge.clear()
        gauges["report_time_seconds"].labels(report.version).set(time_us / 1e6)
        for one in report.measures:
            if one.value is None:
                continue
            told = {
                "value": one.value,
                "usual_low": one.usual_low,
                "usual_high": one.usual_high,
                "people": one.n,
            }
            for name, value in told.items():
                if value is not None:
                    gauges[name].labels(*one.key).set(value)
        for alert in report.alerts:
            names = (alert.rule, alert.severity, alert.measure, alert.of)
            gauges["alert"].labels(*names).set(1)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is over."""
        known = method if method in METHODS else "other"  # a stranger may call one anything
        self._seconds.labels(route, known, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
