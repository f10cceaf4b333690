"""`crossfade registry`: versions side by side, and which of them serves."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import JsonOption

if TYPE_CHECKING:
    from crossfade.hybrid import HybridModel
    from crossfade.store import Difference, Version

app = typer.Typer(
    name="registry", help="Versions side by side, and which of them serves.", no_args_is_help=True
)

RegistryOption = Annotated[
    Path, typer.Option("--registry", help="Directory that `crossfade fit --registry` writes to.")
]
VersionArgument = Annotated[str, typer.Argument(help="Id of a version.")]


@app.command("list")
def list_command(registry: RegistryOption, as_json: JsonOption = False) -> None:
    """Print the versions there are, the newest first."""
    from crossfade.store import Registry

    found = Registry(registry).versions()
    if as_json:
        typer.echo(json.dumps({"versions": [asdict(version) for version in found]}))
        return
    for line in version_lines(found):
        typer.echo(line)


@app.command("add")
def add(
    bundle: Annotated[Path, typer.Argument(help="Directory written by `crossfade fit --bundle`.")],
    registry: RegistryOption,
) -> None:
    """Take in a bundle that was saved elsewhere; files are shared where the disk can."""
    from crossfade.store import Registry

    version = Registry(registry).adopt(bundle, datetime.now(UTC))
    typer.echo(f"added version {version} to {registry}")


@app.command("promote")
def promote(version: VersionArgument, registry: RegistryOption) -> None:
    """Let a version serve, after its checksums are verified."""
    from crossfade.store import Registry

    Registry(registry).promote(version, datetime.now(UTC))
    typer.echo(f"promoted: {registry} serves version {version}")


@app.command("rollback")
def rollback(registry: RegistryOption) -> None:
    """Let the version serve that served before."""
    from crossfade.store import Registry

    version = Registry(registry).rollback(datetime.now(UTC))
    typer.echo(f"rolled back: {registry} serves version {version}")


@app.command("diff")
def diff(
    before: VersionArgument,
    after: VersionArgument,
    registry: RegistryOption,
    as_json: JsonOption = False,
) -> None:
    """Print what differs between two versions: settings, data, blend, metrics, files."""
    from crossfade.store import Registry

    found = Registry(registry).diff(before, after)
    if as_json:
        typer.echo(json.dumps({"differences": [asdict(difference) for difference in found]}))
        return
    for line in difference_lines(found):
        typer.echo(line)


@app.command("gc")
def gc(
    registry: RegistryOption,
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            min=0,
            help="How many of the newest stay, besides the one that serves and the one to roll back to.",
        ),
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take old versions away; the one that serves and the one to roll back to always stay."""
    from crossfade.store import Registry

    gone = Registry(registry).gc(keep, datetime.now(UTC), dry_run=dry_run)
    if as_json:
        names = [version.version for version in gone]
        typer.echo(json.dumps({"removed": names, "dry_run": dry_run}))
        return
    verb = "would remove" if dry_run else "removed"
    for version in gone:
        typer.echo(f"{verb} {version.version}, {version.size_bytes / 1e6:,.1f} MB")
    if not gone:
        typer.echo("nothing to remove")


def refuse_place(bundle: Path | None, registry: Path | None, *, promote: bool) -> None:
    """Say before the long work what would keep its result from being saved.

    Raises:
        BundleError: If the place holds something else.
        typer.BadParameter: Unless exactly one place is given, and a registry where one is to promote.
    """
    from crossfade.cli.recommending import one_place
    from crossfade.files import refuse_foreign
    from crossfade.store import Registry

    if promote and registry is None:
        raise typer.BadParameter("--promote needs --registry; a bundle alone serves nobody")
    one_place(bundle, registry)
    if registry is not None:
        Registry(registry).refuse_foreign()
    if bundle is not None:
        refuse_foreign(bundle, "bundle")


def keep(model: "HybridModel", bundle: Path | None, registry: Path | None, *, promote: bool) -> str:
    """Save a system as a bundle, or as a version of a registry; gives the place in words."""
    from crossfade.store import Registry

    if registry is None:
        assert bundle is not None
        model.save(bundle)
        return f"bundle: {bundle}"
    now = datetime.now(UTC)
    version = Registry(registry).add(model.save, now)
    if not promote:
        return f"registry: {registry}"
    Registry(registry).promote(version, now)
    return f"registry: {registry}, which serves it now"


def version_lines(versions: "Sequence[Version]") -> list[str]:
    """One line a version, the facts in columns."""
    return [_line(version) for version in versions] or ["no versions yet"]


def _line(version: "Version") -> str:
    state = "serves" if version.promoted else "before" if version.rollback else ""
    start = f"{version.version}  {state:<6}  {version.added or 'put there by hand':<25}"
    if version.problem is not None:
        return f"{start}  {version.problem}"
    events = "" if version.n_events is None else f"{version.n_events:,} events"
    origin = "" if version.previous is None else f"updated from {version.previous}"
    metrics = (f"{name} {value:.4f}" for name, value in version.metrics.items())
    index = "with index" if version.index else ""
    facts = (f"{version.size_bytes / 1e6:,.1f} MB", version.name, events, *metrics, origin, index)
    return f"{start}  {', '.join(fact for fact in facts if fact)}"


def difference_lines(differences: "Sequence[Difference]") -> list[str]:
    """Under a heading for each section, one line for each fact that differs."""
    lines, section = [], ""
    for difference in differences:
        if difference.section != section:
            section = difference.section
            lines.append(section)
        lines.append(f"  {difference.words}")
    return lines or ["no difference"]
