"""`crossfade inspect`: how the weights of the bases move over one user's history."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfade.cli.fitting import JsonOption
from crossfade.cli.recommending import (
    BundleOption,
    CountOption,
    ServingOption,
    load_model,
    one_place,
)

if TYPE_CHECKING:
    from rich.text import Text

    from crossfade.evaluation.journey import Journey

WIDTH = 28
"""Letters in the bar of one moment; a line fits into 80 columns."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def inspect(
    user: Annotated[str, typer.Argument(help="Somebody in the log of the bundle.")],
    bundle: BundleOption = None,
    registry: ServingOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also draw it: a file that ends in .png, .svg or .html."),
    ] = None,
    points: Annotated[
        int, typer.Option("--points", min=2, help="Most moments that are looked at.")
    ] = 12,
    k: CountOption = 10,
    as_json: JsonOption = False,
) -> None:
    """Show how far each base is trusted as a user's history grows."""
    one_place(bundle, registry)
    if out is not None:
        from crossfade.evaluation.journey_plots import check_kind

        check_kind(out)  # now, not after the bundle is read
    from crossfade.meta.journey import follow

    model = load_model(bundle, registry)
    journey = follow(model.dataset, model.lists, user, model.config.ranking, n_points=points, k=k)
    if out is not None:
        from crossfade.evaluation.journey_plots import write_picture

        write_picture(journey, out)
    if as_json:
        typer.echo(json.dumps({**journey.to_json(), "version": model.version}, allow_nan=False))
        return
    _print(journey)
    if out is not None:
        typer.echo(f"picture: {out}")


def _print(journey: "Journey") -> None:
    """Coloured on a terminal, plain elsewhere; the same letters either way."""
    from rich.console import Console

    lines = journey_lines(journey)
    if not sys.stdout.isatty():
        for line in lines:
            typer.echo(line.plain)
        return
    console = Console()
    for line in lines:
        console.print(line, no_wrap=True, crop=False, soft_wrap=True)


def journey_lines(journey: "Journey") -> list["Text"]:
    """A table with one bar per moment, and what its letters stand for."""
    from rich.text import Text

    from crossfade.evaluation.plots import PALETTE

    ranked = journey.ranked()
    letter = {base: LETTERS[at % len(LETTERS)] for at, base in enumerate(ranked)}
    colour = {base: PALETTE[at % len(PALETTE)] for at, base in enumerate(journey.bases)}
    rows = [("events", "as of", "probability", "uncertainty")]
    rows += [
        (
            f"{one.n_events:,}",
            "" if one.as_of is None else one.as_of[:16].replace("T", " "),
            "–" if one.probability is None else f"{one.probability:.1%}",
            "–" if one.uncertainty is None else f"{one.uncertainty:.3f}",
        )
        for one in journey.moments
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    bars = [Text("weights".ljust(WIDTH))]
    bars += [_bar(one.weights, ranked, letter, colour) for one in journey.moments]
    by = ["", *("static" if one.by == "static" else "" for one in journey.moments)]
    lines = [
        Text(f"{journey.user_id}: weights of {journey.model}, mean of the first {journey.k} items")
    ]
    for row, bar, who in zip(rows, bars, by, strict=True):
        cells = [text.rjust(width) for text, width in zip(row, widths, strict=True)]
        head = "  ".join(cell for cell in cells[:2] if cell)
        lines.append(Text.assemble(head, "  ", bar, "  ", "  ".join([*cells[2:], who]).rstrip()))
    lines += _legend(journey, ranked, letter, colour)
    lines += [Text(note) for note in journey.notes()]
    lines.append(
        Text("probability and uncertainty are of the first item; the bases are those of today")
    )
    return lines


def _bar(
    weights: Mapping[str, float],
    ranked: Sequence[str],
    letter: Mapping[str, str],
    colour: Mapping[str, str],
) -> "Text":
    """As many letters of each base as it weighs; `WIDTH` in all, blank where nothing is weighed."""
    from rich.text import Text

    bar = Text()
    if weights:
        for base, n in zip(ranked, split_width([weights[b] for b in ranked], WIDTH), strict=True):
            bar.append(letter[base] * n, style=f"black on {colour[base]}")
    return bar.append(" " * (WIDTH - len(bar)))


def split_width(shares: Sequence[float], width: int) -> list[int]:
    """Whole numbers that sum to ``width``, as near to the shares as can be; ties to the first."""
    total = sum(shares)
    exact = [width * share / total for share in shares]
    whole = [int(number) for number in exact]
    by_rest = sorted(range(len(shares)), key=lambda at: whole[at] - exact[at])
    for at in by_rest[: width - sum(whole)]:
        whole[at] += 1
    return whole


def _legend(
    journey: "Journey",
    ranked: Sequence[str],
    letter: Mapping[str, str],
    colour: Mapping[str, str],
) -> list["Text"]:
    """Each base with its weight at the first and at the last moment that has any."""
    from rich.text import Text

    known = [one.weights for one in journey.moments if one.weights]
    if not known:
        return []
    width = max(len(base) for base in ranked)
    return [
        Text.assemble(
            "  ",
            (letter[base], f"black on {colour[base]}"),
            f" {base:<{width}}  {known[0][base]:.2f} → {known[-1][base]:.2f}",
        )
        for base in ranked
    ]
