"""`crossfade monitor`: whether a version still lives in the world it was fitted on."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.cli.recommending import BundleOption, ServingOption, load_model, moment, one_place
from crossfade.cli.serving import ConfigOption, DatabaseOption, open_log

if TYPE_CHECKING:
    from crossfade.hybrid import HybridModel
    from crossfade.monitoring import Measure, MonitorReport

FEATURES = ("psi", "energy", "session_shift", "session_spread", "session_outside")
ROUTES = ("requests", "failed", "refused", "seconds_p50", "seconds_p99")
MANY = {*FEATURES, *ROUTES}
"""Measures of which there is one for each feature, or for each route: the largest are printed."""

N_LARGEST = 5


def monitor(
    bundle: BundleOption = None,
    registry: ServingOption = None,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    settings: Annotated[
        Path | None, typer.Option("--settings", help="TOML file with settings of the monitor.")
    ] = None,
    window_days: Annotated[
        float, typer.Option("--window-days", min=0.01, help="How far to look back.")
    ] = 7.0,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            help="Look back from this time instead of now: ISO 8601, UTC unless it has a zone.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of samples and intervals.")] = 0,
    store: Annotated[
        bool,
        typer.Option(
            "--store", help="Keep the report in the database, where the service finds it."
        ),
    ] = False,
    fail_on_alert: Annotated[
        bool, typer.Option("--fail-on-alert", help="Exit with 1 if a rule is broken.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare what a version met and did lately with the end of the log it was fitted on."""
    one_place(bundle, registry)
    from crossfade.config import load_toml
    from crossfade.data.dataset import to_us
    from crossfade.monitoring import MonitorConfig
    from crossfade.monitoring import monitor as look
    from crossfade.store.log import StoredReport

    chosen = MonitorConfig() if settings is None else load_toml(MonitorConfig, settings)
    end = datetime.now(UTC) if until is None else moment("--until", until)
    with open_log(config, database) as log:
        model = load_model(bundle, registry)
        report = look(
            log,
            model,
            to_us(end - timedelta(days=window_days)),
            to_us(end),
            config=chosen,
            previous=_previous(model, registry),
            seed=seed,
        )
        if store:
            text = report.model_dump_json()
            log.monitoring.add_report(StoredReport(report.until_us, report.version, text))
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        for line in report_lines(report):
            typer.echo(line)
    if fail_on_alert and report.alerts:
        sys.exit(1)


def _previous(model: "HybridModel", registry: Path | None) -> "HybridModel | None":
    """The version that was added to a registry before; None for the first, and for a bundle."""
    from crossfade.hybrid import HybridModel
    from crossfade.store import Registry

    if registry is None:
        return None
    there = [one.version for one in Registry(registry).versions() if one.problem is None]
    older = there[there.index(model.version) + 1 :]
    return HybridModel.load(Registry(registry).path(older[0])) if older else None


def report_lines(report: "MonitorReport") -> Iterator[str]:
    """The report for people, on lines of at most 100 characters."""
    from crossfade.data.dataset import to_datetime

    since, until = (
        to_datetime(us).isoformat(" ", "minutes") for us in (report.since_us, report.until_us)
    )
    yield f"version {report.version}, {since} to {until}"
    yield (
        f"{report.n_lists:,} lists ({report.n_looked_at:,} looked at, {report.n_with_features:,} with features), "
        f"{report.n_events:,} events, {report.n_people:,} people"
    )
    for method, n in report.methods.items():
        yield f"answered by {method}: {n:,} ({n / report.n_lists:.1%})"
    yield ""
    yield f"{'measure':<50}{'value':>8}  {'interval':<18}{'n':>7}  usual"
    names = dict.fromkeys(one.name for one in report.measures)
    for name in names:
        found = [one for one in report.measures if one.name == name]
        if name in MANY:
            found = sorted(found, key=lambda one: -(one.value or 0))
        for one in found[:N_LARGEST] if name in MANY else found:
            yield _line(one)
        if name in MANY and len(found) > N_LARGEST:
            yield f"  … and {len(found) - N_LARGEST} smaller ones"
    yield ""
    yield from _losses(report)
    for name, why in report.missing.items():
        yield f"not measured: {name}: {why}"
    for alert in report.alerts:
        of = f" {alert.of}" if alert.of else ""
        yield (
            f"{alert.severity}: {alert.rule}: {alert.measure}{of} is {alert.value:.3g}, "
            f"the limit is {alert.limit:.3g} (n = {alert.n:,})"
        )
    if not report.alerts:
        yield "no rule is broken"


def _losses(report: "MonitorReport") -> Iterator[str]:
    """Mean loss of each day with an outcome, and since when it is another."""
    from crossfade.data.dataset import to_datetime

    if report.concept is None or not report.concept.days:
        return
    yield "loss of lists by day (people):"
    for day in report.concept.days:
        yield f"  {to_datetime(day.day_us):%Y-%m-%d} {day.loss:.3f} ({day.n:,})"
    changed_us = report.concept.changed_us
    if changed_us is not None:
        yield f"  another mean since {to_datetime(changed_us):%Y-%m-%d}"
    yield ""


def _line(one: "Measure") -> str:
    name = f"{one.name} {one.of}".strip()
    value = "" if one.value is None else f"{one.value:.3f}"
    between = "" if one.low is None or one.high is None else f"[{one.low:.3f}, {one.high:.3f}]"
    usual = (
        ""
        if one.usual_low is None or one.usual_high is None
        else f"{one.usual_low:.3f} to {one.usual_high:.3f}"
    )
    return f"{name:<50}{value:>8}  {between:<18}{one.n:>7,}  {usual}".rstrip()
