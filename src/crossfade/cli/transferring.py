"""`crossfade transfer`: whether a new domain should begin with what others learned."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import JsonOption, SeedOption

if TYPE_CHECKING:
    from crossfade.transfer.config import TransferConfig
    from crossfade.transfer.decision import Standing
    from crossfade.transfer.knowledge import Knowledge
    from crossfade.transfer.run import Transfer


def transfer(
    source: Annotated[
        list[Path],
        typer.Option(
            "--source",
            help="Data set to learn from, or what --export wrote of one; may be given several times.",
        ),
    ],
    target: Annotated[
        Path | None, typer.Option("--target", help="Data set of the new domain.")
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots",
            min=1,
            help="Take only the first so many events of each person of the target.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Where the system for the target goes.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export",
            help="Where what the one source taught goes: gates and summaries, no events and no people.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file with settings of transfer.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Learn from sources how to blend where little is known; decide by the target's events whether to use it."""
    from crossfade.cli.progress import reporter
    from crossfade.config import load_toml
    from crossfade.data import load_dataset
    from crossfade.files import refuse_foreign
    from crossfade.progress import reporting_to
    from crossfade.transfer.config import TransferConfig
    from crossfade.transfer.exporting import save_knowledge
    from crossfade.transfer.run import first_events
    from crossfade.transfer.run import transfer as decide

    if target is None and export is None:
        raise typer.BadParameter(
            "give --target to decide about, or --export to write down a source"
        )
    if export is not None and len(source) > 1:
        raise typer.BadParameter("--export writes down one source; give one --source")
    for place in (bundle, export):
        if place is not None:
            refuse_foreign(place, "bundle")  # now, not after minutes of learning
    settings = TransferConfig() if config is None else load_toml(TransferConfig, config)
    with reporting_to(reporter()):
        known = [_knowledge(path, settings, seed) for path in source]
        if export is not None:
            kept = save_knowledge(known[0], export)
            typer.echo(f"knowledge of {known[0].name}: {export} ({kept})", err=as_json)
        if target is None:
            return
        log = load_dataset(target)
        if shots is not None:
            log = first_events(log, shots, seed)
        found = decide(known, log, settings, seed)
        model = None if bundle is None else found.model()
    version = None if model is None or bundle is None else model.save(bundle)
    if as_json:
        typer.echo(json.dumps({**as_facts(found), "version": version}))
        return
    for line in lines(found):
        typer.echo(line)
    if version is not None:
        typer.echo(f"bundle: {bundle} ({version})")


def _knowledge(path: Path, settings: "TransferConfig", seed: int) -> "Knowledge":
    from crossfade.data import load_dataset
    from crossfade.transfer.exporting import load_knowledge
    from crossfade.transfer.knowledge import Knowledge

    if any(path.glob("parts-*/prior.safetensors")):
        return load_knowledge(path)
    return Knowledge.of(load_dataset(path), settings, seed)


BETTER = "{option} is expected to foretell {gain} nats per list better than starting from nothing"
SENTENCES = {
    "transfer": f"transfer: {BETTER}",
    "partly": f"transfer partly: {BETTER}",
    "not": "do not transfer: nothing that was carried foretells the target better than starting from nothing",
}


def lines(found: "Transfer") -> list[str]:
    """What the command prints."""
    decision, log = found.decision, found.target
    told = [
        f"{log.name}: {log.n_events:,} events of {log.events['user_row'].n_unique():,} people; "
        f"{decision.n:,} lists decide"
    ]
    for one in found.likenesses:
        distance = "unknown" if one.distance is None else f"{one.distance:.2f} of 2"
        foretells = "unknown" if one.foretells is None else f"{one.foretells:+.3f} nats per list"
        told.append(
            f"source {one.source}: distance {distance}, foretells the target by {foretells}"
        )
    told.append(f"{'option':<19}{'NDCG@10':>8}{'nats per list':>15}   95% interval")
    told += [_line(one) for one in decision.standings]
    if found.likenesses and len(decision.standings) == 1:
        return [
            *told,
            "do not transfer: nobody has two events, so what was carried cannot be judged here",
        ]
    chosen = decision.chosen
    gain = "" if chosen.gain is None else f"{chosen.gain:+.3f} {_interval(chosen)}"
    return [*told, SENTENCES[decision.verdict].format(option=decision.option, gain=gain)]


def _line(one: "Standing") -> str:
    if one.quality is None:
        return f"{one.name:<19}{'-':>8}{'-':>15}   nothing to offer here"
    gain = "-" if one.gain is None else f"{one.gain:+.3f}"
    return f"{one.name:<19}{one.quality:>8.4f}{gain:>15}   {_interval(one)}".rstrip()


def _interval(one: "Standing") -> str:
    return "" if one.low is None or one.high is None else f"[{one.low:+.3f}, {one.high:+.3f}]"


def as_facts(found: "Transfer") -> dict[str, object]:
    """The same as JSON-ready values."""
    decision = found.decision
    return {
        "target": found.target.name,
        "n_events": found.target.n_events,
        "n_lists": decision.n,
        "verdict": decision.verdict,
        "option": decision.option,
        "options": [vars(one) for one in decision.standings],
        "sources": [vars(one) for one in found.likenesses],
    }
