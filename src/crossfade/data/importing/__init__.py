"""Outside files to checked data sets: readers, checks, source formats."""

from crossfade.data.importing.mapping import ImportMapping, mapping_from_flags
from crossfade.data.importing.report import ImportReport
from crossfade.data.importing.table import import_table

__all__ = ["ImportMapping", "ImportReport", "import_table", "mapping_from_flags"]
