"""Temporal, social, environment and uncertainty context."""

from collections.abc import Callable

import pytest
import torch
from tests.context.rows import check_extractor, idle, seeded, some_rows

from crossfade.context.base import Extractor, MaskedEncoder
from crossfade.context.columns import UNCERTAINTY_NAMES
from crossfade.context.environment import EnvironmentContext
from crossfade.context.session import SessionContext, SessionContextConfig
from crossfade.context.social import SocialContext
from crossfade.context.temporal import TemporalContext
from crossfade.context.uncertainty import UncertaintyContext
from crossfade.features.dictionary import TEMPORAL_FEATURE_NAMES

BUILT: dict[str, Callable[[], Extractor]] = {
    "session by attention": SessionContext,
    "session by layers": lambda: SessionContext(SessionContextConfig(kind="mlp")),
    "uncertainty": UncertaintyContext,
    "temporal": TemporalContext,
    "social": SocialContext,
    "environment": lambda: EnvironmentContext(9),
    "environment of one number": lambda: EnvironmentContext(1),
}


@pytest.fixture(params=BUILT)
def extractor(request: pytest.FixtureRequest) -> Extractor:
    seeded()
    return BUILT[request.param]()


def test_an_extractor_reads_each_row_alone_and_learns_all_over(extractor: Extractor) -> None:
    check_extractor(extractor)


@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_columns_is_refused(extractor: Extractor, change: int) -> None:
    values, known = some_rows(2, extractor.n_columns + change)
    with pytest.raises(ValueError, match=f"reads {extractor.n_columns} columns"):
        extractor(values, known)
    values, known = some_rows(2, extractor.n_columns)
    with pytest.raises(ValueError, match="and where they are known"):
        extractor(values, known[:1])


def test_widths_are_the_documented_ones() -> None:
    widths = {name: (built().n_columns, built().output_dim) for name, built in BUILT.items()}
    assert widths == {
        "session by attention": (18, 64),
        "session by layers": (18, 64),
        "uncertainty": (20, 32),
        "temporal": (7, 16),
        "social": (3, 16),
        "environment": (9, 16),
        "environment of one number": (1, 16),
    }


def test_names_and_columns_agree() -> None:
    assert TemporalContext.names == TEMPORAL_FEATURE_NAMES
    for kind in (SessionContext, UncertaintyContext, TemporalContext, SocialContext):
        assert len(kind.names) == kind().n_columns


def test_without_a_column_there_is_nothing_to_read() -> None:
    with pytest.raises(ValueError, match="needs a column to read"):
        EnvironmentContext(0)


def test_values_and_mask_go_side_by_side_through_one_hidden_layer() -> None:
    seeded()
    encoder = MaskedEncoder(2, 3, 4)
    first, last = encoder.layers[0], encoder.layers[2]
    values, known = torch.tensor([[0.5, 7.0]]), torch.tensor([[True, False]])
    given = torch.tensor([0.5, 0.0, 1.0, 0.0])
    hidden = (first.weight @ given + first.bias).clamp(min=0)  # type: ignore[operator]
    expected = last.weight @ hidden + last.bias  # type: ignore[operator]
    torch.testing.assert_close(encoder(values, known).context[0], expected)


# -- uncertainty -----------------------------------------------------------------------

AUDIO, CONFIDENCE = slice(0, 8), slice(8, 16)


def test_without_audio_nothing_of_the_audio_part_is_looked_at() -> None:
    seeded()
    extractor = UncertaintyContext()
    values, known = some_rows(7, len(UNCERTAINTY_NAMES))
    known[:, AUDIO] = False
    silent = known.clone()
    silent[:, CONFIDENCE] = False
    zero = values.clone()
    zero[:, CONFIDENCE] = 0.0
    read = extractor(values, known).context
    # A catalogue that says "confidence 0", one that says nothing, and one that errs: all alike.
    assert torch.equal(read, extractor(values, silent).context)
    assert torch.equal(read, extractor(zero, known).context)


@pytest.mark.parametrize("name", UNCERTAINTY_NAMES)
def test_every_column_of_uncertainty_says_something(name: str) -> None:
    seeded()
    extractor = UncertaintyContext()
    values = torch.zeros(1, len(UNCERTAINTY_NAMES))
    known = torch.ones_like(values, dtype=torch.bool)
    place = UNCERTAINTY_NAMES.index(name)
    moved, hidden = values.clone(), known.clone()
    moved[0, place], hidden[0, place] = 3.0, False
    read = extractor(values, known).context
    assert not torch.allclose(read, extractor(moved, known).context)
    assert not torch.allclose(read, extractor(values, hidden).context)


def test_items_with_audio_do_not_move_the_vector_of_those_without() -> None:
    seeded()
    extractor = UncertaintyContext()
    values, known = some_rows(4, len(UNCERTAINTY_NAMES), share=1.0)
    extractor(values, known).context.sum().backward()
    assert idle(extractor) == ["no_audio"]
