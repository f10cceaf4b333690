"""From one version to the next out of the event log: export, candidate, comparison, decision."""

from crossfade.online.updates.exporting import Export, export

__all__ = ["Export", "export"]
