"""Is a deployment fit to serve? One finding for each thing that must hold."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from crossfade.errors import CrossfadeError
from crossfade.service.config import LOOPBACK, ServiceConfig
from crossfade.service.finding import Finding
from crossfade.store import Registry
from crossfade.store.log import ApiKey, Log

DAY_US = 86_400_000_000
SOON_US = 14 * DAY_US
"""A key that expires within so long is named."""

SLACK_US = 2_000_000
"""Clocks of two machines on one database differ by less than this."""

N_NEWEST = 1_000
"""Events among which the newest is looked for: those of forgotten people are missing."""


def of_settings(config: ServiceConfig) -> Finding:
    """Whether settings that are valid are wise."""
    if not config.keys:
        return Finding("settings", "warn", "keys are off: everybody on this machine is let in")
    if config.host not in LOOPBACK:
        said = (
            f"{config.host}:{config.port} is reached from elsewhere; put a proxy with TLS before it"
        )
        return Finding("settings", "warn", said)
    return Finding("settings", "ok", f"listens on {config.host}:{config.port}")


def of_database(config: ServiceConfig, now_us: int) -> Iterator[Finding]:
    """Schema and writing, the clock, and keys; nothing is changed, not even an old schema."""
    from crossfade.store.log.schema import schema_of

    try:
        schema, newest = schema_of(config.database)
    except CrossfadeError as error:
        yield Finding("database", "wrong", str(error))
        return
    if schema == 0:
        yield Finding(
            "database", "warn", "is not there yet; the first command that needs it makes it"
        )
        return
    if schema < newest:
        said = (
            f"has schema {schema}; the service brings it to {newest} when it starts: back up before"
        )
        yield Finding("database", "warn", said)
        return
    try:
        with Log.open(config.database) as log:
            log.check()
            last = log.last_sequence()
            received = [
                one.received_us for one in log.events_after(max(0, last - N_NEWEST), N_NEWEST)
            ]
            keys = log.keys()
    except CrossfadeError as error:
        yield Finding("database", "wrong", str(error))
        return
    yield Finding("database", "ok", f"can be written; schema {schema}, {last:,} events so far")
    yield clock(max(received, default=None), now_us)
    if config.keys:
        yield of_keys(keys, now_us)


def clock(newest_us: int | None, now_us: int) -> Finding:
    """Whether the clock goes on from where the newest event came in."""
    if newest_us is None:
        return Finding("clock", "ok", f"{_when(now_us)}; no event to compare with")
    ahead_s = (newest_us - now_us) / 1e6
    if newest_us > now_us + SLACK_US:
        said = f"the newest event came in {ahead_s:,.0f} s from now; set the clock of this machine (NTP)"
        return Finding("clock", "wrong", said)
    return Finding(
        "clock", "ok", f"{_when(now_us)}; the newest event came in at {_when(newest_us)}"
    )


def of_keys(keys: list[ApiKey], now_us: int) -> Finding:
    """Whether anybody can get in, and goes on getting in."""
    good = [
        key
        for key in keys
        if key.revoked_us is None and (key.expires_us is None or key.expires_us > now_us)
    ]
    if not good:
        return Finding("keys", "wrong", "nobody has a key; crossfade keys add NAME --role ROLE")
    soon = [key for key in good if key.expires_us is not None and key.expires_us < now_us + SOON_US]
    if soon:
        names = ", ".join(f"{key.name} ({_when(key.expires_us or 0)})" for key in soon)
        return Finding("keys", "warn", f"expire soon: {names}; crossfade keys add makes new ones")
    return Finding("keys", "ok", f"{len(good)} can be used")


def of_versions(bundle: Path | None, registry: Path | None) -> Iterator[Finding]:
    """Whether what is to serve can be read whole and answers, and other versions can be read."""
    from crossfade.hybrid import HybridModel
    from crossfade.online import Ask, LiveSystem

    try:
        if registry is not None:
            model = Registry(registry).read_promoted(HybridModel.load)
        else:
            assert bundle is not None
            model = HybridModel.load(bundle)
        (first,) = LiveSystem(model).answer([Ask(k=1)])
        if isinstance(first, CrossfadeError):
            raise first
    except CrossfadeError as error:
        yield Finding("version", "wrong", str(error))
    else:
        yield Finding("version", "ok", f"{model.version} is whole and answers")
    if registry is not None:
        yield of_registry(registry)


def of_registry(place: Path) -> Finding:
    """Whether the manifests of all versions can be read."""
    try:
        versions = Registry(place).versions()
    except CrossfadeError as error:
        return Finding("registry", "wrong", str(error))
    bad = [f"{version.version}: {version.problem}" for version in versions if version.problem]
    if bad:
        return Finding("registry", "warn", f"{len(bad)} versions cannot serve; {'; '.join(bad)}")
    return Finding("registry", "ok", f"{len(versions)} versions")


def _when(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
