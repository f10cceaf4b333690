"""The command tree, and how any failure becomes one message and an exit code.

0: done. 1: it failed, and one message on standard error says why. 2: a wrong call. 3: `adapt` made a
candidate that was not accepted.
"""

import sys
from typing import Annotated

import typer

from crossfade.cli import (
    adapting,
    audio,
    batching,
    checking,
    demonstrating,
    evaluating,
    experimenting,
    fitting,
    fusing,
    importing,
    indexing,
    inspecting,
    monitoring,
    recommending,
    registering,
    reporting,
    restoring,
    serving,
    transferring,
)
from crossfade.errors import CrossfadeError
from crossfade.version import __version__

INTERRUPTED = 130
"""What typer makes of Ctrl-C; by our contract it is a failure like any other."""

app = typer.Typer(
    name="crossfade",
    help="Blend recommenders: from a listening log to honest recommendations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"crossfade {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Blend recommenders: from a listening log to honest recommendations."""


app.command("demo")(demonstrating.demo)
app.command("import")(importing.import_command)
app.command("check")(importing.check_command)
app.command("fit")(fitting.fit)
app.command("evaluate")(evaluating.evaluate)
app.command("report")(reporting.report)
app.command("fuse")(fusing.fuse)
app.command("recommend")(recommending.recommend)
app.command("similar")(recommending.similar)
app.command("inspect")(inspecting.inspect)
app.command("batch")(batching.batch)
app.command("index")(indexing.index)
app.add_typer(registering.app)
app.add_typer(audio.app)
app.command("serve")(serving.serve)
app.add_typer(serving.keys)
app.command("backup")(restoring.backup)
app.command("restore")(restoring.restore)
app.add_typer(restoring.tombstones)
app.add_typer(experimenting.app)
app.command("monitor")(monitoring.monitor)
app.command("export")(adapting.export)
app.command("adapt")(adapting.adapt)
app.command("transfer")(transferring.transfer)
app.command("doctor")(checking.doctor)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        app(arguments, prog_name="crossfade")
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            return _failed("interrupted; nothing was published")
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except CrossfadeError as error:
        return _failed(str(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _failed(
            f"{name}{error.strerror or error}; check the path, its permissions and free space"
        )
    except KeyboardInterrupt:
        return _failed("interrupted; nothing was published")
    return 0


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1
