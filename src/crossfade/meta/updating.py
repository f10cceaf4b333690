"""From one version of a system to the next: what is new in the log, and who learns it."""

from collections.abc import Mapping
from typing import Any, Literal

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime
from crossfade.data.vocabulary import Vocabulary
from crossfade.errors import DataError
from crossfade.meta.blending import Bases
from crossfade.progress import task
from crossfade.recommenders.base import Change, Recommender
from crossfade.recommenders.registry import make_all

Mode = Literal["full", "weekly"]
"""How a version came to be: fitted on the whole log, or updated from the one before."""

LEAST_KEPT = 0.5
"""With a smaller share of the old items or users still there, it is taken for another data set."""


def change_since(before: Dataset, now: Dataset, version: str) -> Change:
    """How a data set went on.

    Args:
        before: What the previous version was fitted on.
        now: The whole log of today.
        version: Of the previous version, for messages.

    Raises:
        DataError: With everything that keeps one from being the continuation of the other.
    """
    faults = _differences(before, now)
    if faults:
        raise DataError(
            f"{now.name} is no continuation of what version {version} was fitted on: {'; '.join(faults)}; "
            "give the same data set with its newer events, or fit in full"
        )
    assert before.time_us is not None
    assert now.time_us is not None
    newest = int(before.time_us[-1])
    if int(now.time_us[-1]) <= newest:
        raise DataError(
            f"{now.name} has no event after {to_datetime(newest):%Y-%m-%d %H:%M:%S} UTC, the newest that version "
            f"{version} knows, so there is nothing to update; import the newer events first"
        )
    return Change(
        item_rows=before.item_ids.rows(now.item_ids.ids),
        user_rows=before.user_ids.rows(now.user_ids.ids),
        since_us=newest + 1,
    )


def update_bases(
    previous: Mapping[str, Recommender[Any]],
    settings: Bases,
    dataset: Dataset,
    change: Change,
    seed: int,
) -> dict[str, Recommender[Any]]:
    """Every base of the new version: those that can go on do so, the others are fitted afresh."""
    made = make_all(settings)
    for label, base in made.items():
        with task(f"{'update' if base.updates else 'fit'} {label} on {dataset.n_events:,} events"):
            base.update(previous[label], dataset, change, seed)
    return made


def _differences(before: Dataset, now: Dataset) -> list[str]:
    faults = []
    if before.name != now.name:
        faults.append(f'that was called "{before.name}", this "{now.name}"')
    if before.target != now.target:
        faults.append(f'the target was "{before.target.name}", or had other rules')
    if not (before.has_times and now.has_times):
        faults.append("events have no times, so nothing tells the new ones")
    for old, new in ((before.item_ids, now.item_ids), (before.user_ids, now.user_ids)):
        n_kept = _n_shared(old, new)
        if n_kept < LEAST_KEPT * len(old):
            faults.append(f"only {n_kept:,} of its {len(old):,} {old.noun}s are here")
    return faults


def _n_shared(old: Vocabulary, new: Vocabulary) -> int:
    return int(old.ids.is_in(new.ids.implode()).sum())
