"""An evaluation as files."""

import json
from pathlib import Path

from crossfade.evaluation.findings import Findings
from crossfade.evaluation.output import to_json
from crossfade.evaluation.result import Evaluation
from crossfade.files import write_parquet


def save(evaluation: Evaluation, directory: Path, findings: Findings | None = None) -> Path:
    """Write ``results.json``, ``per_user.parquet`` and ``report.html``.

    Args:
        evaluation: What to write.
        directory: Created with its parents; files of these names are replaced.
        findings: What was found beside the table; no such sections without it.

    Returns:
        The path of the report.
    """
    report = save_report(evaluation, directory / "report.html", findings)
    text = json.dumps(to_json(evaluation, findings), indent=2, allow_nan=False, ensure_ascii=False)
    (directory / "results.json").write_text(text + "\n", encoding="utf-8")
    write_parquet(evaluation.users, directory / "per_user.parquet")
    return report


def save_report(evaluation: Evaluation, file: Path, findings: Findings | None = None) -> Path:
    """Write the report alone; arguments and answer as `save`."""
    from crossfade.evaluation.report import to_html  # here: it draws, which is slow to import

    html = to_html(evaluation, findings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(html, encoding="utf-8")
    return file
