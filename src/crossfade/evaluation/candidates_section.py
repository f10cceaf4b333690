"""The report's section on the candidates of the blend that serves."""

from typing import Any

from crossfade.evaluation.candidates import CandidateRecall


def candidates_section(found: CandidateRecall) -> dict[str, Any]:
    """What ``candidates.html.j2`` shows."""
    return {
        "model": found.model,
        "level": f"{found.level:.0%}",
        "rows": [
            {
                "where": "everything" if one is found.whole else one.where,
                "n": f"{one.n:,}",
                "users": f"{one.n_users:,}",
                "recall": f"{one.recall:.1%}" if one.n else "–",
                "interval": one.interval,
                "share": 100 * one.recall if one.n else 0.0,
            }
            for one in (found.whole, *found.lowest_first)
        ],
    }
