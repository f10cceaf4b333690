"""Genres and moods by the names people give them, and what to say about unknown ones."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property

import polars as pl

N_NEAR, N_COMMON = 3, 5


class LabelIndex:
    """The genres, or moods, of a catalogue; they are looked for when first needed.

    Attributes:
        noun: ``"genre"`` or ``"mood"``.
    """

    def __init__(self, items: pl.DataFrame, noun: str) -> None:
        """Take a catalogue; one without the column ``genres`` or ``moods`` has none."""
        self.noun = noun
        self._items = items

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Labels in lower case without outer spaces, the commonest first."""
        column = f"{self.noun}s"
        if column not in self._items.columns:
            return ()
        label = pl.col(column).cast(pl.List(pl.String)).explode()
        label = label.str.to_lowercase().str.strip_chars()
        counts = self._items.select(label=label).filter(pl.col("label") != "")
        ordered = counts["label"].value_counts().sort(["count", "label"], descending=[True, False])
        return tuple(ordered["label"])

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    def split(self, asked: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The labels that some item carries, and the ones none does; each as written, once."""
        once = tuple(dict.fromkeys(asked))
        known = tuple(label for label in once if label.lower().strip() in self._known)
        return known, tuple(label for label in once if label not in known)

    def unknown(self, label: str) -> str:
        """Says that no item carries a label, and what comes close."""
        if not self.names:
            return f'{self.noun} "{label}" is unknown: the catalogue has no {self.noun}s'
        near = get_close_matches(label.lower().strip(), self.names, n=N_NEAR)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        common = ", ".join(self.names[:N_COMMON])
        return f'{self.noun} "{label}" is unknown; {hint}the commonest {self.noun}s are {common}'
