"""The command line: parse, call, print. One file per group of commands."""

import sys


def main() -> None:
    """Entry point of the ``crossfade`` command."""
    from crossfade.cli.app import run  # here, so that imports are paid once, late

    sys.exit(run(sys.argv[1:]))
