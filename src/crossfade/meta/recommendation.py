"""Lists of recommendations, and how they look."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from crossfade.data import Dataset
from crossfade.notebook import html_table
from crossfade.types import Floats, Rows

COLUMNS = {
    "rank": pl.Int64(),
    "item_id": pl.String(),
    "title": pl.String(),
    "creator": pl.String(),
    "score": pl.Float64(),
    "probability": pl.Float64(),
    "uncertainty": pl.Float64(),
    "propensity": pl.Float64(),
    "why": pl.String(),
}
"""Of a list as a table."""


@dataclass(frozen=True)
class Recommendation:
    """One line of a list.

    Attributes:
        rank: 1 for the best.
        item_id: The item.
        title: From the catalogue, or None.
        creator: From the catalogue, or None.
        score: Blended score; comparable within one list only.
        weights: Share each base had in this score, by label; empty where the model that
            serves weighs no bases.
        probability: Calibrated probability that the person wants the item within the horizon of
            the protocol's blocks; None where no calibrated model gave the score.
        uncertainty: How unsure the score is, larger is less sure; None where nothing is said of it.
        propensity: Chance that the item stands where it does; 1 but for explored places.
        why: The reasons as a sentence; None where none was asked for, or none is known.
        reasons: What the score rests on, the largest contribution first; see `explain.reasons`.
        notes: What else the sentence says, such as that the item is a discovery; see `Note`.
    """

    rank: int
    item_id: str
    title: str | None
    creator: str | None
    score: float
    weights: dict[str, float] = field(repr=False)
    probability: float | None = None
    uncertainty: float | None = None
    propensity: float = 1.0
    why: str | None = None
    reasons: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    notes: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Title and creator, or the id where there is no title."""
        # Where artists are the items, title and creator are one name.
        names = dict.fromkeys(name for name in (self.title or self.item_id, self.creator) if name)
        return " — ".join(names)

    def _repr_html_(self) -> str:
        rows = [
            (
                reason["type"],
                _evidence(reason["evidence"]),
                f"{reason['share']:.0%}",
                ", ".join(reason["bases"]),
            )
            for reason in self.reasons
        ]
        reasons = html_table(("reason", "evidence", "share", "said by"), rows) if rows else ""
        return Recommendations([self])._repr_html_() + reasons


def _evidence(told: dict[str, Any]) -> str:
    """What a reason names: a label, items, or both."""
    return ": ".join(part for part in (told["name"], ", ".join(told["items"])) if part)


class Recommendations(list[Recommendation]):
    """A list, best first, that shows itself as a table."""

    def texts(self) -> list[str]:
        """One aligned line for each item, its sentence below it."""
        width = max((len(line.name) for line in self), default=0)
        texts = []
        for line in self:
            texts.append(
                f"{line.rank:3d}. {line.name:<{width}}  {line.score:7.3f}  [{line.item_id}]"
            )
            if line.why is not None:
                texts.append(f"     {line.why}")
        return texts

    def to_frame(self) -> pl.DataFrame:
        """One row per item: what `Recommendation` says but for weights and reasons."""
        return pl.DataFrame(
            [[getattr(line, name) for name in COLUMNS] for line in self], COLUMNS, orient="row"
        )

    def __repr__(self) -> str:
        return "\n".join(self.texts()) or "no recommendations"

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{self!r}</p>"
        shown = self.to_frame().drop("uncertainty", "propensity")
        shown = shown.select(c for c in shown.columns if shown[c].null_count() < len(self))
        return html_table(shown.columns, shown.rows())


class Names:
    """Ids, titles and creators of items by row."""

    def __init__(self, dataset: Dataset) -> None:
        self._ids = dataset.item_ids.ids
        self._columns = {
            name: dataset.items[name]
            for name in ("title", "creator")
            if name in dataset.items.columns
        }

    def of(self, item_rows: Rows) -> list[tuple[str, str | None, str | None]]:
        """Id, title and creator of each row; None where the catalogue does not say."""
        rows = item_rows.tolist()
        title, creator = (
            [self._columns[name][row] for row in rows]
            if name in self._columns
            else [None] * len(rows)
            for name in ("title", "creator")
        )
        return list(zip([self._ids[row] for row in rows], title, creator, strict=True))

    def lines(self, item_rows: Rows, scores: Floats) -> Recommendations:
        """A list of items in a given order; rows of -1 are left out.

        Args:
            item_rows: Shape ``(k,)``.
            scores: Shape ``(k,)``.
        """
        there = item_rows >= 0
        return Recommendations(
            Recommendation(rank, *told, float(score), {})
            for rank, (told, score) in enumerate(
                zip(self.of(item_rows[there]), scores[there], strict=True), start=1
            )
        )
