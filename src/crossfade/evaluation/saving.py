"""An evaluation as files."""

import json
from pathlib import Path

from crossfade.evaluation.output import to_json
from crossfade.evaluation.result import Evaluation
from crossfade.evaluation.trust import Trust
from crossfade.files import write_parquet


def save(evaluation: Evaluation, directory: Path, trust: Trust | None = None) -> Path:
    """Write ``results.json``, ``per_user.parquet`` and ``report.html``.

    Args:
        evaluation: What to write.
        directory: Created with its parents; files of these names are replaced.
        trust: How far the model that serves keeps its word; no section without it.

    Returns:
        The path of the report.
    """
    from crossfade.evaluation.report import to_html  # here: it draws, which is slow to import

    html = to_html(evaluation, trust)
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(to_json(evaluation, trust), indent=2, allow_nan=False, ensure_ascii=False)
    (directory / "results.json").write_text(text + "\n", encoding="utf-8")
    write_parquet(evaluation.users, directory / "per_user.parquet")
    report = directory / "report.html"
    report.write_text(html, encoding="utf-8")
    return report
