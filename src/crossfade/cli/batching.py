"""`crossfade batch`: lists of all users to Parquet."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import SeedOption
from crossfade.cli.recommending import BundleOption, CountOption, ServingOption
from crossfade.errors import CrossfadeError

if TYPE_CHECKING:
    from crossfade.batch import Made


def batch(
    to: Annotated[
        Path, typer.Option("--to", help="Directory of the lists, one Parquet file a part.")
    ],
    bundle: BundleOption = None,
    registry: ServingOption = None,
    k: CountOption = 10,
    users: Annotated[
        Path | None,
        typer.Option("--users", help="Text file of user ids, one a line; otherwise everybody."),
    ] = None,
    chunk: Annotated[int, typer.Option("--chunk", min=1, help="Users of one part.")] = 2_000,
    seed: SeedOption = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of going on with the lists there.")
    ] = False,
) -> None:
    """Write the lists of all users; the same command after a kill goes on where it was."""
    from crossfade.batch import read_users, recommend_all
    from crossfade.cli.progress import reporter
    from crossfade.cli.recommending import load_model, one_place
    from crossfade.progress import reporting_to

    one_place(bundle, registry)
    who = None if users is None else read_users(users)
    model = load_model(bundle, registry)
    began = time.monotonic()
    try:
        with reporting_to(reporter()):
            made = recommend_all(model, to, k=k, users=who, seed=seed, chunk=chunk, fresh=fresh)
    except KeyboardInterrupt:
        raise CrossfadeError(
            f"interrupted; finished parts stay in {to}, and the same command goes on from there"
        ) from None
    typer.echo(summary(made, time.monotonic() - began))


def summary(made: "Made", seconds: float) -> str:
    """What was done, in one line."""
    where = f"{made.directory} (version {made.version})"
    if made.n_made == 0:
        return f"complete already: lists of {made.n_users:,} users in {where}; --fresh starts over"
    rate = f"{seconds:.1f} s, {made.n_made / seconds:,.0f} users/s"
    rest = made.n_users - made.n_made
    told = f", {rest:,} were there" if rest else ""
    return f"lists of {made.n_made:,} users made{told}: {rate}, {where}"
