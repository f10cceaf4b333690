"""One update from the log: export, fit up to a cut, judge after it, fit again, promote."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from crossfade.data import Dataset
from crossfade.data.dataset import to_datetime, to_us
from crossfade.errors import BundleError
from crossfade.files import claimed
from crossfade.hybrid import HybridModel
from crossfade.meta.updating import Mode
from crossfade.online.system import LiveSystem
from crossfade.online.updates.config import AdaptConfig
from crossfade.online.updates.decision import Decision, objections
from crossfade.online.updates.exporting import Export, export
from crossfade.online.updates.judging import judge, newest_requests, replayed_requests
from crossfade.rng import generator
from crossfade.store import Registry
from crossfade.store.log import Log
from crossfade.types import MICROSECONDS_PER_DAY

AskedMode = Literal["auto", "weekly", "full"]


@dataclass(frozen=True)
class Adapted:
    """What one update came to.

    Attributes:
        mode: How the candidate was fitted.
        previous: The version that served when it began.
        export: What it learned from.
        decision: What was judged; None where the log has nothing newer than the version that serves.
        version: Of the candidate; None where there is none.
    """

    mode: Mode
    previous: str
    export: Export
    decision: Decision | None = None
    version: str | None = None


def adapt(
    log: Log,
    registry: Registry,
    now: datetime,
    config: AdaptConfig | None = None,
    *,
    mode: AskedMode = "auto",
    data: Dataset | None = None,
    seed: int = 0,
) -> Adapted:
    """Make a candidate of what the log says since, and promote it if the accept rule holds.

    The newest share of the time since is kept back. A candidate that learned everything before is
    asked beside the promoted version, both with the same histories, and judged by what people wanted
    then; and by a sample of earlier requests, so that forgetting is seen. Accepted, it is fitted once
    more with everything, by the same recipe: that is published and promoted, and it was itself not
    judged. Refused, the judged candidate stays in the registry, not promoted.

    A kill leaves the version that serves, and at most one more that is whole and not promoted.

    Args:
        log: Of the service.
        registry: Of the versions it serves.
        now: Of the entries in the journal; what says it happened later is not learned yet.
        config: How candidates are judged; the defaults if None.
        mode: ``auto``: in full where the last full fit is too old or unknown, weekly otherwise.
        data: What the log adds to; None takes what the promoted version learned from.
        seed: The run's one seed.

    Raises:
        BundleError: If nothing is promoted yet, another update of this registry is under way, or the
            disk refuses.
        DataError: As `export`, `HybridModel.fit` and `HybridModel.update`.
        StoreError: If the log cannot be read.
    """
    config = config or AdaptConfig()
    with claimed(registry.read_promoted(lambda bundle: bundle.parent)) as ours:
        if not ours:
            raise BundleError(
                f"{registry.directory}: another update is under way; wait for its end"
            )
        promoted = registry.read_promoted(HybridModel.load)
        start = promoted.dataset if data is None else data
        if promoted.config.target is not None:
            start = start.with_target(promoted.config.target)
        found = export(log, start, to_us(now))
        chosen = _mode(registry, promoted.version, config, now) if mode == "auto" else mode
        outcome = Adapted(chosen, promoted.version, found)
        cut_us = _cut(promoted.dataset, found.dataset, config.judged_share)
        if cut_us is None and mode != "full":
            return outcome
        judged, decision = _judged(
            promoted, found.dataset, chosen, cut_us, config=config, seed=seed
        )
        fitted = _fitted(promoted, found.dataset, chosen, seed) if decision.accepted else judged
        if decision.accepted and registry.promoted() != promoted.version:
            why = "another version was promoted meanwhile; run the update again"
            decision = replace(decision, accepted=False, why=(why,))

        def write(place: Path) -> None:
            fitted.save(place)
            decision.save(place, config)

        version = registry.add(write, now)
        if decision.accepted:
            registry.promote(version, now)
        return replace(outcome, decision=decision, version=version)


def _mode(registry: Registry, version: str, config: AdaptConfig, now: datetime) -> Mode:
    """Weekly where the last full fit that a version goes back to is there and young enough."""
    there = {one.version: one for one in registry.versions()}
    found = there.get(version)
    while found is not None and found.mode == "weekly":
        found = there.get(found.previous or "")
    if found is None or found.added is None:
        return "full"
    oldest_us = to_us(now) - config.full_every_days * MICROSECONDS_PER_DAY
    return "weekly" if to_us(datetime.fromisoformat(found.added)) >= oldest_us else "full"


def _cut(before: Dataset, now: Dataset, share: float) -> int | None:
    """Where the judged candidate stops learning; None where nothing is newer than what was known."""
    assert before.time_us is not None
    assert now.time_us is not None
    new = now.time_us[now.time_us > before.time_us[-1]]
    if not len(new):
        return None
    # Of time, not of events: whoever sends many at once shall not be all that is judged. The first
    # new moment is always learned: without it there would be nothing to update.
    return int(new[0]) + max(1, int((1 - share) * (new[-1] - new[0])))


def _fitted(promoted: HybridModel, dataset: Dataset, mode: Mode, seed: int) -> HybridModel:
    if mode == "weekly":
        return HybridModel.update(promoted, dataset, seed)
    return HybridModel.fit(dataset, promoted.config, seed)


def _judged(
    promoted: HybridModel,
    dataset: Dataset,
    mode: Mode,
    cut_us: int | None,
    *,
    config: AdaptConfig,
    seed: int,
) -> tuple[HybridModel, Decision]:
    """A candidate that learned what was before the cut, and what came of asking it."""
    assert dataset.time_us is not None
    assert promoted.dataset.time_us is not None
    end_us = int(dataset.time_us[-1]) + 1
    if cut_us is None:  # nothing is new: a full fit that was asked for all the same
        cut_us = end_us
    candidate = _fitted(promoted, dataset.before(to_datetime(cut_us)), mode, seed)
    protocol, rng = promoted.config.protocol, generator(seed, "updates.judged")
    newest = newest_requests(dataset, cut_us, protocol, config.n_requests, rng)
    replayed = replayed_requests(
        dataset,
        int(promoted.dataset.time_us[-1]) + 1,
        max(end_us - cut_us, MICROSECONDS_PER_DAY),
        protocol,
        n_most=config.n_replayed,
        rng=rng,
    )
    asked = (LiveSystem(promoted), LiveSystem(candidate))
    fresh, older = (judge(asked, trials, dataset, config.depth) for trials in (newest, replayed))
    known = dataset.user_ids.rows(promoted.dataset.user_ids.ids)
    found = (
        fresh.compared(config, rng),
        fresh.compared(config, rng, among=known),
        older.compared(config, rng),
    )
    why = tuple(objections(*found, config))
    decision = Decision(not why, why, mode, promoted.version, cut_us, *found)
    return candidate, decision
