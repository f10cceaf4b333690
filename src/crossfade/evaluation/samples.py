"""Some requests of the test block, with what they were answered and why, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SampleItem:
    """One item of a list.

    Attributes:
        item_id: As in the data set.
        title: None where the catalogue does not say.
        creator: Likewise.
        probability: That it is wanted; None where no calibrated model spoke.
        wanted: Whether it was.
        sentence: Why it is there; None where nothing is known.
        reasons: As `Reason.to_json` gives them, the largest first.
    """

    item_id: str
    title: str | None
    creator: str | None
    probability: float | None
    wanted: bool
    sentence: str | None
    reasons: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Sample:
    """One request and its list.

    Attributes:
        user_id: As in the data set; None for a stranger.
        as_of: When it was made, as text; None where the log has no times.
        n_history: Events in its history.
        latest: Ids of the newest different items in it, newest first.
        n_wanted: Items wanted afterwards, listed or not.
        by_model: Whether the learned model answered; the static weights did otherwise.
        items: Best first.
        titles: Of items by id, for those that have one and are named anywhere here.
    """

    user_id: str | None
    as_of: str | None
    n_history: int
    latest: tuple[str, ...]
    n_wanted: int
    by_model: bool
    items: tuple[SampleItem, ...]
    titles: Mapping[str, str]

    def name(self, item_id: str) -> str:
        """Title and id of an item, or the id alone."""
        title = self.titles.get(item_id)
        return item_id if title is None or title == item_id else f"{title} [{item_id}]"
