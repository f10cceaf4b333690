"""Whether a candidate is promoted, and the record of it that lies in its version."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossfade.files import replace_json
from crossfade.online.updates.config import AdaptConfig
from crossfade.online.updates.judging import Comparison

RECORD = "adapt.json"
"""Beside the manifest of a version that `adapt` made."""


@dataclass(frozen=True)
class Decision:
    """What was judged, and what follows from it.

    Attributes:
        accepted: Whether the accept rule holds.
        why: A sentence for each thing that speaks against it; none where it holds.
        mode: ``"full"`` or ``"weekly"``.
        previous: The version that served.
        cut_us: The judged candidate learned what was before this.
        newest: On requests from then on, which neither had learned.
        known: Those of people whom the promoted version knows.
        replayed: On older requests, whose outcomes both had learned.
    """

    accepted: bool
    why: tuple[str, ...]
    mode: str
    previous: str
    cut_us: int
    newest: Comparison
    known: Comparison
    replayed: Comparison

    def save(self, bundle: Path, settings: AdaptConfig) -> None:
        """Write the record beside a manifest.

        Raises:
            OSError: If the disk refuses.
        """
        value = {**asdict(self), "settings": settings.model_dump()}
        replace_json(bundle / RECORD, value, bundle / f".{RECORD}")


def read_record(bundle: Path) -> dict[str, Any] | None:
    """What a version says of how it came to be; None where `adapt` did not make it."""
    file = bundle / RECORD
    if not file.exists():
        return None
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return record


def objections(
    newest: Comparison, known: Comparison, replayed: Comparison, rule: AdaptConfig
) -> Iterator[str]:
    """Everything that keeps a candidate from being promoted.

    Args:
        newest: On what neither version had learned.
        known: The same of people whom the promoted version knows: new accounts do not outvote them.
        replayed: On what both had learned; without requests there is nothing to forget.
        rule: The limits.
    """
    if newest.n_users < rule.least_users:
        yield (
            f"{newest.n_users:,} people with newest events are too few to judge by, {rule.least_users:,} are "
            "needed; wait for more events"
        )
    for name, found in (("all", newest), ("known", known)):
        if found.promoted is not None and found.low is not None:
            limit = -rule.new_loss * found.promoted
            if not found.low >= limit:  # asked this way round, what is no number is no proof
                yield (
                    f"it may be worse on the newest events of {name} people: the interval goes down to "
                    f"{found.low:+.4f}, allowed is {limit:+.4f} (-{rule.new_loss:.0%} of {found.promoted:.4f})"
                )
    if replayed.promoted is not None and replayed.difference is not None:
        limit = -rule.old_loss * replayed.promoted
        if not replayed.difference >= limit:
            yield (
                f"it forgets: {replayed.difference:+.4f} on replayed requests, allowed is {limit:+.4f} "
                f"(-{rule.old_loss:.0%} of {replayed.promoted:.4f})"
            )
