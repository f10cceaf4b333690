"""From reasons to one sentence, or to none where nothing is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from crossfade.config import Field, Settings
from crossfade.explain.reasons import Reason
from crossfade.explain.words import Words
from crossfade.types import Doubles, Floats


class SentenceConfig(Settings):
    """How much is said, and how sure it sounds; thresholds of the source document."""

    max_clauses: int = Field(2, ge=1, description="Most kinds of reason in a sentence.")
    max_names: int = Field(2, ge=1, description="Most items, genres or moods named in a clause.")
    very_sure: float = Field(
        0.8, ge=0, le=1, description="Above this probability an item is highly recommended."
    )
    sure: float = Field(0.6, ge=0, le=1, description="Above this it is recommended.")
    fairly_sure: float = Field(
        0.4, ge=0, le=1, description="Above this it is suggested; else somebody might like it."
    )
    adapted: float = Field(
        0.01,
        ge=0,
        le=1,
        description="An adaptation to the person is told of where it moved a weight of the item by more than this.",
    )

    @model_validator(mode="after")
    def _descending(self) -> Self:
        if not self.very_sure >= self.sure >= self.fairly_sure:
            raise ValueError(
                "very_sure, sure and fairly_sure must not rise, "
                f"got {self.very_sure}, {self.sure} and {self.fairly_sure}"
            )
        return self


@dataclass(frozen=True)
class UncertaintyLimits:
    """Which uncertainty is small or large, from that of many served items.

    Attributes:
        established: Below it a match is well established.
        discovery: Above it an item is a discovery.
        exploratory: Above it too little is known to call it more than a try.
    """

    established: float
    discovery: float
    exploratory: float

    def __post_init__(self) -> None:
        if not self.established <= self.discovery <= self.exploratory:
            raise ValueError(f"limits of uncertainty must not fall, got {self}")

    @classmethod
    def of(
        cls, uncertainty: Floats | Doubles, shares: tuple[float, float, float] = (0.2, 0.7, 0.9)
    ) -> "UncertaintyLimits":
        """From uncertainties of the same fusion model, so that given shares of them lie below.

        Args:
            uncertainty: Any shape; NaN is left out.
            shares: For the three limits, ascending.

        Raises:
            ValueError: If there is no uncertainty at all.
        """
        known = uncertainty[~np.isnan(uncertainty)]
        if not len(known):
            raise ValueError("limits need the uncertainty of at least one item, got none")
        return cls(*(float(limit) for limit in np.quantile(known, shares)))


@dataclass(frozen=True)
class Certainty:
    """How sure the system is of one item.

    Attributes:
        probability: Calibrated probability that the item is wanted; None where there is none.
            It opens the sentence like a small one: nothing is known that would allow more.
        uncertainty: Of the fused score; None where the model states none.
        limits: What is small and large; None says nothing of uncertainty.
        adapted: Whether the gate that weighed the bases was adapted to this person's reactions, and
            that moved the weights.
    """

    probability: float | None
    uncertainty: float | None = None
    limits: UncertaintyLimits | None = None
    adapted: bool = False


@dataclass(frozen=True)
class Note:
    """Something that is so, beside the reasons: nothing that the score was made of.

    Attributes:
        type: ``established``, ``discovery`` or ``exploratory`` says how sure the score is,
            ``acclaim`` how the item is rated, ``adapted`` that the gate was adapted to the person.
        name: How well the item is rated, see `acclaim_level`; None for other types.
        n_ratings: Ratings behind acclaim; None for other types.
    """

    type: Literal["established", "discovery", "exploratory", "acclaim", "adapted"]
    name: str | None = None
    n_ratings: int | None = None

    def said(self, words: Words) -> str:
        """In words."""
        if self.n_ratings is None:
            return words.say(f"note.{self.type}")
        return words.say(f"note.{self.name}", n_ratings=f"{self.n_ratings:,}")


@dataclass(frozen=True)
class Names:
    """What people call things.

    Attributes:
        title: Of an item row.
        creator: Of an item row; None where it is not known.
    """

    title: Callable[[int], str]
    creator: Callable[[int], str | None]


@dataclass(frozen=True)
class Explanation:
    """Why one item is shown.

    Attributes:
        item_row: The item.
        reasons: Largest contribution first; empty where nothing is known.
        sentence: The same in words; None where no reason can be put into words.
        notes: What the sentence says in brackets.
    """

    item_row: int
    reasons: tuple[Reason, ...]
    sentence: str | None
    notes: tuple[Note, ...] = ()

    def to_json(self, item_id: Callable[[int], str]) -> dict[str, Any]:
        """Plain values; ``item_id`` gives the outside name of an item row."""
        return {
            "item_id": item_id(self.item_row),
            "sentence": self.sentence,
            "reasons": [reason.to_json(item_id) for reason in self.reasons],
            "notes": [vars(note) for note in self.notes],
        }


def explain(
    item_row: int,
    reasons: Sequence[Reason],
    certainty: Certainty,
    words: Words,
    *,
    names: Names,
    acclaim: Note | None = None,
    config: SentenceConfig | None = None,
) -> Explanation:
    """An item's reasons and the sentence they make.

    The sentence says the reasons of the largest contributions and adds nothing to them but
    notes. Without a reason there is no sentence: there is no phrase for "something or other".

    Args:
        item_row: The item.
        reasons: Largest contribution first.
        certainty: How sure the system is of it.
        words: Phrases.
        names: What the items are called.
        acclaim: How the item is rated, where that is worth a note; left out where it is a reason.
        config: Settings; the defaults if None.
    """
    config = config or SentenceConfig()
    notes = _notes(certainty)
    if acclaim is not None and all(reason.type != "acclaim" for reason in reasons):
        notes.append(acclaim)
    clauses = _clauses(item_row, reasons, words, names, config)
    sentence = None
    if clauses:
        said = {"opening": _opening(certainty, words, config), "reasons": words.listed(clauses)}
        if notes:
            said["notes"] = words.noted([note.said(words) for note in notes])
        sentence = words.say("sentence.noted" if notes else "sentence.plain", **said)
    return Explanation(item_row, tuple(reasons), sentence, tuple(notes))


def _clauses(
    item_row: int, reasons: Sequence[Reason], words: Words, names: Names, config: SentenceConfig
) -> list[str]:
    """One clause for each kind of reason, in the order in which the kinds first come up."""
    of_type: dict[str, list[Reason]] = {}
    for reason in reasons:
        of_type.setdefault(reason.type, []).append(reason)
    clauses = [_clause(item_row, same, words, names, config) for same in of_type.values()]
    return [clause for clause in clauses if clause is not None][: config.max_clauses]


def _clause(
    item_row: int, same: Sequence[Reason], words: Words, names: Names, config: SentenceConfig
) -> str | None:
    """Reasons of one type as one clause; None where a name is missing that it would need."""
    kind = same[0].type
    if kind == "popularity":
        return words.say("reason.popularity")
    if kind == "acclaim":
        return words.say(f"reason.{same[0].name}", n_ratings=f"{same[0].n_ratings:,}")
    if kind == "creator":
        creator = names.creator(item_row)
        return None if creator is None else words.say("reason.creator", creator=creator)
    if kind in {"history", "session", "description", "sound", "guessed_sound"}:
        rows = [row for reason in same for row in reason.history_rows]
        titles = list(dict.fromkeys(names.title(row) for row in rows))[: config.max_names]
        items = [words.say("name.item", title=title) for title in titles]
        return words.say(f"reason.{kind}", items=words.listed(items)) if items else None
    labels = [reason.name for reason in same if reason.name][: config.max_names]
    return words.say(f"reason.{kind}", names=words.listed(labels)) if labels else None


def _opening(certainty: Certainty, words: Words, config: SentenceConfig) -> str:
    probability = certainty.probability
    for level in ("very_sure", "sure", "fairly_sure"):
        if probability is not None and probability > getattr(config, level):
            return words.say(f"opening.{level}")
    return words.say("opening.unsure")


def _notes(certainty: Certainty) -> list[Note]:
    """What is known of how sure the score is, and whether the gate was adapted."""
    notes = []
    limits, uncertainty = certainty.limits, certainty.uncertainty
    if limits is not None and uncertainty is not None:
        if uncertainty > limits.exploratory:
            notes.append(Note("exploratory"))
        elif uncertainty > limits.discovery:
            notes.append(Note("discovery"))
        elif uncertainty < limits.established:
            notes.append(Note("established"))
    if certainty.adapted:
        notes.append(Note("adapted"))
    return notes
