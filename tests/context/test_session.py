import pytest
import torch
from tests.context.rows import seeded, some_rows
from torch import nn

from crossfade.config import validate
from crossfade.context.session import FLAGS, FeatureAttention, SessionContext, SessionContextConfig
from crossfade.errors import ConfigError
from crossfade.features.dictionary import SESSION_FEATURE_NAMES

FLAG_PLACES = [SESSION_FEATURE_NAMES.index(name) for name in FLAGS]
READ = [place for place in range(18) if place not in FLAG_PLACES]


def context(kind: str = "attention") -> SessionContext:
    seeded()
    return SessionContext(validate(SessionContextConfig, {"kind": kind}, "test")).eval()


@pytest.mark.parametrize("kind", ["attention", "mlp"])
def test_user_types_are_not_read(kind: str) -> None:
    # PITFALLS F-05: thresholded copies of other features.
    values, known = some_rows(7, 18)
    other, hidden = values.clone(), known.clone()
    other[:, FLAG_PLACES], hidden[:, FLAG_PLACES] = 3.0, ~known[:, FLAG_PLACES]
    read = context(kind)(values, known).context
    assert torch.equal(read, context(kind)(other, hidden).context)


@pytest.mark.parametrize("kind", ["attention", "mlp"])
@pytest.mark.parametrize("place", READ)
def test_all_other_features_are_read(kind: str, place: int) -> None:
    values, known = torch.zeros(1, 18), torch.ones(1, 18, dtype=torch.bool)
    moved, hidden = values.clone(), known.clone()
    moved[0, place], hidden[0, place] = 2.0, False
    model = context(kind)
    read = model(values, known).context
    assert not torch.allclose(read, model(moved, known).context)
    assert not torch.allclose(read, model(values, hidden).context)


def test_weights_sum_to_one_over_the_features_that_are_read() -> None:
    _, weights = context()(*some_rows(7, 18))
    assert weights.shape == (7, 18)
    assert (weights[:, FLAG_PLACES] == 0).all()
    assert (weights[:, READ] > 0).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(7))


def test_weights_really_vary_between_users() -> None:
    # PITFALLS F-03: attention over one vector gives every user the weight 1.0.
    _, weights = context()(*some_rows(200, 18))
    read = weights[:, READ]
    assert (read.std(dim=0) > 0.005).all()  # an even weight would be 0.0625
    assert len({int(place) for place in read.argmax(dim=-1)}) > 5


def test_equal_users_get_equal_weights() -> None:
    values, known = some_rows(1, 18)
    _, weights = context()(values.expand(7, -1), known.expand(7, -1))
    torch.testing.assert_close(weights, weights[:1].expand(7, -1))


def test_plain_layers_have_no_weights() -> None:
    assert context("mlp")(*some_rows(7, 18)).weights is None


def test_attention_is_that_of_pytorch_over_the_features_of_one_user() -> None:
    seeded()
    ours = FeatureAttention(5, SessionContextConfig(hidden=16, n_heads=4)).double().eval()
    theirs = nn.MultiheadAttention(16, 4, batch_first=True, dtype=torch.float64).eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.ask.weight)
        theirs.in_proj_bias.zero_()
        theirs.out_proj.weight.copy_(ours.answer.weight)
        theirs.out_proj.bias.copy_(ours.answer.bias)
    tokens = torch.randn(7, 5, 16, dtype=torch.float64)
    expected, weights = theirs(tokens, tokens, tokens)
    assert weights.shape == (7, 5, 5)  # features by features, never users by users
    torch.testing.assert_close(ours.attend(tokens), expected)


def test_pooling_is_the_mean_under_the_weights_it_reports() -> None:
    seeded()
    ours = FeatureAttention(5, SessionContextConfig(hidden=16)).double().eval()
    values, there = torch.randn(7, 5).double(), torch.ones(7, 5).double()
    tokens = ours.tokens(values, there)
    tokens = ours.after(tokens + ours.attend(ours.before(tokens)))
    pooled, weights = ours(values, there)
    torch.testing.assert_close(pooled, torch.einsum("bf,bfh->bh", weights, tokens))
    logits = torch.einsum("bfh,h->bf", tokens, ours.query) / 4
    torch.testing.assert_close(weights, logits.softmax(dim=-1))


def test_a_token_is_a_point_on_the_line_of_its_feature() -> None:
    seeded()
    ours = FeatureAttention(2, SessionContextConfig(hidden=8))
    tokens = ours.tokens(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(tokens[0, 0], 2 * ours.direction[0] + ours.origin[0])
    torch.testing.assert_close(tokens[0, 1], ours.origin[1] + ours.missing)


def test_each_feature_has_a_vector_that_learns() -> None:
    model = context()
    values, known = some_rows(64, 18)
    model(values, known).context.square().sum().backward()
    assert model.attention is not None
    for table in (model.attention.direction, model.attention.origin):
        assert table.shape == (16, 128)
        assert table.grad is not None
        assert (table.grad.abs().amax(dim=-1) > 0).all()


def test_dropout_rests_while_serving() -> None:
    model = context()
    rows = some_rows(7, 18)
    assert torch.equal(model(*rows).context, model(*rows).context)
    model.train()
    assert not torch.equal(model(*rows).context, model(*rows).context)


def test_heads_that_do_not_share_evenly_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of n_heads, got 130 and 4"):
        SessionContextConfig(hidden=130)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="kind should be 'attention' or 'mlp', got 'lstm'"):
        validate(SessionContextConfig, {"kind": "lstm"}, "test")
