"""Which candidates may be listed at all. None of this ever gives way."""

import numpy as np

from crossfade.errors import ConfigError, DataError
from crossfade.ranking.catalogue import RankingCatalogue
from crossfade.ranking.request import Candidates, Conditions
from crossfade.types import Bools, Rows


def eligible(
    candidates: Candidates,
    conditions: Conditions,
    catalogue: RankingCatalogue,
    rules: tuple[str, ...] = (),
) -> tuple[Bools, dict[str, int]]:
    """Candidates that meet every condition.

    Args:
        candidates: Of one request.
        conditions: What must hold for its list.
        catalogue: The items.
        rules: Those of the settings; the request may have further ones.

    Returns:
        Shape ``(n,)``; and how many candidates each condition keeps out, those that keep out
        none left out. One candidate may count for several.

    Raises:
        ConfigError: If rules cannot be followed (see `RankingCatalogue.allowed`), or items come
            and go and the request has no moment.
        DataError: If an item row is outside the catalogue.
    """
    _check_rows(candidates, conditions, catalogue.n_items)
    rows = candidates.item_row
    kept_out: dict[str, Bools] = {"score": np.isnan(candidates.score)}
    for name, listed in (("seen", conditions.seen), ("block", conditions.block)):
        if len(listed):
            kept_out[name] = _among(rows, listed, catalogue.n_items)
    if conditions.allow is not None:
        kept_out["allow"] = ~_among(rows, conditions.allow, catalogue.n_items)
    if rules or conditions.rules:
        kept_out["rules"] = ~catalogue.allowed((*rules, *conditions.rules))[rows]
    if catalogue.has_windows:
        kept_out["availability"] = ~_available(rows, conditions.as_of_us, catalogue)
    out = np.zeros(len(rows), dtype=np.bool_)
    for mask in kept_out.values():
        out |= mask
    counts = {name: int(np.count_nonzero(mask)) for name, mask in kept_out.items()}
    return ~out, {name: count for name, count in counts.items() if count}


def _among(rows: Rows, listed: Rows, n_items: int) -> Bools:
    marked = np.zeros(n_items, dtype=np.bool_)
    # An unknown row, -1, would mark the last item.
    marked[listed[listed >= 0]] = True
    return marked[rows]


def _available(rows: Rows, as_of_us: int | None, catalogue: RankingCatalogue) -> Bools:
    """Whether the moment lies in each item's window: from its begin, to just before its end."""
    if as_of_us is None:
        raise ConfigError(
            "items have available_from or available_until, so a list needs the moment of the request; "
            "give as_of_us, or drop the columns"
        )
    there = np.ones(len(rows), dtype=np.bool_)
    if catalogue.available_from_us is not None:
        there &= catalogue.available_from_us[rows] <= as_of_us
    if catalogue.available_until_us is not None:
        there &= as_of_us < catalogue.available_until_us[rows]
    return there


def _check_rows(candidates: Candidates, conditions: Conditions, n_items: int) -> None:
    lists = {
        "candidates": candidates.item_row,
        "seen": conditions.seen,
        "block": conditions.block,
        "allow": conditions.allow,
    }
    faults = [
        f"{name} holds item row {listed.max()}"
        for name, listed in lists.items()
        if listed is not None and len(listed) and listed.max() >= n_items
    ]
    if faults:
        raise DataError(
            f"{', '.join(faults)}, but the catalogue's rows are 0 … {n_items - 1}; take rows of the same data set"
        )
