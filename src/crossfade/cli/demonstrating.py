"""`crossfade demo`: the main job on the built-in world, from log to lists to report."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from crossfade.cli.evaluating import print_evaluation
from crossfade.cli.fitting import SeedOption, describe

N_KINDS_SHOWN = 3


def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Where data set, bundle and report go.")
    ] = Path("out/demo"),
    seed: SeedOption = 0,
) -> None:
    """Make a world of listeners, evaluate on its last weeks, train, and recommend."""
    from crossfade.cli.progress import reporter
    from crossfade.data import save_dataset
    from crossfade.data.world import make_world
    from crossfade.evaluation import save
    from crossfade.hybrid import HybridConfig, HybridModel
    from crossfade.meta.experiment import evaluate
    from crossfade.progress import reporting_to

    config = HybridConfig()
    with reporting_to(reporter()):
        world = make_world(seed=seed)
        save_dataset(world.dataset, out / "dataset", {"made by": "crossfade demo", "seed": seed})
        experiment = evaluate(world.dataset, config, seed, compare=False)
        model = HybridModel.fit(
            world.dataset,
            config,
            seed,
            choice=experiment.choice,
            learned=experiment.learned.blend(experiment.fusion),
        )
    model.save(out / "bundle")
    save(experiment.evaluation, out, experiment.findings)
    print_evaluation(experiment.evaluation)
    for line in describe(model):
        typer.echo(line)
    kinds = world.listeners["kind"].to_list()
    for kind in sorted(set(kinds))[:N_KINDS_SHOWN]:
        user = world.dataset.user_ids.id(kinds.index(kind))
        typer.echo(f"\nfor {user} ({kind}):")
        for line in model.recommend(user=user, k=5).texts():
            typer.echo(line)
    typer.echo(f"\nreport: {out / 'report.html'}")
    typer.echo(f"again:  {sys.argv[0]} recommend --bundle {out / 'bundle'} --user {user}")
