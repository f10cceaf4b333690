"""From one version to the next out of the event log: export, candidate, comparison, decision."""

from crossfade.online.updates.adapting import Adapted, adapt
from crossfade.online.updates.config import AdaptConfig
from crossfade.online.updates.decision import Decision, read_record
from crossfade.online.updates.exporting import Export, export
from crossfade.online.updates.judging import Comparison

__all__ = [
    "AdaptConfig",
    "Adapted",
    "Comparison",
    "Decision",
    "Export",
    "adapt",
    "export",
    "read_record",
]
