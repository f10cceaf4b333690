"""`crossfade doctor`: is this machine fit to run crossfade?"""

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.version import __version__

MIN_FREE_GB = 1.0


def doctor(
    path: Annotated[
        Path, typer.Argument(help="Where data sets and bundles will be written.")
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check Python, dependencies, disk space and compiled kernels; exit 1 if something is missing."""
    facts = {
        "crossfade": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        **_dependencies(),
    }
    problems = [
        f"{name} is not installed; pip install --upgrade crossfade"
        for name, found in facts.items()
        if found == "missing"
    ]
    free_gb = shutil.disk_usage(path).free / 1e9
    facts["free disk"] = f"{free_gb:,.1f} GB at {path.resolve()}"
    if free_gb < MIN_FREE_GB:
        problems.append(f"only {free_gb:.1f} GB free at {path}; make room or choose another place")
    if not path.is_dir():
        problems.append(f"{path} is a file; name a directory")
    elif not os.access(path, os.W_OK):
        problems.append(f"{path} cannot be written; choose another place")
    if not problems:
        facts["self-test"] = _self_test()
    if as_json:
        typer.echo(json.dumps({"facts": facts, "problems": problems}))
    else:
        for name, found in facts.items():
            typer.echo(f"{name:<20} {found}")
        for problem in problems:
            typer.echo(f"problem: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


def _dependencies() -> dict[str, str]:
    """Installed version of each required distribution, or ``missing``."""
    found = {}
    for requirement in requires("crossfade") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(">")[0].split("=")[0].split(";")[0].strip()
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _self_test() -> str:
    """Fit and ask a popularity model on three events; kernels compile on the way."""
    import polars as pl

    from crossfade.data import Dataset
    from crossfade.recommenders.popularity import Popularity

    log = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["x", "y", "x"]})
    dataset = Dataset.build(log)
    best = Popularity().fit(dataset).top(dataset.queries([1]), 1).item_row
    return "passed" if dataset.item_ids.decode(best) == ["x"] else "FAILED"
