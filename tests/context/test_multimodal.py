import pytest
import torch
from tests.context.rows import idle, seeded, some_rows
from torch import Tensor

from crossfade.context.environment import EnvironmentContext
from crossfade.context.multimodal import MultiModalContext
from crossfade.context.session import SessionContext
from crossfade.context.social import SocialContext
from crossfade.context.temporal import TemporalContext

WIDTHS = {"session": 18, "temporal": 7, "social": 3, "environment": 4}
NAMES = tuple(WIDTHS)
Inputs = dict[str, tuple[Tensor, Tensor]]


def model() -> MultiModalContext:
    seeded()
    parts = {
        "session": SessionContext(),
        "temporal": TemporalContext(),
        "social": SocialContext(),
        "environment": EnvironmentContext(4),
    }
    built = MultiModalContext(parts).eval()
    torch.nn.init.normal_(built.nothing)  # so that it can be told from zeros
    return built


def inputs(n: int = 7, seed: int = 0) -> Inputs:
    """Every modality with at least one known column."""
    given = {name: some_rows(n, width, seed=seed) for name, width in WIDTHS.items()}
    for values, known in given.values():
        known[:, 0] = True
        values[:, 0] = values[:, 0].nan_to_num()
    return given


def without(given: Inputs, name: str, rows: slice = slice(None)) -> Inputs:
    """The same, with one modality unknown in some rows."""
    values, known = given[name]
    known = known.clone()
    known[rows] = False
    return {**given, name: (values, known)}


def test_widths_and_weights() -> None:
    context, weights = model()(inputs())
    assert context.shape == (7, 64)
    assert weights.shape == (7, 4)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(7))
    assert (weights.std(dim=0) > 1e-3).all()


def test_the_context_is_the_mean_under_the_weights_it_reports() -> None:
    joined = model().double()
    given = {name: (values.double(), known) for name, (values, known) in inputs().items()}
    context, weights = joined(given)
    expected = torch.zeros(7, 64, dtype=torch.float64)
    scores = []
    for place, name in enumerate(NAMES):
        vector = joined.project[place](joined.extractors[place](*given[name]).context)
        scores.append(joined.gate[place](vector))
        expected += weights[:, [place]] * vector
    torch.testing.assert_close(context, expected)
    torch.testing.assert_close(weights, torch.cat(scores, dim=-1).softmax(dim=-1))


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_modality_has_exactly_no_influence(name: str) -> None:
    joined, given = model(), inputs()
    hidden = without(given, name)
    context, weights = joined(hidden)
    assert (weights[:, NAMES.index(name)] == 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(7))
    # Not its values, not its network, and not whether it is named at all.
    values, known = hidden[name]
    strange = {**hidden, name: (torch.full_like(values, 1e30), known)}
    assert torch.equal(joined(strange).context, context)
    left_out = joined({other: hidden[other] for other in NAMES if other != name})
    assert torch.equal(left_out.weights, weights)
    torch.testing.assert_close(left_out.context, context, rtol=0, atol=1e-7)
    with torch.no_grad():
        for part in (joined.extractors, joined.project, joined.gate):
            for parameter in part[NAMES.index(name)].parameters():
                parameter.fill_(1e3)
    assert torch.equal(joined(hidden).context, context)


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_modality_learns_nothing(name: str) -> None:
    joined = model()
    joined(without(inputs(), name)).context.square().sum().backward()
    place = NAMES.index(name)
    for part in (joined.extractors[place], joined.project[place], joined.gate[place]):
        for parameter in part.parameters():
            assert parameter.grad is not None
            assert (parameter.grad == 0).all()


def test_one_modality_alone_gets_all_the_weight() -> None:
    joined, given = model(), inputs()
    context, weights = joined({"temporal": given["temporal"]})
    assert weights.tolist() == [[0.0, 1.0, 0.0, 0.0]] * 7
    expected = joined.project[1](joined.extractors[1](*given["temporal"]).context)
    torch.testing.assert_close(context, expected)


def test_with_nothing_known_the_learned_default_stands_in() -> None:
    joined, given = model(), inputs()
    for name in NAMES:
        given = without(given, name, slice(2, 4))
    context, weights = joined(given)
    assert torch.equal(context[2:4], joined.nothing.expand(2, -1))
    assert (weights[2:4] == 0).all()
    others = [0, 1, 4, 5, 6]
    expected = joined({name: (v[others], k[others]) for name, (v, k) in given.items()}).context
    torch.testing.assert_close(context[others], expected, rtol=1e-5, atol=1e-6)


def test_rows_are_joined_alone() -> None:
    joined, given = model(), without(inputs(), "social", slice(0, 3))
    together, other = joined(given), inputs(seed=1)
    for row in range(7):
        one = {name: (v[row : row + 1], k[row : row + 1]) for name, (v, k) in given.items()}
        alone = joined(one)
        assert alone.context.shape == (1, 64)
        torch.testing.assert_close(alone.context[0], together.context[row], rtol=1e-5, atol=1e-6)
        mates = {name: (v.clone(), k.clone()) for name, (v, k) in other.items()}
        for name, (values, known) in given.items():
            mates[name][0][row], mates[name][1][row] = values[row], known[row]
        again = joined(mates).context[row]
        torch.testing.assert_close(again, together.context[row], rtol=1e-5, atol=1e-6)


def test_gradient_reaches_every_parameter_and_is_a_number_where_nothing_is_known() -> None:
    joined, given = model(), inputs(64)
    for name in NAMES:
        given = without(given, name, slice(0, 5))
    joined(given).context.square().sum().backward()
    assert idle(joined) == []


def test_contexts_of_requests_join_those_of_candidates() -> None:
    joined = model()
    of_request, of_candidate = inputs(2), inputs(6)
    values, known = of_candidate["social"]
    given = {
        "session": tuple(part[:, None] for part in of_request["session"]),
        "social": (values.reshape(2, 3, -1), known.reshape(2, 3, -1)),
    }
    context, weights = joined(given)
    assert context.shape == (2, 3, 64)
    assert weights.shape == (2, 3, 4)
    repeated = {
        "session": tuple(part.repeat_interleave(3, dim=0) for part in of_request["session"]),
        "social": (values, known),
    }
    torch.testing.assert_close(
        context.reshape(6, 64), joined(repeated).context, rtol=1e-5, atol=1e-6
    )


def test_any_extractor_may_join() -> None:
    seeded()
    joined = MultiModalContext({"phase of the moon": EnvironmentContext(2, output_dim=5)}, 8)
    assert joined({"phase of the moon": some_rows(7, 2, share=1.0)}).context.shape == (7, 8)


def test_unknown_modalities_and_none_at_all_are_refused() -> None:
    joined = model()
    with pytest.raises(ValueError, match="modality smell has no extractor; there are session"):
        joined({"smell": some_rows(7, 2)})
    with pytest.raises(ValueError, match="give at least one modality"):
        joined({})
    with pytest.raises(ValueError, match="needs at least one modality"):
        MultiModalContext({})
