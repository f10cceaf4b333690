"""Tables with a column mapping: CSV, TSV, JSON, JSON lines, Parquet."""

from datetime import datetime
from pathlib import Path

from crossfade.config import load_toml
from crossfade.data.importing.mapping import ImportMapping
from crossfade.data.importing.plan import plan_of_mapping
from crossfade.data.importing.report import ImportReport
from crossfade.data.importing.run import OnError, run_plan


def import_table(
    mapping: ImportMapping | Path,
    to: Path,
    *,
    now: datetime,
    root: Path | None = None,
    on_error: OnError = "fail",
) -> ImportReport:
    """Import tables as a mapping says.

    Args:
        mapping: The mapping, or the TOML file that holds it.
        to: Directory of the data set to write.
        now: The clock; later times are faults.
        root: Folder that relative paths of the mapping start at; by default the folder
            of the TOML file, or the working directory.
        on_error: ``"fail"`` or ``"skip"``, see `run_plan`.

    Raises:
        ConfigError: If the mapping is wrong.
        DataError: With every problem found, counted.
        BundleError: If the place holds something else or the disk refuses.
    """
    origin = "table"
    if isinstance(mapping, Path):
        root = mapping.parent if root is None else root
        origin = f"table by {mapping.name}"
        mapping = load_toml(ImportMapping, mapping)
    plan = plan_of_mapping(mapping, root if root is not None else Path())
    return run_plan(plan, to, now=now, on_error=on_error, origin=origin)
