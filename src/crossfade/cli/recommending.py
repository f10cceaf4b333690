"""`crossfade recommend` and `crossfade similar`: lists from a bundle."""

import csv
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfade.cli.fitting import JsonOption

if TYPE_CHECKING:
    from crossfade.hybrid import HybridModel
    from crossfade.meta.recommendation import Recommendations

BundleOption = Annotated[
    Path | None, typer.Option("--bundle", help="Directory written by `crossfade fit`.")
]
ServingOption = Annotated[
    Path | None, typer.Option("--registry", help="Or a registry; its promoted version answers.")
]
EMPTY = "no base can answer this; add popularity, which serves everybody"
EMPTY_BY_FILTERS = "nothing that can be scored is left by --rule and --block; ask for less"
CountOption = Annotated[int, typer.Option("-k", min=1, help="How many items.")]


def recommend(
    bundle: BundleOption = None,
    registry: ServingOption = None,
    user: Annotated[str | None, typer.Option("--user", help="Somebody in the log.")] = None,
    like: Annotated[
        list[str] | None,
        typer.Option("--like", help="An item the person likes; may be repeated."),
    ] = None,
    genre: Annotated[
        list[str] | None,
        typer.Option("--genre", help="A genre the person likes; may be repeated."),
    ] = None,
    mood: Annotated[
        list[str] | None, typer.Option("--mood", help="A mood the person likes; may be repeated.")
    ] = None,
    items: Annotated[
        str | None,
        typer.Option(
            "--items",
            help="Several --like at once: item ids with commas; '\"a,b\",c' where an id has one.",
        ),
    ] = None,
    k: CountOption = 10,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            help="Look at the user's history before this time only: ISO 8601, UTC unless it has a zone.",
        ),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            help="The situation now, such as device=phone, in a column the log had; may be repeated.",
        ),
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Say under each item what speaks for it.")
    ] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            help="What every item must fulfil, such as 'not genres has \"comedy\"'; may be repeated.",
        ),
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option("--block", help="An item that is not to be listed; may be repeated."),
    ] = None,
    diversity: Annotated[
        float | None,
        typer.Option(
            "--diversity",
            min=0,
            max=1,
            help="0 ranks by score alone, 1 looks only for items unlike the others; instead of the settings.",
        ),
    ] = None,
    max_per_creator: Annotated[
        int | None,
        typer.Option(
            "--max-per-creator",
            min=0,
            help="Most items by one creator, 0 for any number; instead of the settings.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the best items for one person, best first: a user, a stranger with tastes, or both."""
    from crossfade.meta.serving import Filters

    one_place(bundle, registry)
    liked = [*(like or []), *_split(items or "")]
    if items is not None and not _split(items):
        raise typer.BadParameter("--items is empty; give at least one item id")
    said = {"items": liked, "genres": genre or [], "moods": mood or []}
    if user is None and not any(said.values()):
        raise typer.BadParameter(
            "give --user ID, or what a stranger likes: --like, --genre, --mood"
        )
    if as_of is not None and user is None:
        raise typer.BadParameter("--as-of cuts a user's history; a stranger has none")
    when = None if as_of is None else moment("--as-of", as_of)
    situation = _situation(context or [])
    model = load_model(bundle, registry)
    filters = Filters(block=block or (), rules=rule or ())
    wishes = {"diversity": diversity, "max_per_creator": max_per_creator}
    wishes = {name: value for name, value in wishes.items() if value is not None}
    lines = model.recommend(
        user=user,
        items=said["items"],
        genres=said["genres"],
        moods=said["moods"],
        k=k,
        as_of=when,
        context=situation,
        filters=filters,
        ranking=model.config.ranking.changed(**wishes),
        explain=why,
    )
    notes = [*model.unknown(**said), *(f"--block: {n}" for n in model.unknown(items=block or ()))]
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if not lines:
        typer.echo(EMPTY_BY_FILTERS if filters else EMPTY, err=True)
    asked = {"user": user, "liked": liked, "genres": said["genres"], "moods": said["moods"]}
    asked |= {"rules": rule, "blocked": block}
    asked = {name: value for name, value in asked.items() if value}
    _print({**asked, **wishes, "k": k, "version": model.version}, lines, as_json)


def similar(
    item: Annotated[str, typer.Option("--item", help="The item to start from.")],
    bundle: BundleOption = None,
    registry: ServingOption = None,
    k: CountOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Print the items most like one item."""
    model = load_model(bundle, registry)
    source, lines = model.similar(item, k)
    if not lines:
        typer.echo(f"no base knows anything like {item}", err=True)
    _print({"item": item, "k": k, "by": source, "version": model.version}, lines, as_json)


def one_place(bundle: Path | None, registry: Path | None) -> None:
    """Raise a wrong call unless exactly one of them is given."""
    if (bundle is None) == (registry is None):
        raise typer.BadParameter("give either --bundle or --registry")


def load_model(bundle: Path | None, registry: Path | None) -> "HybridModel":
    """The system of a bundle, or the one that a registry serves.

    Raises:
        BundleError: As `HybridModel.load` and `Registry.read_promoted`.
        typer.BadParameter: Unless exactly one of them is given.
    """
    from crossfade.hybrid import HybridModel
    from crossfade.store import Registry

    one_place(bundle, registry)
    if bundle is not None:
        return HybridModel.load(bundle)
    assert registry is not None
    return Registry(registry).read_promoted(HybridModel.load)


def _split(ids: str) -> list[str]:
    """Ids between commas; quotes keep a comma inside an id."""
    (fields,) = csv.reader([" ".join(ids.split())], skipinitialspace=True)
    return [field.strip() for field in fields if field.strip()]


def _situation(said: list[str]) -> dict[str, str]:
    """Values by column, from ``column=value``."""
    pairs = [text.partition("=") for text in said]
    for name, equals, value in pairs:
        if not (name.strip() and equals and value.strip()):
            raise typer.BadParameter(
                f"{name}{equals}{value} is no situation; write it like device=phone",
                param_hint="--context",
            )
    return {name.strip(): value.strip() for name, _, value in pairs}


def moment(option: str, text: str) -> datetime:
    """A time as written after an option. Not typer's own reading, which takes ``1997`` for seconds since 1970."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text} is no time; write it like 2024-05-01 or 2024-05-01T18:30:00+02:00",
            param_hint=option,
        ) from None


def _print(asked: dict[str, Any], lines: "Recommendations", as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps({**asked, "items": [asdict(line) for line in lines]}, allow_nan=False)
        )
        return
    for text in lines.texts():
        typer.echo(text)
