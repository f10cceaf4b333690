"""Everything one running service holds, and how it begins and ends."""

import asyncio
import time
from dataclasses import dataclass

from crossfade.errors import CrossfadeError
from crossfade.service.access import Doorkeeper, Rates
from crossfade.service.answering import Answering
from crossfade.service.assigning import Assigning
from crossfade.service.beside import Beside
from crossfade.service.config import ServiceConfig
from crossfade.service.heads import Heads
from crossfade.service.impressions import Impressions
from crossfade.service.meters import Meters
from crossfade.service.people import People
from crossfade.service.traffic import Traffic
from crossfade.service.unavailable import Unavailable
from crossfade.service.versions import Source, Versions
from crossfade.store.log import ApiKey, Log


@dataclass(frozen=True, eq=False)
class Service:
    """One service.

    Attributes:
        config: Its settings.
        log: Its database.
        versions: What answers.
        people: Recent events.
        unavailable: Items that must be in no list.
        answering: Requests that wait.
        assigning: Who takes part in which experiment.
        impressions: What was shown.
        heads: What people's reactions made of the blend.
        meters: What is counted.
        traffic: What became of requests, for the log.
        door: Who is let in.
    """

    config: ServiceConfig
    log: Log
    versions: Versions
    people: People
    unavailable: Unavailable
    answering: Answering
    assigning: Assigning
    impressions: Impressions
    heads: Heads
    meters: Meters
    traffic: Traffic
    door: Doorkeeper

    @classmethod
    def start(cls, config: ServiceConfig, source: Source) -> "Service":
        """Open the log, load the version that serves, and start its processes and threads.

        Raises:
            BundleError: If nothing can serve.
            StoreError: If the log cannot be opened.
            MissingExtraError: If the extra ``serve`` is not installed.
        """
        meters = Meters()
        log = Log.open(config.database)  # first: what is wrong with it shows at once
        try:
            versions = Versions(source, meters, config.workers)
        except CrossfadeError:
            log.close()
            raise
        answering = Answering(
            versions.current, config.workers, config.at_once, config.max_waiting, meters
        )

        async def look_up(presented: str) -> ApiKey | None:
            return await asyncio.to_thread(log.key, presented, now_us())

        people = People(log, config.max_people, config.max_events, config.max_kept_events)
        assigning = Assigning(log, Beside(versions.load), meters)
        return cls(
            config,
            log,
            versions,
            people,
            Unavailable(log),
            answering,
            assigning,
            Impressions(log, meters),
            Heads(log, people, versions.current, config, meters, part=assigning.part, clock=now_us),
            meters,
            Traffic(log, now_us),
            Doorkeeper(look_up if config.keys else None, Rates(config.rate_per_s, config.burst)),
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request is over: count it."""
        self.meters.answered(route, method, status, seconds)
        self.traffic.answered(route, method, status, seconds)

    def close(self) -> None:
        """End in order: what waits is answered and written down."""
        self.answering.close()
        self.heads.close()
        self.impressions.close()
        self.traffic.close()
        self.log.close()


def now_us() -> int:
    """Microseconds since 1970, by the clock of this machine."""
    return time.time_ns() // 1_000
