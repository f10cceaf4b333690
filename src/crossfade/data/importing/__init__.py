"""Outside files to checked data sets: readers, checks, source formats."""

from crossfade.data.importing.formats import FORMATS, import_source
from crossfade.data.importing.mapping import ImportMapping, mapping_from_flags
from crossfade.data.importing.report import ImportReport
from crossfade.data.importing.summary import DatasetSummary, summarise
from crossfade.data.importing.table import import_table

__all__ = [
    "FORMATS",
    "DatasetSummary",
    "ImportMapping",
    "ImportReport",
    "import_source",
    "import_table",
    "mapping_from_flags",
    "summarise",
]
