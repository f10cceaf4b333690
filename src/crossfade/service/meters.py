"""What the service counts and times, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5, 1, 2, 5, 10)


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
        self.people = Gauge(
            "crossfade_people", "People whose recent events are in memory.", registry=registry
        )
        self.reloads = Counter(
            "crossfade_reloads",
            "Versions that were loaded or refused.",
            ("done",),
            registry=registry,
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is over."""
        self._seconds.labels(route, method, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
