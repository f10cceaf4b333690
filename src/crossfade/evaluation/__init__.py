"""Honest numbers: full-catalogue metrics, intervals over users, paired tests, slices, a report."""

from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.evaluate import evaluate
from crossfade.evaluation.findings import Findings
from crossfade.evaluation.judge import Named, Scorer, ranked_lists
from crossfade.evaluation.output import table_rows, to_json
from crossfade.evaluation.outside import OutsideScores, read_scores
from crossfade.evaluation.result import About, Evaluation
from crossfade.evaluation.saving import save, save_report

__all__ = [
    "About",
    "Evaluation",
    "EvaluationConfig",
    "Findings",
    "Named",
    "OutsideScores",
    "Scorer",
    "evaluate",
    "ranked_lists",
    "read_scores",
    "save",
    "save_report",
    "table_rows",
    "to_json",
]
