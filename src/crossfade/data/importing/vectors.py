"""Files of item vectors: which columns hold them, read and checked piece by piece."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from crossfade.data.importing.batch import Batch
from crossfade.data.importing.blocks import Choose
from crossfade.data.importing.columns import as_id
from crossfade.data.importing.findings import Findings
from crossfade.data.importing.plan import PlannedVectors
from crossfade.data.vectors import VectorRows, in_order, layout_problem, vector_table
from crossfade.data.vocabulary import Vocabulary
from crossfade.progress import task


@dataclass(frozen=True)
class ReadVectors:
    """One file of vectors as it was read: ids, each once, and lists of numbers, null where none is."""

    ids: pl.Series
    lists: pl.Series


def read_vectors(name: str, planned: PlannedVectors, findings: Findings) -> ReadVectors:
    """All good rows of one file; faults go to the findings."""
    rows = VectorRows()
    order: list[str] = []

    def choose_for(file: str) -> Choose:
        def choose(own: Sequence[str]) -> Sequence[str]:
            order[:] = _columns(planned, own, file, findings)
            return [planned.item_id, *order] if order else ()

        return choose

    ids, lists = [], []
    with task(f"read vectors.{name}") as progress:
        for batch in planned.read(choose_for, findings):
            progress.advance(len(batch))
            good_ids, good_lists = _read(batch, planned.item_id, order, rows, findings)
            ids.append(good_ids)
            lists.append(good_lists)
    if not ids:  # a fault of the whole file, which is told
        return ReadVectors(pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.List(pl.Float32)))
    return ReadVectors(pl.concat(ids), pl.concat(lists))


def vectors_by_row(
    read: Mapping[str, ReadVectors], item_ids: Vocabulary, findings: Findings
) -> dict[str, pl.DataFrame]:
    """Tables of a data set, by modality; those of unknown items are left out, and counted."""
    tables = {}
    for name, one in read.items():
        table, n_unknown, problem = vector_table(f"vectors.{name}", one.ids, one.lists, item_ids)
        tables[name] = table
        if problem is not None:
            findings.file(problem.check, problem.where, problem.found, problem.mend)
        elif n_unknown:
            findings.warn(
                "vectors_of_unknown",
                n_unknown,
                f"vectors.{name}",
                "items that are in no event and no catalogue",
                "left out, since nobody could use them",
            )
    return tables


def _columns(
    planned: PlannedVectors, own: Sequence[str], file: str, findings: Findings
) -> list[str]:
    """The columns that hold the vectors, in their order; none, and a problem, where that is unclear."""
    wanted = list(planned.columns or (name for name in own if name != planned.item_id))
    absent = [name for name in (planned.item_id, *wanted) if name not in own]
    if absent:
        found = f"no column {', '.join(absent)}; the columns are {', '.join(own)}"
        findings.file("missing_column", file, found, "set item_id and columns in the mapping file")
        return []
    order = wanted if planned.columns else (in_order(wanted) if wanted else None)
    if order is None:
        problem = layout_problem(file, wanted)
        findings.file(problem.check, problem.where, problem.found, problem.mend)
        return []
    return order


def _read(
    batch: Batch, item_id: str, order: list[str], rows: VectorRows, findings: Findings
) -> tuple[pl.Series, pl.Series]:
    ids, faults = as_id([batch.frame[item_id]], item_id)
    lists, found = rows.read(ids.alias(item_id), batch.frame.select(order))
    keep = findings.sort_out(batch, [*faults, *found])
    return ids.filter(keep), lists.filter(keep)
