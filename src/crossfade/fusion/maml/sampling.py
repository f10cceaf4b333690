"""Which episodes are drawn how often: by kind, and from easy to hard."""

from collections.abc import Mapping

import numpy as np

from crossfade.errors import ConfigError
from crossfade.fusion.base import Signals
from crossfade.fusion.maml.config import Sampling
from crossfade.fusion.maml.tasks import Episodes
from crossfade.fusion.static import StaticBlend, list_ndcg
from crossfade.types import Bools, Doubles, Ints

DEPTH = 10

Kinds = Mapping[str, Mapping[str, Bools]]
"""Group → kind → which episodes are of it, ``(T,)``; each episode has one kind per group."""


def kinds_of(episodes: Episodes) -> Kinds:
    """Kinds by what is known of the person at the query and of the items wanted there.

    Columns that the signals do not have put every episode into the kind that means "not known":
    `other`, `many`, `certain`, `unknown`.
    """
    signals, n = episodes.query.signals, len(episodes)
    explorer, loyalist = (_flag(signals, f"user_type_{kind}") for kind in ("explorer", "loyalist"))
    loyalist = loyalist & ~explorer
    few = _at_most_median(_user(signals, "log_positives"), below=False)
    uncertain = _at_most_median(_completeness(episodes), below=True)
    hour = _hour(signals)
    part = np.where(np.isnan(hour), -1, hour // 6)
    parts = dict(zip(("night", "morning", "afternoon", "evening"), range(4), strict=True))
    kinds = {
        "listener": {
            "explorer": explorer,
            "loyalist": loyalist,
            "other": ~(explorer | loyalist),
        },
        "history": {"few": few, "many": ~few},
        "item": {"uncertain": uncertain, "certain": ~uncertain},
        "time": {**{name: part == p for name, p in parts.items()}, "unknown": part == -1},
    }
    assert all(sum(map(np.sum, group.values())) == n for group in kinds.values())
    return kinds


def difficulty(episodes: Episodes, start: StaticBlend) -> Doubles:
    """1 − NDCG@10 of the static blend on each query, ``(T,)``; in [0, 1]."""
    query = episodes.query
    score = start.forward(query.signals).score
    return 1 - list_ndcg(score, query.relevant, query.n_relevant, DEPTH)


class Sampler:
    """Draws episodes in the stated proportions.

    Args:
        kinds: Of the episodes.
        hard: How hard each is, ``(T,)``.
        config: The proportions, and whether there is a curriculum.

    Raises:
        ConfigError: If no episode may be drawn.
    """

    def __init__(self, kinds: Kinds, hard: Doubles, config: Sampling) -> None:
        self._hard, self._config = hard, config
        self.chance = np.full(len(hard), 1 / max(1, len(hard)))
        """Of each episode to be drawn once all are in, ``(T,)``."""
        if config.by_kind:
            self.chance = _by_kind(kinds, config, len(hard))

    def draw(self, n: int, progress: float, rng: np.random.Generator) -> Ints:
        """Places of n episodes, with replacement.

        Args:
            n: How many.
            progress: Share of the training that is over, in [0, 1].
            rng: Draws.
        """
        chance = np.where(self.allowed(progress), self.chance, 0.0)
        if not chance.any():  # the easy ones are all of kinds that get no part
            chance = self.chance
        return rng.choice(len(chance), size=n, p=chance / chance.sum())

    def allowed(self, progress: float) -> Bools:
        """Episodes that the curriculum has let in, ``(T,)``; ties come in together."""
        config = self._config
        if not config.curriculum or not len(self._hard):
            return np.ones(len(self._hard), dtype=np.bool_)
        share = config.easy_share + (1 - config.easy_share) * min(1.0, progress / config.ramp)
        last = np.sort(self._hard)[max(0, round(share * len(self._hard)) - 1)]
        easy: Bools = self._hard <= last
        return easy


def _by_kind(kinds: Kinds, config: Sampling, n: int) -> Doubles:
    """A quarter of the draws by each group; the part of an empty kind goes to the others."""
    chance = np.zeros(n)
    for group, members in kinds.items():
        parts = getattr(config, group).model_dump()
        filled = {kind: parts[kind] for kind, who in members.items() if who.any() and parts[kind]}
        if n and not filled:
            raise ConfigError(
                f"sampling.{group}: every kind that has an episode has the part 0; give one of "
                f"{', '.join(kind for kind, who in members.items() if who.any())} a part"
            )
        for kind, part in filled.items():
            who = members[kind]
            chance += who * (part / sum(filled.values()) / who.sum() / len(kinds))
    return chance


# -- what is known of an episode -------------------------------------------------------


def _user(signals: Signals, name: str) -> Doubles:
    """A column of the request, ``(T,)``; NaN where there is none."""
    if signals.user is None or name not in signals.columns.user:
        return np.full(len(signals.mask), np.nan)
    return signals.user[:, signals.columns.user.index(name)].astype(np.float64)


def _flag(signals: Signals, name: str) -> Bools:
    flag: Bools = np.nan_to_num(_user(signals, name)) > 0.5
    return flag


def _hour(signals: Signals) -> Doubles:
    """Hour of the day, in [0, 24); NaN where it is not known."""
    turn = np.arctan2(_user(signals, "hour_sin"), _user(signals, "hour_cos")) / (2 * np.pi)
    # Rounded, so that 6 o'clock is not just before 6.
    hour: Doubles = np.round(24 * turn, 6) % 24
    return hour


def _completeness(episodes: Episodes) -> Doubles:
    """Mean completeness of the items wanted at the query, ``(T,)``; NaN where it is not known."""
    query = episodes.query
    names = query.signals.columns.item
    if query.signals.item is None or "completeness" not in names:
        return np.full(len(query), np.nan)
    each = query.signals.item[:, :, names.index("completeness")].astype(np.float64)
    known = query.relevant & np.isfinite(each)
    n = known.sum(axis=1)
    total = np.where(known, each, 0.0).sum(axis=1)
    mean: Doubles = np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
    return mean


def _at_most_median(values: Doubles, *, below: bool) -> Bools:
    """Which known values are at most the median, or only below it; False where not known."""
    known = np.isfinite(values)
    if not known.any():
        return known
    median = np.median(values[known])
    low: Bools = known & ((values < median) if below else (values <= median))
    return low
