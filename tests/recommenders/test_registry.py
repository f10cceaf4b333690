import pytest

from crossfade.errors import ConfigError
from crossfade.recommenders.ease import EASE
from crossfade.recommenders.popularity import Popularity
from crossfade.recommenders.registry import RECOMMENDERS, make, make_all


def test_every_class_is_listed_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in RECOMMENDERS.items()} == {n: n for n in RECOMMENDERS}


def test_settings_reach_the_model() -> None:
    model = make("popularity", {"half_life_days": 7})
    assert isinstance(model, Popularity)
    assert model.config.half_life_days == 7


def test_one_kind_may_be_used_under_several_labels() -> None:
    models = make_all(
        {
            "ease": {},
            "weekly": {"model": "popularity", "half_life_days": 7},
            "lasting": {"model": "popularity"},
        }
    )
    assert [type(model) for model in models.values()] == [EASE, Popularity, Popularity]
    assert models["weekly"].config != models["lasting"].config


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        make_all(
            {"eese": {}, "ease": {"regularisation": -1}, "hits": {"model": "popularity", "x": 1}}
        )
    message = str(caught.value)
    assert 'there is no recommender "eese"; choose from ' in message
    assert "regularisation should be greater than 0, got -1" in message
    assert "bases.hits: " in message
    assert "x is not a setting" in message
