"""Whether a system that serves still lives in the world it was fitted on."""

from crossfade.monitoring.alerts import RULES, Alert, Rule
from crossfade.monitoring.config import MonitorConfig
from crossfade.monitoring.measure import Measure
from crossfade.monitoring.report import MonitorReport, monitor

__all__ = ["RULES", "Alert", "Measure", "MonitorConfig", "MonitorReport", "Rule", "monitor"]
