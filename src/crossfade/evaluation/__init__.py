"""Honest numbers: full-catalogue metrics, intervals over users, paired tests, slices, a report."""

from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.evaluate import evaluate
from crossfade.evaluation.judge import Named, Scorer, ranked_lists
from crossfade.evaluation.output import table_rows, to_json
from crossfade.evaluation.outside import OutsideScores, read_scores
from crossfade.evaluation.result import About, Evaluation
from crossfade.evaluation.saving import save

__all__ = [
    "About",
    "Evaluation",
    "EvaluationConfig",
    "Named",
    "OutsideScores",
    "Scorer",
    "evaluate",
    "ranked_lists",
    "read_scores",
    "save",
    "table_rows",
    "to_json",
]
