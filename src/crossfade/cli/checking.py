"""`crossfade doctor`: is this machine fit to run crossfade, and a deployment fit to serve?"""

import json
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.cli.recommending import BundleOption, ServingOption, one_place
from crossfade.cli.serving import (
    ConfigOption,
    DatabaseOption,
    refuse_without_extra,
    service_settings,
)
from crossfade.errors import ConfigError, CrossfadeError, MissingExtraError
from crossfade.service.finding import Finding, disk
from crossfade.version import __version__

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?(?:>=(?P<least>[\d.]+))?")


def doctor(
    path: Annotated[
        Path, typer.Argument(help="Where data sets and bundles will be written.")
    ] = Path(),
    config: ConfigOption = None,
    database: DatabaseOption = None,
    bundle: BundleOption = None,
    registry: ServingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, and a deployment where one is named; exit 1 if something is wrong.

    One line for each check: ok, warn or wrong, and the mend. Python, packages, disk and compiled kernels
    always; with --config or --database the settings, the event log, the clock and the keys; with
    --bundle or --registry what is to serve. Nothing is changed.
    """
    found = [*_installation(path)]
    if bundle is not None or registry is not None:
        one_place(bundle, registry)
    if any(given is not None for given in (config, database, bundle, registry)):
        found += _deployment(config, database, bundle, registry)
    if as_json:
        typer.echo(json.dumps({"checks": [asdict(one) for one in found]}))
    else:
        for one in found:
            typer.echo(f"{one.state:<5}  {one.check:<12}  {one.said}")
    if any(one.state == "wrong" for one in found):
        raise typer.Exit(1)


def _installation(path: Path) -> Iterator[Finding]:
    said = f"{__version__} on Python {platform.python_version()}, {platform.platform()}"
    yield Finding("crossfade", "ok", f"{said}, {os.cpu_count()} cores")
    yield _packages()
    yield _extras()
    if not path.is_dir():
        yield Finding("place", "wrong", f"{path} is no directory; name one that is there")
        return
    if not os.access(path, os.W_OK):
        yield Finding("place", "wrong", f"{path} cannot be written; choose another place")
    yield disk(path)
    yield _self_test()


def _deployment(
    config: Path | None, database: str | None, bundle: Path | None, registry: Path | None
) -> Iterator[Finding]:
    from crossfade.data.dataset import to_us
    from crossfade.service.fitness import of_database, of_settings, of_versions

    try:
        settings = service_settings(config, {"database": database})
        refuse_without_extra()
    except (ConfigError, MissingExtraError) as error:
        yield Finding("settings", "wrong", str(error))
    else:
        yield of_settings(settings)
        yield from of_database(settings, to_us(datetime.now(UTC)))
    if bundle is not None or registry is not None:
        yield from of_versions(bundle, registry)


def _packages() -> Finding:
    """What crossfade cannot do without."""
    needed = [one for one in requires("crossfade") or [] if "extra ==" not in one]
    lacking = [said for one in needed if (said := _lacking(one)) is not None]
    if lacking:
        said = f"{', '.join(lacking)}; pip install --upgrade crossfade"
        return Finding("packages", "wrong", said)
    names = (_REQUIREMENT.match(one) for one in needed)
    told = (f"{name['name']} {version(name['name'])}" for name in names if name is not None)
    return Finding("packages", "ok", ", ".join(told))


def _extras() -> Finding:
    """Which extras are whole."""
    there = list[str]()
    absent = list[str]()
    for extra in metadata("crossfade").get_all("Provides-Extra") or []:
        of_it = [
            one
            for one in requires("crossfade") or []
            if f"extra == '{extra}'" in one.replace('"', "'")
        ]
        (absent if any(_lacking(one) for one in of_it) else there).append(extra)
    said = ", ".join(there) or "none"
    if absent:
        said += f"; not installed: {', '.join(absent)} (pip install 'crossfade[{absent[0]}]')"
    return Finding("extras", "ok", said)


def _lacking(requirement: str) -> str | None:
    """What is the matter with a requirement; None where it is met."""
    parts = _REQUIREMENT.match(requirement)
    if parts is None:
        return None
    try:
        there = version(parts["name"])
    except PackageNotFoundError:
        return f"{parts['name']} is not installed"
    if parts["least"] is not None and _numbers(there) < _numbers(parts["least"]):
        return f"{parts['name']} is {there}, at least {parts['least']} is needed"
    return None


def _numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", text.partition("+")[0])]


def _self_test() -> Finding:
    """Fit and ask a popularity model on three events; kernels compile on the way."""
    try:
        import polars as pl

        from crossfade.data import Dataset
        from crossfade.recommenders.popularity import Popularity

        log = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"]})
        dataset = Dataset.build(log)
        best = Popularity().fit(dataset).top(dataset.queries([1]), 1).item_row
        found = dataset.item_ids.decode(best)
    except (CrossfadeError, ImportError, OSError) as error:
        return Finding(
            "self-test", "wrong", f"{error}; pip install --upgrade --force-reinstall crossfade"
        )
    if found != ["x"]:
        return Finding(
            "self-test", "wrong", "a tiny model gave a wrong list; install crossfade again"
        )
    return Finding("self-test", "ok", "a tiny model fits and answers")
