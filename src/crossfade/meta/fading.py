"""How fast training should forget: a half-life tuned out of time, and kept only where it wins again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.data.splits import Plan, Trial
from crossfade.errors import ConfigError
from crossfade.evaluation.judge import ranked_lists, units
from crossfade.evaluation.metrics import locate, ndcg
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.registry import make_all
from crossfade.rng import generator
from crossfade.types import Doubles

HALF_LIVES_DAYS = (7.0, 30.0, 90.0, 365.0, None)
DEPTH = 10


@dataclass(frozen=True)
class HalfLife:
    """What tuning decided, and on what evidence.

    Attributes:
        half_life_days: What to set; that of the settings unless another won on both blocks.
        tuned: NDCG@10 on the fuse block by half-life, that of the settings included.
        best: The best of them there.
        gain: Of the best over that of the settings, paired by person, on the calibrate block;
            0 where they are the same.
        low: Lower end of its 95 % interval; NaN with fewer than two people.
        high: Upper end.
        n: People on the calibrate block.
    """

    half_life_days: float | None
    tuned: dict[float | None, float]
    best: float | None
    gain: float
    low: float
    high: float
    n: int


def tune_half_life(
    plan: Plan,
    label: str,
    settings: Mapping[str, Any] | None = None,
    *,
    half_lives_days: Sequence[float | None] = HALF_LIVES_DAYS,
    seed: int = 0,
) -> HalfLife:
    """The ``half_life_days`` of a base: chosen on the fuse block, held against the settings on the calibrate block.

    Bases that are compared in a block have seen only what came before it. The best of several looks better than it
    is where it was chosen; so it has to win once more, interval and all, where nothing was chosen.

    Args:
        plan: Blocks of a log with times.
        label: Of the base, as in the settings of a system.
        settings: Of the base; its defaults if None.
        half_lives_days: What is tried beside that of the settings; None never forgets.
        seed: Of fits and draws.

    Raises:
        ConfigError: If the base has no ``half_life_days``, a setting is wrong or the log has no times.
    """
    entry = dict(settings or {})
    (base,) = make_all({label: entry}).values()
    if "half_life_days" not in type(base.config).model_fields:
        raise ConfigError(f"bases.{label}: {base.name} has no half_life_days to tune")
    if plan.fuse.train.time_us is None:
        raise ConfigError(
            "the log has no times, so nothing can fade; leave half_life_days as it is"
        )
    own: float | None = base.config.half_life_days
    tried = dict.fromkeys((own, *half_lives_days))

    def found(trial: Trial, half_life_days: float | None) -> Doubles:
        changed = {label: {**entry, "half_life_days": half_life_days}}
        (made,) = make_all(changed).values()
        return _per_user(made.fit(trial.train, seed), trial)

    tuned = {days: float(found(plan.fuse, days).mean()) for days in tried}
    best = max(tuned, key=lambda days: tuned[days])
    n = units([plan.calibrate])[1]
    if best == own:
        return HalfLife(own, tuned, best, 0.0, 0.0, 0.0, n)
    gain = found(plan.calibrate, best) - found(plan.calibrate, own)
    said = bootstrap(gain[:, None], generator(seed, "half_life"))
    mean, low, high = (float(part[0]) for part in (said.mean, said.low, said.high))
    return HalfLife(best if low > 0 else own, tuned, best, mean, low, high, n)


def _per_user(base: Recommender[Any], trial: Trial) -> Doubles:
    """NDCG of each person's lists, ``(n_users,)``."""
    relevant = trial.relevant
    hits, _ = locate(ranked_lists(base, trial, DEPTH), relevant)
    value = ndcg(hits, np.diff(relevant.indptr))
    unit, n_units = units([trial])
    return unit_means(value[:, None], unit, n_units)[:, 0]
