"""One cut after another: what each block's bases say of the next, and what a blend learns from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crossfade.data.splits import Plan, Trial
from crossfade.errors import DataError
from crossfade.features.environment import EnvironmentSchema
from crossfade.fusion.base import LabelledSignals
from crossfade.meta.blending import Bases, BlendConfig, fit_bases
from crossfade.meta.contextual import contextual_signals
from crossfade.meta.signals import stacked
from crossfade.meta.track import TrackRecord, preceding_trial
from crossfade.types import Bools

FEWEST_MOMENTS = 50
"""Different moments of asking below which hours and seasons teach nothing."""

CLOCK = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "season_sin", "season_cos")


@dataclass(frozen=True, eq=False)
class Material:
    """What a blend is learned from and judged by.

    Attributes:
        train: The fuse block and the blocks before it, one below the other.
        is_fuse: Which requests of ``train`` are of the fuse block itself.
        calibrate: For the do-no-harm test; nothing is learned from it.
        track: How the bases of the calibrate block did there: the record for what comes next.
        clock: Whether hours, weekdays and seasons are among the columns that were learned.
        environment: Which situations are, fitted on the earliest log.
    """

    train: LabelledSignals
    is_fuse: Bools
    calibrate: LabelledSignals
    track: TrackRecord
    clock: bool
    environment: EnvironmentSchema | None = None


def gather(plan: Plan, bases: Bases, config: BlendConfig, seed: int) -> Material:
    """Signals of every block up to the calibrate block, each by bases that had not seen it.

    Args:
        plan: Its test block is not looked at.
        bases: Settings of the bases by label.
        config: How many candidates, requests, and blocks before the fuse block.
        seed: The run's one seed.
    """
    n_earlier = config.n_earlier_blocks
    earlier = list(earlier_trials(plan, n_earlier + 1, seed))[::-1]
    trials = [*earlier, plan.fuse, plan.calibrate]
    # The first block only leaves a record; where there is no earlier block nobody has one.
    track = TrackRecord.empty(plan.fuse.train.n_users, len(bases))
    found: list[LabelledSignals] = []
    environment = EnvironmentSchema.fit(trials[0].train)
    for place, trial in enumerate(trials):
        fitted = fit_bases(bases, trial.train, seed)
        if place > 0 or not earlier:
            found.append(
                contextual_signals(
                    trial,
                    fitted,
                    track,
                    config=config,
                    seed=seed,
                    environment=environment,
                )
            )
        track = TrackRecord.of(trial, list(fitted.values()))
    clock = _tells_time(trials)
    if not clock:
        found = [without_clock(part) for part in found]
    *learned, calibrate = found
    sizes = [len(part) for part in learned]
    is_fuse = np.repeat(np.arange(len(sizes)) == len(sizes) - 1, sizes)
    return Material(stacked(learned), is_fuse, calibrate, track, clock, environment)


def _tells_time(trials: Sequence[Trial]) -> bool:
    """Whether people ask at more than a handful of moments.

    A protocol that asks everybody at the start of a block has as many moments as blocks: what
    the hour is then tells which block it is, and a model would learn the blocks by heart.
    """
    moments = [trial.queries.as_of_us for trial in trials]
    known = [moment for moment in moments if moment is not None]
    if len(known) < len(moments):
        return False
    return len(np.unique(np.concatenate(known))) >= FEWEST_MOMENTS


def without_clock(part: LabelledSignals) -> LabelledSignals:
    """The signals without hour, weekday and season."""
    assert part.signals.user is not None
    names, user = part.signals.columns.user, part.signals.user.copy()
    user[:, [names.index(name) for name in CLOCK]] = np.nan
    return replace(part, signals=replace(part.signals, user=user))


def earlier_trials(plan: Plan, n: int, seed: int) -> Iterator[Trial]:
    """Up to ``n`` blocks before the fuse block, latest first; fewer where the log is too short."""
    trial, protocol = plan.fuse, plan.protocol
    for _ in range(n):
        try:
            before = preceding_trial(trial.train, protocol, seed)
        except DataError:  # too little is left to be cut
            return
        if before is None:
            return
        yield before
        trial = before
