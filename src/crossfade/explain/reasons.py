"""`Reason`: evidence that a score rests on, in units of that score; and how reasons are found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from crossfade.config import Field, Settings
from crossfade.explain.acclaim import UNRATED, Acclaim, AcclaimConfig, acclaim_level
from crossfade.recommenders.attribution import NONE, Attribution
from crossfade.types import Bools, Doubles, Ints, Rows

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


@dataclass(frozen=True, eq=False)
class _Known:
    """The bases that can say, and one numbering of evidence for all of them.

    Number 0 is the item's own popularity, then come items of the history by row, then the rest by
    type and name.

    Attributes:
        labels: Of the bases.
        found: What each says.
        named: Type and name of the rest.
        first: Number of the first of these.
    """

    labels: tuple[str, ...]
    found: Sequence[Attribution]
    named: tuple[tuple[ReasonType, str | None], ...]
    first: int

    @classmethod
    def of(cls, labels: tuple[str, ...], found: Sequence[Attribution]) -> "_Known":
        names = {_named(attribute) for part in found for attribute in part.attributes}
        last = max((int(part.history_row.max(initial=NONE)) for part in found), default=NONE)
        return cls(labels, found, tuple(sorted(names, key=str)), last + 2)

    def keys(self, part: Attribution) -> Ints:
        """Number of the evidence of each part."""
        number = {name: self.first + at for at, name in enumerate(self.named)}
        numbers = np.array([number[_named(name)] for name in part.attributes], dtype=np.int64)
        key = part.history_row.astype(np.int64) + 1
        owed = part.attribute != NONE
        key[owed] = numbers[part.attribute[owed]]
        return key

    @property
    def acclaim(self) -> int:
        """Number of how an item is rated; -1 where no base goes by that."""
        praise: tuple[ReasonType, None] = ("acclaim", None)
        return self.first + self.named.index(praise) if praise in self.named else -1

    def kind(self, key: int, strongest: int) -> tuple[ReasonType, str | None]:
        """Type and name of evidence; of an item of the history the ``strongest`` base decides."""
        if key >= self.first:
            return self.named[key - self.first]
        if key == 0:
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


@dataclass(frozen=True, eq=False)
class _Entries:
    """Parts of fused scores: what item, owed to what, from what item of the history, by what base."""

    place: Ints
    key: Ints
    history_row: Ints
    amount: Doubles
    base: Ints


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
        speaks = speaks + np.maximum(np.nan_to_num(contribution), 0)
    labels = tuple(label for label in given if label in attributions)
    known = _Known.of(labels, [attributions[label] for label in labels])
    rated = [UNRATED] * n if acclaim is None else acclaim
    levels = [acclaim_level(ratings, config.acclaim) for ratings in rated]
    acclaimed = np.array([level is not None for level in levels], dtype=np.bool_)
    entries = _joined(known, [given[label] for label in labels], acclaimed)
    of_item = _grouped(entries, speaks, config)
    return [
        tuple(
            _reason(entries, group, float(speaks[place]), known, config).rated(
                levels[place], rated[place]
            )
            for group in groups
        )
        for place, groups in enumerate(of_item)
    ]


def _joined(known: _Known, given: Sequence[Doubles], acclaimed: Bools) -> _Entries:
    """All parts in units of the fused score; those owed to ratings only of items that are acclaimed."""
    parts = []
    for base, (part, contribution) in enumerate(zip(known.found, given, strict=True)):
        key = known.keys(part)
        amount, keep = _amounts(part, key, contribution)
        keep &= (key != known.acclaim) | acclaimed[part.place]
        columns = (part.place, key, part.history_row, amount, np.full(len(key), base))
        parts.append([column[keep] for column in columns])
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return _Entries(nothing, nothing, nothing, nothing.astype(np.float64), nothing)
    return _Entries(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _amounts(part: Attribution, key: Ints, contribution: Doubles) -> tuple[Doubles, Bools]:
    """Parts of one base in units of the fused score, and which of them count."""
    owner = part.place * (key.max(initial=0) + 1) + key
    groups, group = np.unique(owner, return_inverse=True)
    sums = np.bincount(group, weights=part.part, minlength=len(groups))
    # Each group's place once: the last entry that writes it is as good as any.
    place = np.zeros(len(groups), dtype=np.int64)
    place[group] = part.place
    for_item = np.bincount(place, weights=np.maximum(sums, 0), minlength=len(part.rest))
    for_item = for_item + np.maximum(np.nan_to_num(part.rest), 0)
    useful = (np.nan_to_num(contribution) > 0) & (for_item > 0)
    per_part = np.divide(contribution, for_item, out=np.zeros(len(for_item)), where=useful)
    return per_part[part.place] * part.part, useful[part.place]


def _grouped(entries: _Entries, speaks: Doubles, config: ReasonConfig) -> list[list[Ints]]:
    """For each item the entries of each piece of evidence that is reason enough, largest first."""
    order = np.lexsort((entries.base, entries.key, entries.place))
    place, key = entries.place[order], entries.key[order]
    is_first = np.append(True, (np.diff(place) != 0) | (np.diff(key) != 0))[: len(order)]
    starts = np.flatnonzero(is_first)
    total = np.add.reduceat(entries.amount[order], starts) if len(starts) else np.zeros(0)
    owner = place[starts]
    enough = np.flatnonzero(total >= config.min_share * speaks[owner])
    # Stable, so that equal ones keep the order of their evidence.
    enough = enough[np.lexsort((-total[enough], owner[enough]))]
    stops = np.append(starts[1:], len(order))
    of_item: list[list[Ints]] = [[] for _ in speaks]
    for at in enough:
        if len(of_item[owner[at]]) < config.max_reasons:
            of_item[owner[at]].append(order[starts[at] : stops[at]])
    return of_item


def _reason(
    entries: _Entries, group: Ints, speaks: float, known: _Known, config: ReasonConfig
) -> Reason:
    """One piece of evidence, from its entries."""
    amount = entries.amount[group].tolist()
    of_base = _sums(entries.base[group].tolist(), amount)
    of_row = _sums(entries.history_row[group].tolist(), amount)
    rows = tuple(row for row in of_row if row != NONE and of_row[row] > 0)[: config.max_items]
    total = float(sum(amount))
    kind, name = known.kind(int(entries.key[group[0]]), strongest=next(iter(of_base)))
    return Reason(
        type=kind,
        contribution=total,
        share=min(total / speaks, 1.0),
        bases=tuple(known.labels[base] for base, given in of_base.items() if given > 0),
        history_rows=rows,
        name=name,
    )


def _sums(keys: Iterable[int], amounts: Iterable[float]) -> dict[int, float]:
    """Sum by key, largest first, equal ones by key."""
    sums: dict[int, float] = {}
    for key, amount in zip(keys, amounts, strict=True):
        sums[key] = sums.get(key, 0.0) + amount
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))
