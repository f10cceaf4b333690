"""`Reason`: evidence that a score rests on, in units of that score; and how reasons are found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from crossfade.config import Field, Settings
from crossfade.explain.acclaim import UNRATED, Acclaim, AcclaimConfig, acclaim_level
from crossfade.explain.splitting import Largest, Parts, share_out
from crossfade.recommenders.attribution import Attribution
from crossfade.types import Bools, Doubles, Rows

ReasonType = Literal[
    "history",
    "session",
    "genre",
    "mood",
    "creator",
    "description",
    "sound",
    "guessed_sound",
    "people",
    "taste",
    "popularity",
    "acclaim",
]

LABELS: dict[str, ReasonType] = {"genres": "genre", "moods": "mood"}

NAMELESS: tuple[ReasonType, ...] = (
    "creator",
    "description",
    "sound",
    "guessed_sound",
    "acclaim",
)
"""Types whose attribute is spelled like the type."""


class ReasonConfig(Settings):
    """When evidence is a reason."""

    min_share: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Evidence of a smaller share of what speaks for an item is no reason.",
    )
    max_reasons: int = Field(4, ge=1, description="Most reasons kept for an item, largest first.")
    max_items: int = Field(
        3, ge=1, description="Items of the history kept as evidence of one label or creator."
    )
    acclaim: AcclaimConfig = Field(
        AcclaimConfig(), description="When ratings are many and good enough to speak of."
    )


@dataclass(frozen=True)
class Reason:
    """One piece of evidence and what it gives to a score.

    Attributes:
        type: What kind of evidence it is.
        contribution: In units of the fused score, above 0.
        share: Of all that speaks for the item, in (0, 1].
        bases: Labels of the bases it comes from, the one that gives most first; empty where it
            comes from the fusion model itself.
        history_rows: Items of the history it rests on, the one that gives most first.
        name: Genre, mood, or how well the item is rated; None for other types.
        n_ratings: Ratings behind acclaim; None for other types.
    """

    type: ReasonType
    contribution: float
    share: float
    bases: tuple[str, ...] = ()
    history_rows: tuple[int, ...] = ()
    name: str | None = None
    n_ratings: int | None = None

    def rated(self, level: str | None, ratings: Acclaim) -> "Reason":
        """With how well the item is rated, where that is the reason."""
        if self.type != "acclaim":
            return self
        return replace(self, name=level, n_ratings=ratings.n_ratings)

    def to_json(self, item_id: Callable[[int], str]) -> dict[str, Any]:
        """Plain values; ``item_id`` gives the outside name of an item row."""
        return {
            "type": self.type,
            "evidence": {
                "items": [item_id(row) for row in self.history_rows],
                "name": self.name,
                "n_ratings": self.n_ratings,
            },
            "contribution": self.contribution,
            "share": self.share,
            "bases": list(self.bases),
        }


def cited_rows(reasons: Sequence[Reason]) -> Rows | None:
    """Items of the history that some reasons rest on, each once, as `measure_fidelity` takes them.

    Returns:
        Empty where reasons rest on something else, None where there is no reason.
    """
    if not reasons:
        return None
    rows = dict.fromkeys(row for reason in reasons for row in reason.history_rows)
    return np.array(list(rows), dtype=np.int32)


def find_reasons(
    contributions: Mapping[str, Doubles],
    attributions: Mapping[str, Attribution],
    *,
    residual: Doubles | None = None,
    acclaim: Sequence[Acclaim] | None = None,
    config: ReasonConfig | None = None,
) -> list[tuple[Reason, ...]]:
    """Reasons for each item of a list, largest contribution first, ties by evidence.

    What a base contributes to a fused score is split over its evidence in proportion to the
    parts of the base's own score that speak for the item, so reasons never claim more than the
    base gave. The same evidence named by several bases is one reason, less what it takes away in
    a base where it speaks against the item. Bases that rank the item below others say nothing.

    Args:
        contributions: What each base gives to the fused scores, ``(L,)`` by label; NaN where it
            had no say. With ``residual`` they add up to the scores.
        attributions: What the scores of bases rest on, by label, for the same L items. Bases
            that are left out cannot say, so what they contribute is nobody's reason.
        residual: Part of each fused score that no base accounts for, ``(L,)``; None is 0.
        acclaim: Ratings of each item, L of them; None without any. Where a base says that a score
            owes something to how an item is rated, this is a reason only if the ratings are many
            and good enough, see `acclaim_level`.
        config: Settings; the defaults if None.

    Returns:
        L tuples; an empty one where nothing that is known of the item is reason enough.

    Raises:
        ValueError: If the lengths differ.
    """
    config = config or ReasonConfig()
    given = {label: np.asarray(c, dtype=np.float64) for label, c in contributions.items()}
    sizes = {len(c) for c in given.values()} | {len(a.item_row) for a in attributions.values()}
    sizes |= {len(part) for part in (residual, acclaim) if part is not None}
    if len(sizes) > 1:
        raise ValueError(
            f"contributions, attributions, residual and acclaim speak of lists of {sorted(sizes)} items; "
            "give all of them for the same list"
        )
    n = sizes.pop() if sizes else 0
    speaks = np.zeros(n) if residual is None else np.maximum(residual, 0)
    for contribution in given.values():
        speaks = speaks + np.fmax(contribution, 0)  # NaN is 0
    rated = [UNRATED] * n if acclaim is None else acclaim
    levels = [acclaim_level(ratings, config.acclaim) for ratings in rated]
    acclaimed = np.array([level is not None for level in levels], dtype=np.bool_)
    labels = tuple(label for label in given if label in attributions)
    evidence = _Evidence.of(labels, [attributions[label] for label in labels])
    found = evidence.largest([given[label] for label in labels], speaks, acclaimed, config)
    of_item = evidence.reasons(found, speaks)
    return [
        tuple(reason.rated(level, ratings) for reason in reasons)
        for reasons, level, ratings in zip(of_item, levels, rated, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What the bases that can say say, with a number for each piece of evidence; see `Parts`.

    Attributes:
        labels: Of the bases.
        found: What each says.
        named: Type and name of the attributes, in the order of their numbers.
        parts: Of all bases.
    """

    labels: tuple[str, ...]
    found: Sequence[Attribution]
    named: tuple[tuple[ReasonType, str | None], ...]
    parts: Parts

    @classmethod
    def of(cls, labels: tuple[str, ...], found: Sequence[Attribution]) -> "_Evidence":
        names = [[_named(attribute) for attribute in part.attributes] for part in found]
        named = tuple(sorted({name for part in names for name in part}, key=str))
        number = {name: at for at, name in enumerate(named)}
        parts = Parts.of(found, [[number[name] for name in part] for part in names])
        return cls(labels, found, named, parts)

    def largest(
        self,
        given: Sequence[Doubles],
        speaks: Doubles,
        acclaimed: Bools,
        config: ReasonConfig,
    ) -> Largest:
        """For each item what is reason enough; ratings only where they are acclaim."""
        parts, praise = self.parts, ("acclaim", None)
        n_numbers = len(parts.rows) + len(self.named)
        none = np.zeros((0, len(speaks)))
        rest, shared = (
            np.concatenate([none, *(one[None] for one in of_bases)])
            for of_bases in ([part.rest for part in self.found], given)
        )
        told = (parts.starts, parts.place, parts.number, parts.amount)
        amount = share_out(*told, rest, shared, n_numbers)
        if praise in self.named:
            is_praise = parts.number == len(parts.rows) + self.named.index(praise)
            amount[is_praise & ~acclaimed[parts.place]] = 0
        least, shape = config.min_share * speaks, (config.max_reasons, config.max_items)
        return Largest.of(replace(parts, amount=amount), n_numbers, least, shape)

    def reasons(self, found: Largest, speaks: Doubles) -> Iterator[list[Reason]]:
        """Those of each item."""
        rows = self.parts.rows.tolist()
        lines = (found.number, found.total, found.bases, found.history)
        for all_speak, *line in zip(speaks.tolist(), *(one.tolist() for one in lines), strict=True):
            reasons = []
            for number, total, bases, history in zip(*line, strict=True):
                if number < 0:
                    break
                kind, name = self._kind(number, strongest=bases[0])
                reasons.append(
                    Reason(
                        type=kind,
                        contribution=total,
                        share=min(total / all_speak, 1.0),
                        bases=tuple([self.labels[base] for base in bases if base >= 0]),
                        history_rows=tuple([rows[at] for at in history if at >= 0]),
                        name=name,
                    )
                )
            yield reasons

    def _kind(self, number: int, strongest: int) -> tuple[ReasonType, str | None]:
        """Type and name of evidence; of an item of the history the ``strongest`` base decides."""
        if number >= len(self.parts.rows):
            return self.named[number - len(self.parts.rows)]
        if number == 0:
            return "popularity", None
        return ("session" if self.found[strongest].in_session else "history"), None


def _named(attribute: str) -> tuple[ReasonType, str | None]:
    """Type and name of what a part is owed to; for its spelling see `Attribution`."""
    head, _, rest = attribute.partition(":")
    if head in LABELS:
        return LABELS[head], rest
    if head == "people":
        return "people", rest.removeprefix("taste:").partition(":")[2]
    if head == "taste":
        return "taste", rest.partition(":")[2]
    return next(kind for kind in NAMELESS if kind == head), None
