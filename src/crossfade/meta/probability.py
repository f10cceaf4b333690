"""From a blend's score to the probability that a candidate is wanted."""

from dataclasses import dataclass, replace

import numpy as np

from crossfade.arrays import as_part, pack_strings, part_of, unpack_strings
from crossfade.calibration.base import Calibrator
from crossfade.calibration.choosing import choose_calibrator
from crossfade.calibration.conformal import ConformalSets
from crossfade.calibration.grouping import GROUPINGS, TOGETHER, choose_grouping
from crossfade.calibration.mondrian import MondrianCalibrator, groups
from crossfade.calibration.registry import pack_calibrator, unpack_calibrator
from crossfade.errors import BundleError, DataError
from crossfade.fusion.base import LabelledSignals, Signals
from crossfade.rng import generator
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints

MISSED = 0.1
"""Share of the wanted candidates that conformal sets may leave out."""

_FOLDS = 3
"""For groupings: each fold fits a calibrator per kind."""


@dataclass(frozen=True, eq=False)
class Probability:
    """What a fusion model's scores say about being wanted, learned on lists it had not seen.

    Attributes:
        everybody: One calibrator for all candidates, chosen out of fold.
        grouping: Which kinds are calibrated apart, in `GROUPINGS`.
        kinds: The calibrators of those kinds; None where no kinds are told apart.
        sets: Candidates likely enough to hold all but `MISSED` of what is wanted; of
            probabilities, so that who wants much gets a large set. None in bundles of before.
        sets_by_history: The same with a threshold for each length of history, so that the
            promise holds for newcomers and regulars apart, at the price of larger sets.
    """

    everybody: Calibrator
    grouping: str = TOGETHER
    kinds: MondrianCalibrator | None = None
    sets: ConformalSets | None = None
    sets_by_history: ConformalSets | None = None

    def predict(self, score: Floats, signals: Signals, blocks: float = 1.0) -> Doubles:
        """Probability that each candidate is wanted.

        Args:
            score: From the fusion model, ``(B, L)``; NaN where it gives none.
            signals: What it was given.
            blocks: Within how many times the length of the calibrate block: an event that has a
                probability p in one block has ``1 − (1 − p)^n`` in n that do not depend on
                each other.

        Returns:
            Shape ``(B, L)``; NaN where the score is.
        """
        if self.kinds is None:
            once = self.everybody.predict(score)
        else:
            once = self.kinds.predict(score, GROUPINGS[self.grouping](kind_of(signals)))
        return once if blocks == 1 else -np.expm1(blocks * np.log1p(-once))

    def inside(self, probability: Doubles, kind: Ints, blocks: float = 1.0) -> tuple[Bools, Bools]:
        """Which candidates are in the conformal sets.

        Args:
            probability: From `predict`, of any shape.
            kind: From `kind_of`, of the same shape.
            blocks: What `predict` was given.

        Returns:
            For `sets` and for `sets_by_history`, of that shape.

        Raises:
            ValueError: If there are no sets.
        """
        if self.sets is None or self.sets_by_history is None:
            raise ValueError("these probabilities come without conformal sets; fit again")
        once = probability if blocks == 1 else -np.expm1(np.log1p(-probability) / blocks)
        history = GROUPINGS["history"](kind)
        return self.sets.contains(once), self.sets_by_history.contains(once, history)

    def pack(self) -> Arrays:
        """Everything `unpack` needs, as named arrays."""
        arrays = pack_calibrator("it", self.everybody)
        if self.kinds is not None:
            arrays |= pack_strings("grouping", [self.grouping])
            arrays |= as_part(self.kinds.state(), "kinds")
        for start, sets in (("sets", self.sets), ("history", self.sets_by_history)):
            if sets is not None:
                arrays |= as_part(sets.state(), start)
        return arrays

    @classmethod
    def unpack(cls, arrays: Arrays) -> "Probability":
        """The inverse of `pack`; bundles of before hold nothing but the one calibrator.

        Raises:
            BundleError: If a calibrator or a grouping is of a kind this version does not know.
            KeyError: If an array is missing.
        """
        everybody = unpack_calibrator("it", arrays)
        kinds, sets, fair = (part_of(arrays, start) for start in ("kinds", "sets", "history"))
        grouping = TOGETHER
        if kinds:
            (grouping,) = unpack_strings("grouping", arrays)
            if grouping not in GROUPINGS:
                raise BundleError(
                    f'there is no grouping "{grouping}" in this version; it has {", ".join(GROUPINGS)}'
                )
        return cls(
            everybody,
            grouping,
            MondrianCalibrator.restore(kinds) if kinds else None,
            ConformalSets.restore(sets) if sets else None,
            ConformalSets.restore(fair) if fair else None,
        )


def kind_of(signals: Signals) -> Ints:
    """Kind of each candidate as `groups` numbers them, shape ``(B, L)``.

    Without context everybody counts as a stranger, and items as of unknown age.
    """
    count = np.zeros((len(signals.mask), 1))
    if signals.user is not None and "log_positives" in signals.columns.user:
        logs = signals.user[:, signals.columns.user.index("log_positives"), None]
        count = np.rint(np.expm1(np.nan_to_num(logs).astype(np.float64)))
    age = np.full(signals.mask.shape, np.nan)
    if signals.item is not None and "log_age_days" in signals.columns.item:
        age = np.expm1(signals.item[:, :, signals.columns.item.index("log_age_days")])
    return groups(count, age)


def probability_of(score: Floats, lists: LabelledSignals, seed: int) -> Probability | None:
    """The probability of a model's scores on lists it did not learn from, chosen out of fold.

    Args:
        score: Of the model, ``(B, L)``; NaN where it gives none.
        lists: Of the calibrate block.
        seed: The run's one seed.

    Returns:
        None where fewer than two requests have a wanted candidate with a score.
    """
    there = np.isfinite(score)
    request = np.broadcast_to(np.arange(len(score))[:, None], score.shape)[there]
    rows, wanted = score[there].astype(np.float64), lists.relevant[there]
    kind = kind_of(lists.signals)[there]
    rng = generator(seed, "meta.probability")
    try:
        everybody = choose_calibrator(rows, wanted, request, rng).calibrator
        choice = choose_grouping(
            rows, wanted, request, kind, rng, make=type(everybody), n_folds=_FOLDS
        )
    except DataError:  # nobody, or a single request, wanted any of it
        return None
    found = Probability(everybody, choice.name, choice.calibrator)
    # On the rows that were learned from: calibrators keep the order of scores, so what they
    # learned is a level per kind. Folds would mix levels, and promise too much.
    chance = found.predict(score, lists.signals)[there]
    sets, by_history = (
        ConformalSets.fit(chance, wanted, MISSED, group=group)
        for group in (None, GROUPINGS["history"](kind))
    )
    return replace(found, sets=sets, sets_by_history=by_history)
