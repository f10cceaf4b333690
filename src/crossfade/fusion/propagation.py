"""How far a blend moves because what it reads of candidates is partly guessed.

Shapes: B requests, L candidates, Ci columns of them, F of which may be guesses, n draws.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.context.columns import columns_of
from crossfade.fusion.auto import AutoFusion
from crossfade.fusion.base import Fusion, Signals
from crossfade.fusion.static import StaticBlend
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Floats, Ints

REQUESTS_AT_ONCE = 64
"""Requests drawn together, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Guesses:
    """How surely the values in some columns of candidates are known.

    Attributes:
        columns: Names of the F columns.
        sigma: Standard deviation of each value in the unit of its column, ``(B, L, F)``; 0 where it
            was measured, NaN where nobody says. Not read where there is no value.
        low: Least possible value of each column, ``(F,)``.
        high: Largest possible value, ``(F,)``.
    """

    columns: tuple[str, ...]
    sigma: Floats
    low: Floats
    high: Floats

    def __post_init__(self) -> None:
        n = len(self.columns)
        shapes = self.sigma.shape[-1:], self.low.shape, self.high.shape
        if self.sigma.ndim != 3 or any(shape != (n,) for shape in shapes):
            raise ValueError(
                f"{n} columns need sigma (B, L, {n}) and bounds ({n},), got "
                f"{self.sigma.shape}, {self.low.shape} and {self.high.shape}"
            )
        faulty = int(((self.sigma < 0) | np.isinf(self.sigma)).sum())
        if faulty:
            raise ValueError(f"{faulty:,} sigmas are infinite or below 0; 0 means measured")


def guess_spread(
    model: Fusion, signals: Signals, guesses: Guesses, n: int, seed: int
) -> Floats | None:
    """Standard deviation of each candidate's score over what its guessed values could be.

    Every guessed value is drawn n times from a normal around the guess, and put at the nearer end
    of its range where it falls outside: audio features do lie at their ends. The score is in
    standard deviations of the scores of the request's list, as in `zscore`, whose unit is that
    of `Fused.uncertainty` of `auto`. Mean and deviation of the list are held where the guesses
    put them, and so are all other candidates; what else is known of the candidate, such as the
    confidence in its values, and the scores of the bases are held too. So a candidate all of whose
    values were measured has a spread of exactly 0, whoever else is on the list, and a common shift
    or a wider list, which changes no order, is no doubt about anybody.

    A place on the list has the same draws in every request and for every length of list: what is
    said of one request does not depend on the others. The draws of different features have a
    sample correlation of exactly 0 and a sample deviation of exactly 1, so where a score is a
    linear function of the values, and none meets its bound, the spread has no sampling error.

    Args:
        model: Fitted.
        signals: B requests.
        guesses: Of their candidates; columns that the signals lack are passed over.
        n: How many draws, more than there are columns of guesses.
        seed: Equal seeds give equal answers.

    Returns:
        Shape ``(B, L)``: NaN where the model gives no score, where nobody says how far off a
        guess may be, and for guesses in lists whose scores are all equal, which have no unit.
        None where the signals have none of the columns.

    Raises:
        ValueError: If the shapes differ, or there are too few draws.
    """
    places = columns_of(signals.columns.item, guesses.columns)
    there = places >= 0
    if signals.item is None or not there.any():
        return None
    if guesses.sigma.shape[:2] != signals.mask.shape:
        raise ValueError(f"guesses {guesses.sigma.shape} for lists {signals.mask.shape}")
    known = np.isfinite(signals.item[..., places[there]])
    sigma = np.where(known, guesses.sigma[..., there], np.float32(0))
    guessed = (sigma != 0).any(axis=-1)  # also where it is not said how far
    draws = standard_draws(sigma.shape[1], n, sigma.shape[2], seed)
    bounds = guesses.low[there], guesses.high[there]

    out = np.full(signals.mask.shape, np.nan, dtype=np.float32)
    for rows in _pieces(np.arange(len(out))):
        known = ~np.isnan(model.forward(signals.take(rows)).score)
        out[rows] = np.where(known, np.float32(0), np.float32(np.nan))
    for rows in _pieces(np.flatnonzero(guessed.any(axis=1) & _reads_context(model, signals))):
        piece = signals.take(rows)
        drawn = _drawn(piece, places[there], sigma[rows], bounds, draws)
        out[rows] += np.where(guessed[rows], _deviation(_scorer(model, piece), drawn), 0)
    out[np.isnan(sigma).any(axis=-1)] = np.nan
    return out


def together(sources: Sequence[NDArray[Any]]) -> Doubles:
    """Standard deviation of a sum of independent errors, each of a known standard deviation.

    Args:
        sources: At least one, of one shape and unit.

    Returns:
        Root of the summed squares; NaN where any is NaN, since a source that says nothing is not a
        source without error.
    """
    squares = np.square(np.stack(list(sources)).astype(np.float64))
    return np.asarray(np.sqrt(squares.sum(axis=0)))


def standard_draws(n_places: int, n: int, n_features: int, seed: int) -> Doubles:
    """Standard normal draws whose sample moments are exact, ``(n_places, n, n_features)``.

    Each place has draws of its own, the same however many places there are. Over the n draws every
    feature has mean 0 and variance 1, and no two are correlated.

    Raises:
        ValueError: With no more draws than features, which cannot all be uncorrelated.
    """
    if n <= n_features:
        raise ValueError(
            f"{n} draws of {n_features} features; take more than {n_features}, so that none depend"
        )
    rng = generator(seed, "fusion.propagation")
    raw = rng.standard_normal((n_places, n, n_features))
    # Columns that are centred stay so when they are made orthogonal.
    directions, _ = np.linalg.qr(raw - raw.mean(axis=1, keepdims=True))
    return np.asarray(directions * np.sqrt(n - 1))


def _pieces(rows: Ints) -> Iterator[Ints]:
    for start in range(0, len(rows), REQUESTS_AT_ONCE):
        yield rows[start : start + REQUESTS_AT_ONCE]


def _drawn(
    signals: Signals, places: Ints, sigma: Floats, bounds: tuple[Floats, Floats], draws: Doubles
) -> Iterator[Signals]:
    """The signals as they are, then with each draw in the place of what is guessed, one at a time."""
    assert signals.item is not None
    yield signals
    guess, width = signals.item[..., places], np.nan_to_num(sigma)
    for draw in draws.swapaxes(0, 1):  # (L, F)
        value = np.clip(guess + width * draw, *bounds).astype(np.float32)
        item = signals.item.copy()
        item[..., places] = np.where(width > 0, value, guess)
        yield replace(signals, item=item)


def _deviation(score: Callable[[Signals], Doubles], drawn: Iterator[Signals]) -> Doubles:
    """Of the scores over the draws, ``(B, L)``, one draw in memory at a time (Welford)."""
    guess = score(next(drawn))
    middle, squares = np.zeros_like(guess), np.zeros_like(guess)
    count = 0
    for count, signals in enumerate(drawn, start=1):
        moved = score(signals) - guess
        away = moved - middle
        middle += away / count
        squares += away * (moved - middle)
    return np.asarray(np.sqrt(squares / (count - 1)))


def _reads_context(model: Fusion, signals: Signals) -> Bools:
    """Which requests may move at all, ``(B,)``: where the static blend serves, nothing is read."""
    if isinstance(model, AutoFusion):
        return model.serves(signals)
    return np.ones(len(signals.mask), dtype=np.bool_)


def _scorer(model: Fusion, signals: Signals) -> Callable[[Signals], Doubles]:
    """Scores in standard deviations of the lists as they are given here, up to a constant each.

    `auto` scales each of its models on the list and adds them up by their shares. Asked as a
    whole it would scale anew in every draw, and a guess about one candidate would move the others.
    """
    parts: list[tuple[Fusion, float]] = [(model, 1.0)]
    if isinstance(model, AutoFusion):
        parts = [(model.members[name], share) for name, share in model.shares.items() if share > 0]
    units = np.stack([_unit(part.forward(signals).score) for part, _ in parts])
    # A model that says the same of all candidates has a say of 0, as in `zscore`.
    units = np.where(units > 0, units, np.where((units > 0).any(axis=0), np.inf, np.nan))
    blend = StaticBlend(np.array([share for _, share in parts], dtype=np.float32))

    def score(drawn: Signals) -> Doubles:
        said = [
            part.forward(drawn).score / unit for (part, _), unit in zip(parts, units, strict=True)
        ]
        return blend.forward(Signals(np.stack(said, axis=-1), drawn.mask)).score.astype(np.float64)

    return score


def _unit(score: Floats) -> Doubles:
    """Standard deviation of each list, ``(B, 1)``; 0 where all scores are equal or there is none."""
    known = ~np.isnan(score)
    n = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, score, 0.0).sum(axis=1, keepdims=True) / n
    away = np.where(known, score - mean, 0.0)
    equal = np.ptp(np.where(known, score, mean), axis=1, keepdims=True) == 0
    return np.where(equal, 0.0, np.sqrt(np.square(away).sum(axis=1, keepdims=True) / n))
