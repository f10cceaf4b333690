"""Columns by name to the extractors of their modalities."""

import numpy as np
import pytest
import torch
from tests.context.rows import seeded, some_rows
from torch import Tensor

from crossfade.context.columns import (
    SOURCE,
    UNCERTAINTY_NAMES,
    candidate_modalities,
    request_modalities,
    source_names,
    with_source,
)
from crossfade.context.reading import ColumnsContext, candidate_context, request_context
from crossfade.context.session import SessionContextConfig
from crossfade.features.dictionary import SESSION_FEATURE_NAMES, TEMPORAL_FEATURE_NAMES
from crossfade.features.social import SOCIAL

NAN = float("nan")
REQUEST = ("track_ease", *TEMPORAL_FEATURE_NAMES, "context_weather", *SESSION_FEATURE_NAMES[:3])
CANDIDATE = ("log_users", "genre_match", *SOCIAL, "log_met")


def told(n_columns: int, *shape: int) -> Tensor:
    values, known = some_rows(*shape, n_columns)
    return torch.cat([values.nan_to_num(), known.float()], dim=-1)


def reader(kind: str) -> ColumnsContext:
    seeded()
    if kind == "request":
        return request_context(REQUEST, 12, SessionContextConfig(kind="mlp")).eval()
    return candidate_context(CANDIDATE, 12).eval()


# -- by name ---------------------------------------------------------------------------


def test_columns_of_requests_by_modality() -> None:
    assert request_modalities(REQUEST) == {
        "session": SESSION_FEATURE_NAMES,
        "temporal": TEMPORAL_FEATURE_NAMES,
        "environment": ("context_weather",),
        "rest": ("track_ease",),
    }
    assert request_modalities(["track_ease"]) == {"rest": ("track_ease",)}


def test_columns_of_candidates_by_modality() -> None:
    assert candidate_modalities(CANDIDATE) == {
        "uncertainty": UNCERTAINTY_NAMES,
        "social": SOCIAL,
        "rest": ("genre_match", "log_met"),
    }
    assert candidate_modalities(["log_users"]) == {"uncertainty": UNCERTAINTY_NAMES}


def test_the_source_is_added_where_a_confidence_is_told() -> None:
    names = ("energy", "energy_confidence", "log_met")
    values = np.array([[0.5, 1.0, 3.0], [0.5, 0.2, NAN], [NAN, 0.0, 1.0]], dtype=np.float32)
    assert source_names(names) == (*names, SOURCE)
    found = with_source(values, names)
    np.testing.assert_array_equal(found[:, :3], values)
    np.testing.assert_array_equal(found[:, 3], [0, 1, NAN])


def test_without_confidences_nothing_is_added() -> None:
    values = np.ones((2, 2), dtype=np.float32)
    assert with_source(values, ("energy", "log_met")) is values
    assert source_names(("energy", "log_met")) == ("energy", "log_met")


# -- read ------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "n"), [("request", len(REQUEST)), ("candidate", len(CANDIDATE))])
def test_each_row_is_read_alone_and_comes_out_at_size_1(kind: str, n: int) -> None:
    context, rows = reader(kind), told(n, 3, 4)
    found = context(rows)
    assert found.shape == (3, 4, 12)
    torch.testing.assert_close(found[1, 2], context(rows[1:2, 2])[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.square().mean(dim=-1), torch.ones(3, 4), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("kind", "n"), [("request", len(REQUEST)), ("candidate", len(CANDIDATE))])
def test_an_unknown_column_is_not_looked_at_and_a_known_one_is(kind: str, n: int) -> None:
    context, rows = reader(kind), told(n, 5)
    for column in range(n):
        hidden, other, known = rows.clone(), rows.clone(), rows.clone()
        for changed in (hidden, other):
            changed[:, n + column] = 0
        other[:, column] = 99.0
        known[:, n + column] = 1
        assert torch.equal(context(hidden), context(other)), column
        assert not torch.equal(context(hidden), context(known)), column


def test_columns_may_stand_in_any_order() -> None:
    context, rows = reader("candidate"), told(len(CANDIDATE), 5)
    # The rest keeps the order its columns come in.
    names = (SOCIAL[2], "genre_match", "log_users", SOCIAL[0], "log_met", SOCIAL[1])
    order = torch.tensor([CANDIDATE.index(name) for name in names])
    moved = candidate_context(names, 12).eval()
    moved.load_state_dict(context.state_dict())
    shuffled = torch.cat([rows[:, order], rows[:, len(CANDIDATE) + order]], dim=-1)
    assert torch.equal(moved(shuffled), context(rows))


def test_where_a_column_stands_is_no_part_of_the_state() -> None:
    assert not [key for key in reader("request").state_dict() if "place" in key or "there" in key]
