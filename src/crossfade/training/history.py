"""What a training run went through."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class History:
    """One entry per finished epoch; epochs count from 1.

    Attributes:
        loss: Mean of the batches' losses.
        validation: Value on validation, higher is better; empty without a validation.
        seconds: Time each epoch took, validation included.
        n_examples: Examples per epoch.
        stopped_early: Whether patience ran out before the epochs did.
    """

    loss: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    n_examples: int = 0
    stopped_early: bool = False

    @property
    def n_epochs(self) -> int:
        """Epochs that were finished."""
        return len(self.loss)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept: first of the best on validation, else the last."""
        if not self.validation:
            return self.n_epochs
        return self.validation.index(max(self.validation)) + 1

    @property
    def examples_per_s(self) -> tuple[float, ...]:
        """Rate of each epoch."""
        return tuple(self.n_examples / max(seconds, 1e-9) for seconds in self.seconds)

    def followed_by(self, loss: float, validation: float | None, seconds: float) -> "History":
        """The history one epoch later."""
        return replace(
            self,
            loss=(*self.loss, loss),
            validation=self.validation if validation is None else (*self.validation, validation),
            seconds=(*self.seconds, seconds),
        )

    def out_of_patience(self, patience: int, min_delta: float) -> bool:
        """Whether the last ``patience`` epochs brought no gain of more than ``min_delta``.

        A gain is measured from the value at the last gain, so a slow climb counts once
        it adds up.
        """
        if patience == 0 or not self.validation:
            return False
        mark, waited = self.validation[0], 0
        for value in self.validation[1:]:
            if value > mark + min_delta:
                mark, waited = value, 0
            else:
                waited += 1
        return waited >= patience

    def to_json(self) -> dict[str, Any]:
        """Plain values for a manifest or report."""
        return {
            "loss": list(self.loss),
            "validation": list(self.validation),
            "seconds": list(self.seconds),
            "n_examples": self.n_examples,
            "examples_per_s": list(self.examples_per_s),
            "best_epoch": self.best_epoch,
            "stopped_early": self.stopped_early,
        }
