"""The report's section on time and memory."""

from typing import Any

from crossfade.evaluation.cost import Cost, Step


def cost_section(cost: Cost) -> dict[str, Any]:
    """What ``cost.html.j2`` shows."""
    outer = sum(step.seconds for step in cost.steps if step.inside is None)
    longest = max((step.seconds for step in cost.steps), default=0.0)
    return {
        "facts": [
            ("seconds in all", seconds_text(cost.seconds)),
            ("events", f"{cost.n_events:,}"),
            ("users", f"{cost.n_users:,}"),
            ("items", f"{cost.n_items:,}"),
            ("requests", f"{cost.n_requests:,}"),
            ("peak memory", _memory(cost.peak_bytes)),
        ],
        "steps": [_step(step, longest) for step in cost.steps],
        "rest": seconds_text(max(cost.seconds - outer, 0.0)),
    }


def _step(step: Step, longest: float) -> dict[str, Any]:
    return {
        "name": step.name,
        "inside": step.inside is not None,
        "times": f"{step.times:,}",
        "seconds": seconds_text(step.seconds),
        "last": seconds_text(step.last_seconds) if step.times > 1 else "",
        "share": 100 * step.seconds / longest if longest > 0 else 0.0,
    }


def seconds_text(seconds: float) -> str:
    """Three digits where it was short, whole seconds where it was long."""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:,.1f}"


def _memory(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "not told by the system"
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"
