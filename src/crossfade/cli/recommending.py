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
    from crossfade.hybrid import Recommendation

BundleOption = Annotated[
    Path, typer.Option("--bundle", help="Directory written by `crossfade fit`.")
]
CountOption = Annotated[int, typer.Option("-k", min=1, help="How many items.")]


def recommend(
    bundle: BundleOption,
    user: Annotated[str | None, typer.Option("--user", help="Somebody in the log.")] = None,
    items: Annotated[
        str | None,
        typer.Option(
            "--items",
            help="Instead: item ids a stranger likes, with commas; '\"a,b\",c' where an id has one.",
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
    as_json: JsonOption = False,
) -> None:
    """Print the best items for one person, best first."""
    from crossfade.hybrid import HybridModel

    if (user is None) == (items is None):
        raise typer.BadParameter("give either --user ID or --items ID,ID,…")
    if as_of is not None and items is not None:
        raise typer.BadParameter("--as-of cuts a user's history; --items is all of a stranger's")
    liked = _split(items or "")
    if items is not None and not liked:
        raise typer.BadParameter("--items is empty; give at least one item id")
    moment = None if as_of is None else _moment(as_of)
    model = HybridModel.load(bundle)
    lines = model.recommend(user=user, items=liked, k=k, as_of=moment)
    unknown = [item for item in liked if item not in model.dataset.item_ids]
    if unknown:
        typer.echo(f"note: unknown items ignored: {', '.join(unknown)}", err=True)
    if not lines:
        typer.echo("no base can answer this; add popularity, which serves everybody", err=True)
    asked = {"user": user} if user is not None else {"items": liked}
    _print({**asked, "k": k, "version": model.version}, lines, as_json)


def similar(
    bundle: BundleOption,
    item: Annotated[str, typer.Option("--item", help="The item to start from.")],
    k: CountOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Print the items most like one item."""
    from crossfade.hybrid import HybridModel

    model = HybridModel.load(bundle)
    source, lines = model.similar(item, k)
    if not lines:
        typer.echo(f"no base knows anything like {item}", err=True)
    _print({"item": item, "k": k, "by": source, "version": model.version}, lines, as_json)


def _split(ids: str) -> list[str]:
    """Ids between commas; quotes keep a comma inside an id."""
    (fields,) = csv.reader([" ".join(ids.split())], skipinitialspace=True)
    return [field.strip() for field in fields if field.strip()]


def _moment(text: str) -> datetime:
    """A time as written. Not typer's own reading, which takes ``1997`` for seconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text} is no time; write it like 2024-05-01 or 2024-05-01T18:30:00+02:00",
            param_hint="--as-of",
        ) from None


def _print(asked: dict[str, Any], lines: list["Recommendation"], as_json: bool) -> None:
    if as_json:
        typer.echo(
            json.dumps({**asked, "items": [asdict(line) for line in lines]}, allow_nan=False)
        )
        return
    for text in list_lines(lines):
        typer.echo(text)


def list_lines(lines: list["Recommendation"]) -> list[str]:
    """A list as aligned text."""
    names = [
        # Where artists are the items, title and creator are one name.
        " — ".join(dict.fromkeys(p for p in (line.title or line.item_id, line.creator) if p))
        for line in lines
    ]
    width = max((len(name) for name in names), default=0)
    return [
        f"{line.rank:3d}. {name:<{width}}  {line.score:7.3f}  [{line.item_id}]"
        for line, name in zip(lines, names, strict=True)
    ]
