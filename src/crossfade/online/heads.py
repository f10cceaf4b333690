"""`Head`: what a person's recent reactions say of the bases, as plain data outside the model."""

import json
from dataclasses import dataclass
from typing import Self

import numpy as np

from crossfade.config import Field, Settings
from crossfade.errors import DataError
from crossfade.types import Doubles


class HeadConfig(Settings):
    """How heads are fitted, and when they count."""

    steps: int = Field(2, ge=1, le=10, description="Most Newton steps for each reaction.")
    trust_radius: float = Field(
        1.0,
        gt=0,
        description="Longest a tilt may be: at 1 the bases together add about as much as the blend itself says.",
    )
    ridge: float = Field(
        1.0, gt=0, description="Pull of the tilt to 0, against the losses of all reactions."
    )
    sharpness: float = Field(
        0.5, gt=0, description="Log-odds that one spread of the blended scores stands for."
    )
    n_held_back: int = Field(
        10,
        ge=1,
        description="Latest reactions on which the head must have won, each before it was learned from.",
    )
    min_events: int = Field(
        3, ge=1, description="Reactions to candidates before a head can count at all."
    )
    evidence: float = Field(
        1.0,
        ge=0,
        description="A head counts where its gains sum to more than so many roots of the sum of their squares.",
    )
    max_events: int = Field(
        10, ge=1, description="Newest reactions learned from in one go; older ones are passed over."
    )
    deadline_ms: float = Field(
        20.0,
        gt=0,
        description="No further reaction is begun after so long; the next time goes on from there.",
    )
    ttl_hours: float = Field(
        720.0, gt=0, description="A head counts for so long after it last learned."
    )


@dataclass(frozen=True, eq=False)
class Head:
    """How one person's reactions differ from what a blend makes of everybody.

    Attributes:
        version: Of the system that it belongs to.
        bases: Labels, in the order of what follows.
        learned_us: Time of the newest reaction that was looked at.
        expires_us: From when on it counts no more.
        n_reactions: To candidates, all of which it learned from.
        tilt: Spreads of the blend per spread of each base, ``(S,)``; see `fusion.tilting`.
        curvature: Of all losses so far, ``(S, S)``.
        pull: Such that the losses so far are about ``w·curvature·w / 2 - pull·w``, ``(S,)``.
        gains: Of the latest reactions, by how much the head as it was before each raised the
            discounted gain of the item, oldest first; the other way round for unwanted ones.
        wins: Whether these gains are enough; else the head is kept but does not count.
    """

    version: str
    bases: tuple[str, ...]
    learned_us: int
    expires_us: int
    n_reactions: int
    tilt: Doubles
    curvature: Doubles
    pull: Doubles
    gains: tuple[float, ...]
    wins: bool

    @classmethod
    def empty(cls, version: str, bases: tuple[str, ...], learned_us: int) -> Self:
        """That of somebody who reacted to nothing yet."""
        n = len(bases)
        nothing = np.zeros(n)
        return cls(
            version, bases, learned_us, learned_us, 0, nothing, np.zeros((n, n)), nothing, (), False
        )

    def belongs(self, version: str, bases: tuple[str, ...], now_us: int) -> bool:
        """Whether it is of this system, not expired, and knows nothing of after ``now_us``."""
        mine = (self.version, self.bases) == (version, bases)
        return mine and self.learned_us < now_us < self.expires_us

    def to_json(self) -> str:
        """All of it as text."""
        arrays = {name: getattr(self, name).tolist() for name in ("tilt", "curvature", "pull")}
        return json.dumps({**vars(self), **arrays}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`.

        Raises:
            DataError: If the text is no head.
        """
        try:
            told = json.loads(text)
            arrays = {name: np.array(told[name], dtype=np.float64) for name in _SHAPES}
            plain = {"bases": tuple(told["bases"]), "gains": tuple(told["gains"])}
            head = cls(**{**told, **arrays, **plain})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"this is no head ({error}); delete it") from error
        n = len(head.bases)
        for name, axes in _SHAPES.items():
            values = getattr(head, name)
            if values.shape != (n,) * axes or not np.isfinite(values).all():
                raise DataError(f"{name} of a head of {n} bases is {values.shape}; delete it")
        return head


_SHAPES = {"tilt": 1, "curvature": 2, "pull": 1}
