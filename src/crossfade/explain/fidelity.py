"""Whether cited evidence is what a score rests on: delete it, score again, and look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.config import Field, Settings
from crossfade.types import Bools, Doubles, Ints, Rows

Rescore = Callable[[int, Rows], tuple[float, float]]
"""From the place of an explanation and the item rows to delete from its history to the fused score
and the rank of the explained item, 1 for the best. A score of NaN means that it cannot be scored
any more; its rank is then not looked at. No rows mean the request as it is."""


class FidelityConfig(Settings):
    """How reasons are put to the test."""

    n_draws: int = Field(
        5, ge=1, description="Random pieces of evidence of the same size per explanation."
    )
    resamples: int = Field(1000, ge=1, description="Bootstrap resamples for the intervals.")
    level: float = Field(0.95, gt=0, lt=1, description="Confidence level of the intervals.")


@dataclass(frozen=True)
class Measured:
    """A mean over explanations with its interval.

    Attributes:
        mean: NaN where nothing was measured.
        low: Lower end; NaN likewise.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Fidelity:
    """What deleting evidence did.

    Attributes:
        n_explanations: Explanations looked at.
        n_tested: Those that could be tested: they cite items of the history, and not all of it.
        n_other_evidence: Those that cite no history (popularity, a stated taste, acclaim).
        n_whole_history: Those that cite all of the history; random evidence would be the same.
        share_without_reason: Of all, those without any reason.
        falls_more: Share of the tested whose score falls more without the cited evidence than
            without random evidence in more than half of the draws.
        rank_falls_more: The same of the rank. An item that stays first wherever its evidence is
            deleted has not fallen more.
        cited_drop: Mean fall of the score without the cited evidence, over those that could
            still be scored after each deletion.
        random_drop: The same without random evidence.
        cited_places: Mean places lost without the cited evidence, likewise.
        random_places: The same without random evidence.
    """

    n_explanations: int
    n_tested: int
    n_other_evidence: int
    n_whole_history: int
    share_without_reason: float
    falls_more: Measured
    rank_falls_more: Measured
    cited_drop: Measured
    random_drop: Measured
    cited_places: Measured
    random_places: Measured


def measure_fidelity(
    cited: Sequence[Rows | None],
    history: Sequence[Rows],
    rescore: Rescore,
    rng: np.random.Generator,
    *,
    unit: Ints | None = None,
    config: FidelityConfig | None = None,
) -> Fidelity:
    """Delete the evidence of explanations, and as much at random, and compare.

    Random evidence is drawn without replacement from the whole history, cited items included:
    that is harder to beat than items known not to be cited. An item that cannot be scored any
    more has fallen further than any that can.

    Args:
        cited: For each explanation the item rows of the history it cites; empty where its
            reasons rest on something else, None where it has no reason.
        history: Distinct item rows of each request's history.
        rescore: See `Rescore`. It must not remember anything from call to call.
        rng: Draws random evidence and resamples.
        unit: Whose each explanation is, ``(n,)``; people, not explanations, are resampled then.
            None takes every explanation for a unit of its own.
        config: Settings; the defaults if None.

    Raises:
        ValueError: If lengths differ, or an explanation cites what is not in its history.
    """
    config = config or FidelityConfig()
    n = len(cited)
    if len(history) != n or (unit is not None and len(unit) != n):
        raise ValueError(f"{n} explanations need as many histories and units, got {len(history)}")
    tested = [at for at in range(n) if _testable(at, cited[at], history[at])]
    # Win of score, win of rank, then fall and places lost, cited and random.
    values = np.full((len(tested), 6), np.nan)
    for place, at in enumerate(tested):
        mine = cited[at]
        assert mine is not None
        draws = [
            rng.choice(history[at], size=len(mine), replace=False) for _ in range(config.n_draws)
        ]
        values[place] = _compared(at, mine, draws, rescore)
    owner = np.arange(n) if unit is None else np.asarray(unit)
    means = _measured(values, owner[tested], rng, config)
    n_other = sum(mine is not None and len(mine) == 0 for mine in cited)
    n_without = sum(mine is None for mine in cited)
    return Fidelity(
        n_explanations=n,
        n_tested=len(tested),
        n_other_evidence=n_other,
        n_whole_history=n - len(tested) - n_other - n_without,
        share_without_reason=n_without / n if n else float("nan"),
        falls_more=means[0],
        rank_falls_more=means[1],
        cited_drop=means[2],
        random_drop=means[3],
        cited_places=means[4],
        random_places=means[5],
    )


def _testable(at: int, cited: Rows | None, history: Rows) -> bool:
    if cited is None or not len(cited):
        return False
    foreign = np.setdiff1d(cited, history)
    if len(foreign) or len(np.unique(cited)) != len(cited):
        raise ValueError(
            f"explanation {at} cites {np.asarray(cited).tolist()}, which must be different items of its history"
        )
    return len(cited) < len(history)


def _compared(at: int, cited: Rows, draws: Sequence[Rows], rescore: Rescore) -> list[float]:
    """Wins and falls of one explanation; see `Fidelity`."""
    before = rescore(at, cited[:0])
    after = [rescore(at, rows) for rows in (cited, *draws)]
    gone = np.array([np.isnan(score) for score, _ in after])
    falls = before[0] - np.array([score for score, _ in after])
    places = np.array([rank for _, rank in after], dtype=np.float64) - before[1]
    # Items that are gone are equal among themselves and below all others.
    falls[gone], places[gone] = np.inf, np.inf
    wins = [_won(moved) for moved in (falls, places)]
    if gone.any():
        return [*wins, np.nan, np.nan, np.nan, np.nan]
    return [*wins, falls[0], falls[1:].mean(), places[0], places[1:].mean()]


def _won(moved: Doubles) -> float:
    """1 if the first moved further than more than half of the others; a tie is half a win."""
    better = (moved[0] > moved[1:]) + 0.5 * (moved[0] == moved[1:])
    return float(better.mean() > 0.5)


def _measured(
    values: Doubles, owner: Ints, rng: np.random.Generator, config: FidelityConfig
) -> list[Measured]:
    """Means of columns, and percentile intervals over resampled units."""
    units, place = np.unique(owner, return_inverse=True)
    known = ~np.isnan(values)
    weight = _draws(len(units), config.resamples, rng)
    tail = [(1 - config.level) / 2, (1 + config.level) / 2]
    found = []
    for column in range(values.shape[1]):
        there: Bools = known[:, column]
        if not there.any():
            found.append(Measured(np.nan, np.nan, np.nan))
            continue
        sums = np.bincount(place[there], weights=values[there, column], minlength=len(units))
        counts = np.bincount(place[there], minlength=len(units)).astype(np.float64)
        totals = weight @ counts
        means = (weight @ sums)[totals > 0] / totals[totals > 0]
        low, high = np.quantile(means, tail)
        found.append(Measured(float(sums.sum() / counts.sum()), float(low), float(high)))
    return found


def _draws(n: int, resamples: int, rng: np.random.Generator) -> Doubles:
    """How often each of n units is drawn in each resample, ``(resamples, n)``."""
    if n == 0:
        return np.zeros((resamples, 0))
    drawn = rng.integers(0, n, size=(resamples, n)) + np.arange(resamples)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(float)
