"""From the scored candidates of one request to its list.

candidates ──conditions──► eligible ──order──► limits, diversity, calibration ──► slots left to chance ──► list
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from crossfade.errors import ConfigError
from crossfade.ranking.catalogue import RankingCatalogue
from crossfade.ranking.config import Limit, RankingConfig
from crossfade.ranking.diversity import relevance, similarity
from crossfade.ranking.eligibility import eligible
from crossfade.ranking.exploration import Draw, ExploredSlot, draw, positions
from crossfade.ranking.greedy import (
    CREATOR,
    GENRE,
    NO_LIMIT,
    QUALITY,
    Aims,
    Limits,
    fill_by_aims,
    fill_by_score,
)
from crossfade.ranking.request import Candidates, Conditions, is_integer
from crossfade.types import Doubles, Ints, Rows

DEFAULTS, UNCONDITIONAL = RankingConfig(), Conditions()
BITS: dict[Limit, int] = {
    "max_genre_share": GENRE,
    "max_per_creator": CREATOR,
    "min_probability": QUALITY,
}


@dataclass(frozen=True, eq=False)
class Ranked:
    """The list of one request, best first.

    Attributes:
        item_row: Shape ``(n,)``; n is k, or less where fewer may be listed.
        place: Which candidate each is, as they came, shape ``(n,)``.
        propensity: Chance that each item stands where it does, shape ``(n,)``: 1 for all but
            explored ones.
        explored: The slots filled by chance, with the chances of every item.
        relaxed: Limits that some item of the list breaks, in the order they gave way.
        n_within: The items at the front, explored ones aside, that keep every limit; those
            for whom a limit gave way follow them.
        n_eligible: Candidates that meet every condition.
        kept_out: How many candidates each condition keeps out: ``score`` (NaN), ``seen``,
            ``block``, ``allow``, ``rules``, ``availability``. One may count for several.
    """

    item_row: Rows
    place: Ints
    propensity: Doubles
    explored: tuple[ExploredSlot, ...]
    relaxed: tuple[Limit, ...]
    n_within: int
    n_eligible: int
    kept_out: dict[str, int]


def rank(
    candidates: Candidates,
    catalogue: RankingCatalogue,
    k: int,
    *,
    config: RankingConfig = DEFAULTS,
    conditions: Conditions = UNCONDITIONAL,
    rng: np.random.Generator | None = None,
) -> Ranked:
    """The best list of ``k`` candidates that keeps conditions and limits.

    Conditions never give way. Limits give way in the order of ``config.relax`` once no candidate
    keeps them all, so ``k`` items come back whenever ``k`` are eligible and all limits may give
    way. The order of the candidates does not matter: equal scores are ordered by item row.

    Args:
        candidates: In any order.
        catalogue: The items.
        k: Length of the list, 1 or more.
        config: Settings.
        conditions: Of this request.
        rng: Where chance comes from; needed with ``config.explore`` above 0, else not touched.

    Raises:
        ConfigError: If ``k`` is no number of items, there is no generator but slots to explore,
            diversity has neither vectors nor genres to go by, or as in `eligible`.
        DataError: If an item row, or a share of the history, is outside the catalogue.
    """
    _check(k, rng, config, conditions, catalogue)
    passed, kept_out = eligible(candidates, conditions, catalogue, config.rules)
    place = _in_order(candidates, np.flatnonzero(passed))
    n = min(k, len(place))
    n_explored = int(config.explore * n + 1e-9)  # 0.1 of 30 is 3
    limits = _limits(candidates, place, catalogue, config, k)
    levels = _levels(config.relax)
    chosen, broken = np.empty((2, n - n_explored), dtype=np.int64)
    aims = _aims(candidates, place[: config.pool], catalogue, config, conditions)
    if aims is None:
        size = fill_by_score(limits, levels, chosen, broken)
    else:
        size = fill_by_aims(limits, levels, aims, chosen, broken)
    drawn = []
    if n_explored and rng is not None:
        drawn = draw(limits, levels, _uncertainty(candidates, place), n_explored, rng)
    slots = _Slots(chosen[:size], broken[:size], drawn)
    return slots.ranked(candidates, place, config.relax, kept_out)


def _check(
    k: object,
    rng: object,
    config: RankingConfig,
    conditions: Conditions,
    catalogue: RankingCatalogue,
) -> None:
    """Everything that is wrong with a call, at once; callers need not have a type checker."""
    faults = []
    if not is_integer(k):
        faults.append(f"k must be a whole number of items, got {k!r}")
    elif k < 1:
        faults.append(f"k must be 1 or more, got {k}")
    if rng is not None and not isinstance(rng, np.random.Generator):
        faults.append(
            f"rng must be a numpy Generator, got {rng!r}; numpy.random.default_rng makes one"
        )
    if rng is None and config.explore > 0:
        faults.append(
            f"explore = {config.explore:g} draws items by chance and needs rng; pass a generator or set explore = 0"
        )
    history, n_genres = conditions.history, len(catalogue.genres)
    if history is not None and len(history) != n_genres:
        faults.append(
            f"history has {len(history)} shares, the catalogue {n_genres} genres; take its genre_shares"
        )
    if faults:
        raise ConfigError("; ".join(faults))


def _in_order(candidates: Candidates, places: Ints) -> Ints:
    """Places of candidates, best first, equal scores by item row."""
    falling = -candidates.score[places]
    order = np.argsort(falling)
    ordered = falling[order]
    # Equal scores are rare, and sorting by two keys takes three times as long.
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((candidates.item_row[places], falling))
    return places[order]


@cache
def _levels(relax: tuple[Limit, ...]) -> Ints:
    """The limits in force before anything gives way, after the first did, and so on."""
    gone = np.cumsum([0, *(BITS[name] for name in relax)], dtype=np.int64)
    return (GENRE | CREATOR | QUALITY) - gone


def _limits(
    candidates: Candidates,
    place: Ints,
    catalogue: RankingCatalogue,
    config: RankingConfig,
    k: int,
) -> Limits:
    if config.min_probability == 0:
        weak = np.zeros(len(place), dtype=np.bool_)
    elif candidates.probability is None:
        weak = np.ones(len(place), dtype=np.bool_)
    else:
        # Not "<": an unknown probability is not known to be large enough.
        weak = ~(candidates.probability[place] >= config.min_probability)
    share = config.max_genre_share
    return Limits(
        item_row=candidates.item_row[place].astype(np.int32),
        weak=weak,
        creator=catalogue.creator,
        genre_indptr=catalogue.genre_indptr,
        genre=catalogue.genre,
        creator_cap=config.max_per_creator or NO_LIMIT,
        genre_cap=NO_LIMIT if share == 1 else max(int(share * k + 1e-9), 1),
        n_of_creator=np.zeros(catalogue.n_creators, dtype=np.int64),
        n_of_genre=np.zeros(len(catalogue.genres), dtype=np.int64),
        taken=np.zeros(len(place), dtype=np.bool_),
    )


def _aims(
    candidates: Candidates,
    pool: Ints,
    catalogue: RankingCatalogue,
    config: RankingConfig,
    conditions: Conditions,
) -> Aims | None:
    """What the best candidates are worth beside their scores; None if score is all there is."""
    # A stranger has no history to be true to.
    history = conditions.history if config.calibrated > 0 else None
    if config.diversity == 0 and history is None:
        return None
    alike = np.empty((0, 0))
    if config.diversity > 0:
        vectors = None if candidates.vectors is None else candidates.vectors[pool]
        alike = similarity(candidates.item_row[pool].astype(np.int32), vectors, catalogue)
    return Aims(
        relevance=relevance(candidates.score[pool]),
        similarity=alike,
        diversity=config.diversity,
        volume=config.diversify == "dpp",
        history=np.empty(0) if history is None else history.astype(np.float64),
        calibrated=0.0 if history is None else config.calibrated,
    )


def _uncertainty(candidates: Candidates, place: Ints) -> Doubles:
    if candidates.uncertainty is None:
        return np.full(len(place), np.nan)
    return candidates.uncertainty[place].astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Slots:
    """What fills a list: by aims, with the limits that each breaks, and by chance."""

    chosen: Ints
    broken: Ints
    drawn: list[Draw]

    def ranked(
        self,
        candidates: Candidates,
        place: Ints,
        relax: tuple[Limit, ...],
        kept_out: dict[str, int],
    ) -> Ranked:
        """The list in its final order."""
        n = len(self.chosen) + len(self.drawn)
        by_chance = np.zeros(n, dtype=np.bool_)
        by_chance[positions(n, len(self.drawn))] = True
        slots = tuple(
            ExploredSlot(
                int(position), candidates.item_row[place[one.among]], one.probability, one.chosen
            )
            for position, one in zip(np.flatnonzero(by_chance), self.drawn, strict=True)
        )
        listed, propensity = np.empty(n, dtype=np.int64), np.ones(n)
        listed[~by_chance] = self.chosen
        listed[by_chance] = [one.among[one.chosen] for one in self.drawn]
        propensity[by_chance] = [slot.propensity for slot in slots]
        bits = int(np.bitwise_or.reduce(self.broken, initial=0))
        for one in self.drawn:
            bits |= one.broken
        where = place[listed]
        return Ranked(
            item_row=candidates.item_row[where].astype(np.int32),
            place=where,
            propensity=propensity,
            explored=slots,
            relaxed=tuple(name for name in relax if bits & BITS[name]),
            n_within=int(np.count_nonzero(self.broken == 0)),
            n_eligible=len(place),
            kept_out=kept_out,
        )
