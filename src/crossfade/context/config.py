"""Settings of the networks here that PyTorch is not needed to read."""

from typing import Literal, Self

from pydantic import model_validator

from crossfade.config import Field, Settings


class SynthesisConfig(Settings):
    """A companion network that makes features of what is known without events."""

    on: bool = Field(False, description="Make features; nothing else here counts without it.")
    network: Literal["mlp", "transformer"] = Field(
        "mlp",
        description="mlp: groups of features meet in their mean; transformer: each group looks at the others.",
    )
    combine: Literal["gated_sum", "attention"] = Field(
        "attention",
        description="gated_sum: what the groups give is added; attention: it is weighted first, by what each says "
        "of the row.",
    )
    width: int = Field(64, ge=4, multiple_of=4, description="Numbers that stand for a group.")
    units: int = Field(128, ge=1, description="Hidden units in which groups meet, to begin with.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout on groups and hidden units.")
    group_dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of groups hidden in a training step, row by row, so that no group is leant on alone.",
    )
    l1: float = Field(
        0.0,
        ge=0,
        description="Weight in the loss of the mean size of what is added, gates included.",
    )
    l2: float = Field(0.0, ge=0, description="The same for the mean square.")
    pace_limit: float = Field(
        1.0,
        ge=1,
        description="The companion's step size is that of the rest times the size of what it adds over the size of "
        "what it is added to, within this and one over this; 1: the same step size for all.",
    )
    grow_at: tuple[float, ...] = Field(
        (), description="Shares of the epochs after which `grow_units` hidden units join."
    )
    grow_units: int = Field(32, ge=1, description="Hidden units that join each time.")
    prune_at: tuple[float, ...] = Field(
        (),
        description="Shares of the epochs after which the `prune_units` hidden units go that matter least.",
    )
    prune_units: int = Field(32, ge=1, description="Hidden units that go each time.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("grow_at", "prune_at"):
            wrong = [share for share in getattr(self, name) if not 0 < share < 1]
            if wrong:
                raise ValueError(f"{name} needs shares above 0 and below 1, got {wrong[0]:g}")
        least = self.units
        moments = [(share, -self.prune_units) for share in self.prune_at]
        moments += [(share, self.grow_units) for share in self.grow_at]
        for _, change in sorted(moments):
            least += change
            if least < 1:
                raise ValueError(
                    f"prune_at and prune_units leave no hidden unit of {self.units}; prune fewer"
                )
        return self
