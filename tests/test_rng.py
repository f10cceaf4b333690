import numpy as np
import pytest

from crossfade.errors import ConfigError
from crossfade.rng import generator


def test_equal_seed_and_purpose_give_equal_numbers() -> None:
    first, second = generator(3, "nmf.init"), generator(3, "nmf.init")
    np.testing.assert_array_equal(first.random(20), second.random(20))


@pytest.mark.parametrize(("seed", "purpose"), [(4, "nmf.init"), (3, "nmf.order")])
def test_another_seed_or_purpose_gives_other_numbers(seed: int, purpose: str) -> None:
    first, second = generator(3, "nmf.init").random(1000), generator(seed, purpose).random(1000)
    assert not (first == second).any()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_drawing_for_one_purpose_never_moves_another() -> None:
    expected = generator(3, "a").random()
    generator(3, "b").random(100)
    assert generator(3, "a").random() == expected


def test_the_stream_is_the_same_on_every_machine() -> None:
    # Golden: a change here changes every published number.
    assert generator(0, "meta.requests").integers(1_000_000, size=3).tolist() == [
        23405,
        486557,
        54107,
    ]


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed must be 0 or more, got -1"):
        generator(-1, "a")
