"""The 18 session features of requests that bring their own history.

A history holds items, times and sessions but neither lengths nor skips, so `NEVER_KNOWN`
features are NaN and a session is as long as the span of its events. Training must see
what serving sees: `activity_features_at` reads a log with the same blindness, quickly.
"""

from dataclasses import replace

import numpy as np

from crossfade.data import Dataset, Queries
from crossfade.errors import DataError
from crossfade.features.histories import statistics_of
from crossfade.features.reference import SessionReference
from crossfade.features.session import session_features_at
from crossfade.features.statistics import finish
from crossfade.types import Doubles, Rows, Times

NEVER_KNOWN = ("skip_rate", "listening_intensity")
"""Session features that need skips or lengths of plays."""


def activity_features(queries: Queries, reference: SessionReference) -> Doubles:
    """The 18 session features of each request, from its history alone.

    Args:
        queries: Requests by known people or strangers. Events at or after a request are not
            looked at; a request without a time is one just after its newest event.
        reference: Facts of the base block, from `fit_reference`.

    Returns:
        Shape ``(n, 18)`` in the order of the data dictionary, NaN where missing; always for
        `NEVER_KNOWN`. `SessionScaler.transform` makes model input and a mask of it.

    Raises:
        DataError: If the reference belongs to another catalogue.
    """
    if reference.n_items != queries.n_items:
        raise DataError(
            f"activity features: the reference knows {reference.n_items:,} items, the requests come "
            f"from {queries.n_items:,}; fit the reference on the same catalogue"
        )
    moments = _moments(queries)
    return finish(statistics_of(queries, moments, reference), moments, reference)


def activity_features_at(
    dataset: Dataset, user_rows: Rows, as_of_us: Times | None, reference: SessionReference
) -> Doubles:
    """What `activity_features` gives for ``dataset.queries(user_rows, as_of_us)``, to the last bit.

    Reads each person's log once however often they ask, so it suits training.

    Args:
        dataset: The log.
        user_rows: Who, shape ``(n,)``; one user may ask several times.
        as_of_us: When, in microseconds, ``(n,)``; None for data without times.
        reference: Facts of the base block, from `fit_reference`.

    Raises:
        DataError: As `session_features_at`.
    """
    events = dataset.events.drop("played_ms", "skipped", strict=False)
    return session_features_at(replace(dataset, events=events), user_rows, as_of_us, reference)


def _moments(queries: Queries) -> Times | None:
    """As of when; None where the history has no times."""
    if queries.time_us is None or queries.as_of_us is not None:
        return None if queries.time_us is None else queries.as_of_us
    moments = np.zeros(len(queries), dtype=np.int64)
    some = np.diff(queries.indptr) > 0
    moments[some] = queries.time_us[queries.indptr[1:][some] - 1] + 1
    return moments
