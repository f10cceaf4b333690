"""What is usual for a version: the end of its own log, answered by itself."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crossfade.monitoring.facts import Facts
from crossfade.monitoring.replay import lists_shown
from crossfade.monitoring.window import People, Window, lists_of, logged_acts
from crossfade.online import LiveSystem
from crossfade.store.log import Impression


def reference_windows(
    live: LiveSystem,
    facts: Facts,
    *,
    length_us: int,
    n: int,
    n_lists: int,
    rng: np.random.Generator,
) -> list[Window]:
    """Up to ``n`` stretches back from the end of the log, newest first; none without times.

    The lists are those that the version would have shown to some people at one of their events. It has
    seen what came after, so of outcomes they would tell too much, but inputs, weights and variety are
    those of its lists. Stretches in which fewer than two people did anything are left out.

    Args:
        live: The version.
        facts: Of it.
        length_us: Of each.
        n: How many.
        n_lists: Lists in each.
        rng: Draws who asks, and when.
    """
    times = facts.model.dataset.time_us
    if times is None or not len(times):
        return []
    end_us, found = int(times[-1]) + 1, []
    for back in range(min(n, int(end_us - times[0]) // length_us)):
        until_us = end_us - back * length_us
        since_us = until_us - length_us
        shown = lists_shown(live, facts.model.dataset, since_us, until_us, n_lists=n_lists, rng=rng)
        one = _window(facts, shown, since_us, until_us)
        if len(np.unique(one.acts.person)) > 1:
            found.append(one)
    return found


def _window(facts: Facts, shown: Sequence[Impression], since_us: int, until_us: int) -> Window:
    dataset = facts.model.dataset
    lists = lists_of(shown, dataset, facts.labels, People())
    # Numbered as the people of the events.
    lists = replace(lists, person=lists.user_row.astype(np.int64))
    return Window(lists, logged_acts(dataset, since_us, until_us), since_us)
