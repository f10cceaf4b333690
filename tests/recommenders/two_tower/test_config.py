"""Forms and rules of the settings."""

import pytest

from crossfade.errors import ConfigError
from crossfade.recommenders.two_tower.config import TwoTowerConfig


def test_the_documented_form_sets_its_values_and_leaves_given_ones_alone() -> None:
    config = TwoTowerConfig(form="documented", user={"id_dim": 8})
    assert config.user.id_dim == 8
    assert (config.user.history, config.user.activity_dim) == (False, 32)
    assert (config.loss.kind, config.loss.margin) == ("cosine", 0.1)
    assert (config.item.rating_dim, config.item.id_residual) == (16, False)
    assert (config.train.epochs, config.train.lr, config.train.weight_decay) == (50, 1e-3, 1e-4)


def test_naming_one_value_of_a_group_leaves_the_others_at_the_form() -> None:
    config = TwoTowerConfig(train={"epochs": 3})
    assert config.train == TwoTowerConfig().train.changed(epochs=3)


def test_what_was_written_down_reads_back_the_same() -> None:
    for form in ("default", "documented"):
        config = TwoTowerConfig(form=form, output_dim=32)
        assert TwoTowerConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"item": {"hidden": (8, 8), "dropout": (0.1,)}},
            r"item.dropout needs one value per .* \(2\), got 1",
        ),
        ({"user": {"time": True}}, r'need examples.order "future", got "held_out"'),
        ({"item": {"rating_dim": 4}}, r'need examples.order "future", got "held_out"'),
        (
            {"user": {"history": False, "genre_dim": 0, "mood_dim": 0}},
            "the user tower reads nothing",
        ),
        ({"item": {"colour": 1}}, "item.colour is not a setting"),
        ({"form": "other"}, "form should be 'default' or 'documented'"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TwoTowerConfig(**values)
