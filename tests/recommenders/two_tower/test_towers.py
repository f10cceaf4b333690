"""Widths, masks and what moves a vector."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from crossfade.recommenders.two_tower.config import TwoTowerConfig, UserTowerConfig
from crossfade.recommenders.two_tower.towers import (
    Bag,
    ItemBatch,
    Sizes,
    TwoTower,
    UserBatch,
    check_widths,
)

SIZES = Sizes(n_users=5, n_items=6, n_creators=3, n_genres=4, n_moods=3, text_dim=384)


def _items(n: int = 6, *, known: bool = True) -> ItemBatch:
    made = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(n, 384, generator=made), dim=1)
    return ItemBatch(
        row=torch.arange(n),
        has_id=torch.full((n, 1), float(known)),
        text=text,
        creator=torch.arange(n) % 3,
        genres=torch.tensor([[1, 4]] * n),  # 4 is padding
        moods=torch.tensor([[3]] * n),  # padding: no mood
        audio=torch.rand(n, 8, generator=made) - 0.5,
        confidence=torch.ones(n, 8),
        numeric=torch.zeros(n, 4),
        rating=torch.zeros(n, 10),
    )


def _bag(lists: list[list[int]]) -> Bag:
    starts = np.cumsum([0, *map(len, lists)])[:-1]
    rows = [row for some in lists for row in some]
    return Bag(torch.tensor(rows, dtype=torch.long), torch.tensor(starts), torch.ones(len(rows)))


def _users(histories: list[list[int]]) -> UserBatch:
    n = len(histories)
    nothing = _bag([[]] * n)
    stranger = torch.zeros(n, dtype=torch.long)
    return UserBatch(stranger, _bag(histories), nothing, nothing, None, None, torch.zeros(n, 36))


def _widths(layers: torch.nn.Sequential) -> list[tuple[int, int]]:
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    return [(layer.out_features, layer.in_features) for layer in linear]


def test_the_documented_towers_read_492_and_92_columns_and_meet_in_64() -> None:
    config = TwoTowerConfig(form="documented")
    network = TwoTower(config, SIZES)
    assert (network.item.width, network.user.width) == (
        384 + 32 + 16 + 12 + 32 + 16,
        32 + 16 + 12 + 32,
    )
    widths = _widths(network.item.layers)
    assert widths == [(256, 492), (128, 256), (64, 128)]
    widths = _widths(network.user.layers)
    assert widths == [(128, 92), (64, 128), (64, 64)]
    assert isinstance(network.item.layers[-1], torch.nn.Linear)  # the output is linear
    check_widths(network, config, SIZES)
    network.user.width = 91
    with pytest.raises(ValueError, match="492 and 92 columns, these 492 and 91"):
        check_widths(network, config, SIZES)


@pytest.mark.parametrize("form", ["default", "documented"])
@pytest.mark.parametrize("n", [1, 7])
def test_a_batch_of_one_and_a_batch_of_seven_agree(form: str, n: int) -> None:
    config = TwoTowerConfig(form=form)
    network = TwoTower(config, SIZES).eval()
    found, pooled = network.item(_items())
    histories = [[0, 1], [], [5], [2, 2, 3], [4], [0], [1, 2, 3, 4, 5]]
    together = network.user(_users(histories), pooled)
    alone = network.user(_users(histories[:n]), pooled)
    assert alone.shape == (n, config.output_dim)
    assert found.shape == (6, config.output_dim)
    torch.testing.assert_close(alone, together[:n])


def test_padding_of_labels_and_the_unknown_creator_count_for_nothing() -> None:
    network = TwoTower(TwoTowerConfig(), SIZES).eval()
    items = _items()
    wider = replace(
        items, genres=torch.tensor([[1, 4, 4, 4]] * 6), moods=torch.tensor([[3, 3]] * 6)
    )
    for now, then in zip(network.item(items), network.item(wider), strict=True):
        torch.testing.assert_close(now, then)
    assert network.item.creators is not None
    assert network.item.creators.weight[0].tolist() == [0.0] * 32
    assert network.item.genres is not None
    assert network.item.genres.weight[4].tolist() == [0.0] * 16


def test_a_new_item_goes_by_its_content_alone() -> None:
    network = TwoTower(TwoTowerConfig(), SIZES).eval()
    new = network.item(_items(known=False))[0]
    with torch.no_grad():
        network.item.own.weight.add_(1.0)  # type: ignore[union-attr]
    torch.testing.assert_close(network.item(_items(known=False))[0], new)
    assert not torch.allclose(network.item(_items())[0], new)


def test_an_audio_value_moves_an_item_by_as_much_as_it_is_sure() -> None:
    # A value without confidence moves nothing; half the confidence, half the input.
    network = TwoTower(TwoTowerConfig(item={"hidden": (), "dropout": ()}), SIZES).eval()
    items = _items()

    def moved(confidence: float) -> float:
        sure = replace(items, confidence=torch.full((6, 8), confidence))
        shifted = replace(sure, audio=sure.audio + 0.3)
        return float((network.item(shifted)[0] - network.item(sure)[0]).norm().detach())

    assert moved(0.0) == 0.0
    assert moved(0.5) == pytest.approx(0.5 * moved(1.0), rel=1e-4)


def test_blurring_lowers_confidence_and_adds_the_noise_that_fits() -> None:
    # A guess of confidence r misses the share 1 - r of a variance of 0.2².
    config = TwoTowerConfig(item={"audio_blur": 0.999})
    tower = TwoTower(config, SIZES).item.train()
    items = replace(_items(4000), audio=torch.zeros(4000, 8), confidence=torch.ones(4000, 8))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        audio, confidence = tower._blurred(items)
    low = confidence < 0.2
    assert audio[low].std().item() == pytest.approx(0.2 * np.sqrt(0.9), rel=0.03)
    assert audio[confidence > 0.98].std().item() < 0.03
    assert tower.eval()._blurred(items)[0] is items.audio


def test_training_starts_at_similarity_of_text() -> None:
    network = TwoTower(TwoTowerConfig(), SIZES).eval()
    text = _items().text.numpy()
    network.start_at_text(text)
    assert network.item.skip is not None
    seen = (torch.from_numpy(text) @ network.item.skip.weight.T).detach().numpy()
    # Six texts span six directions, which 128 hold in full.
    np.testing.assert_allclose(seen @ seen.T, text @ text.T, atol=1e-5)


def test_an_empty_history_is_the_vector_of_nobody_and_not_a_division_by_zero() -> None:
    network = TwoTower(TwoTowerConfig(), SIZES).eval()
    with torch.no_grad():
        network.user.nobody.fill_(0.25)
    _, pooled = network.item(_items())
    pool = network.user._pool(_bag([[], [3]]), pooled)
    assert pool[0].tolist() == [0.25] * 128
    torch.testing.assert_close(pool[1], pooled[3])


def test_a_long_history_is_surer_than_a_short_one_of_the_same_taste() -> None:
    # Four equal vectors over the root of four: twice the length.
    network = TwoTower(TwoTowerConfig(), SIZES).eval()
    _, pooled = network.item(_items())
    pool = network.user._pool(_bag([[2], [2, 2, 2, 2]]), pooled)
    torch.testing.assert_close(pool[1], 2 * pool[0])


@pytest.mark.parametrize("values", [{"form": "documented"}, {"item": {"id_residual": False}}, {}])
def test_mixed_precision_reaches_every_form(values: dict[str, object]) -> None:
    network = TwoTower(TwoTowerConfig(**values), SIZES).eval()
    users = _users([[0, 1], []])
    plain = network.user(users, network.item(_items())[1])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network.user(users, network.item(_items())[1])
    torch.testing.assert_close(mixed.float(), plain, atol=0.05, rtol=0.05)


def test_rows_that_training_never_met_are_unknown() -> None:
    network = TwoTower(TwoTowerConfig(user={"id_dim": 4}), SIZES)
    network.forget_untrained(torch.tensor([0, 2]), torch.tensor([3]))
    for table in (network.item.creators, network.item.kin):
        assert table is not None
        assert table.weight[1].tolist() == [0.0] * table.embedding_dim
        assert table.weight[2].abs().sum() > 0
    assert network.user.users is not None
    assert [row.any().item() for row in network.user.users.weight] == [False] * 3 + [True] + [
        False
    ] * 2


def test_without_text_no_text_is_read() -> None:
    network = TwoTower(TwoTowerConfig(item={"text": False}), SIZES).eval()
    items = _items()
    other = replace(items, text=items.text.flip(0))
    for now, then in zip(network.item(items), network.item(other), strict=True):
        torch.testing.assert_close(now, then)


def test_settings_of_a_group_given_as_settings_keep_the_rest_of_the_form() -> None:
    config = TwoTowerConfig(form="documented", user=UserTowerConfig(id_dim=8))
    assert (config.user.id_dim, config.user.activity_dim) == (8, 32)
