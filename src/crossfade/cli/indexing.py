"""`crossfade index`: the item vectors of a base, ready to be searched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from crossfade.cli.recommending import BundleOption, CountOption, ServingOption, load_model

if TYPE_CHECKING:
    from crossfade.hybrid import HybridModel
    from crossfade.index import Index

Kind = Literal["auto", "exact", "faiss"]
Storage = Literal["float32", "float16", "pq"]


def index(
    bundle: BundleOption = None,
    registry: ServingOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where the index goes; otherwise into the bundle, and so with its version.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help="Label of the base; otherwise two_tower, or the first with vectors."
        ),
    ] = None,
    kind: Annotated[
        Kind, typer.Option("--kind", help="How vectors are searched; faiss needs the extra ann.")
    ] = "auto",
    storage: Annotated[
        Storage, typer.Option("--storage", help="How vectors are held; pq needs the extra ann.")
    ] = "float32",
    like: Annotated[
        str | None, typer.Option("--like", help="Print the items nearest to this one as well.")
    ] = None,
    k: CountOption = 10,
) -> None:
    """Export the item vectors of one base under the system's version; print what was measured."""
    from crossfade.cli.progress import reporter
    from crossfade.config import validate
    from crossfade.files import refuse_foreign
    from crossfade.index import IndexConfig
    from crossfade.progress import reporting_to
    from crossfade.store import INDEX, INDEX_KIND, Registry

    if out is not None:
        refuse_foreign(out, INDEX_KIND)
    model = load_model(bundle, registry)
    if like is not None:
        model.dataset.item_ids.row(like)  # an unknown id is told before the long work
    config = validate(IndexConfig, {"kind": kind, "storage": storage}, "index")
    with reporting_to(reporter()):
        built = model.index(base, config)
    if out is None:
        home = bundle if registry is None else Registry(registry).path(model.version)
        assert home is not None
        out = home / INDEX
    built.save(out)
    for line in report_lines(built.report):
        typer.echo(line)
    typer.echo(f"index: {out} (of version {built.version})")
    for line in [] if like is None else nearest_lines(model, built, like, k):
        typer.echo(line)


def report_lines(report: dict[str, Any]) -> list[str]:
    """What was measured at build, one fact a line."""
    lines = [
        f"vectors      {report['n_vectors']:,} of {report['n_items']:,} items, {report['width']} numbers each",
        f"search       {report['kind']}",
        f"storage      {report['storage']}",
    ]
    if report["bytes_per_vector"] is not None:
        lines[-1] += f", {report['bytes_per_vector']:.0f} bytes a vector"
    for name, label in (("recall", "recall@"), ("rank_change", "rank change@")):
        found = report[name]
        if found is not None:
            lines.append(
                f"{label + str(found['k']):<12} {found['mean']:.4f} ({found['low']:.4f} to {found['high']:.4f}, "
                f"{found['n_queries']:,} queries)"
            )
    return lines


def nearest_lines(model: "HybridModel", index: "Index", item: str, k: int) -> list[str]:
    """The items nearest to one, which needs a vector itself."""
    row = model.dataset.item_ids.row(item)
    rows, scores = index.search(index.vectors()[[row]], k, [[row]])
    if rows[0, 0] < 0:
        return [f"{item} has no vector"]
    return model.lists.names.lines(rows[0], scores[0]).texts()
