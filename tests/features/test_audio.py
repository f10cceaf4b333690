import numpy as np
import polars as pl
import pytest

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.errors import DataError
from crossfade.features.audio import AudioFeatures, Source

ENERGY, TEMPO = AUDIO_FEATURES.index("energy"), AUDIO_FEATURES.index("tempo")


def items(**columns: list[object]) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    return pl.DataFrame({"item_id": [f"i{row}" for row in range(n)], **columns})


def test_what_a_catalogue_says_is_actual_and_the_rest_is_missing() -> None:
    found = AudioFeatures.from_items(items(energy=[0.5, None], tempo=[None, 90.0]))
    np.testing.assert_array_equal(found.mean[:, ENERGY], np.array([0.5, np.nan], dtype=np.float32))
    np.testing.assert_array_equal(found.sigma[:, ENERGY], np.array([0.0, np.nan], dtype=np.float32))
    assert found.source[:, ENERGY].tolist() == [Source.ACTUAL, Source.MISSING]
    assert found.known.sum() == 2


def test_to_items_and_back_changes_nothing() -> None:
    shape = (4, len(AUDIO_FEATURES))
    source = np.tile(np.array([[0], [1], [2], [3]], dtype=np.int8), (1, shape[1]))
    mean = np.where(source == Source.MISSING, np.nan, 0.5).astype(np.float32)
    mean[1:, TEMPO] = 120
    sigma = np.where(source == Source.ACTUAL, 0, np.where(source == Source.MISSING, np.nan, 0.1))
    before = AudioFeatures(mean, sigma.astype(np.float32), source)
    frame = before.to_items(items(title=["a", "b", "c", "d"]))
    after = AudioFeatures.from_items(frame)
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.sigma, before.sigma)
    np.testing.assert_array_equal(after.source, before.source)
    assert frame["energy_source"].to_list() == ["missing", "actual", "predicted", "prior"]
    assert before.counts()[1] == ["energy", "1", "1", "1", "1"]


@pytest.mark.parametrize(
    ("tempo", "mend"),
    [
        (2.0, "2 may be beats per second, then multiply by 60"),
        (500.0, "500 may be milliseconds per beat, then divide 60,000 by it"),
        (0.0, "0 is how some sources write an unknown tempo: leave it empty"),
        (-5.0, "from 30 to 300: convert it or leave it empty"),
    ],
)
def test_a_tempo_in_another_unit_is_refused_with_its_mend(tempo: float, mend: str) -> None:
    with pytest.raises(DataError, match="item i1") as caught:
        AudioFeatures.from_items(items(tempo=[120.0, tempo]))
    assert mend in str(caught.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(DataError) as caught:
        AudioFeatures.from_items(
            items(energy=[80.0, 0.3], valence=[-0.1, -0.2], tempo=[2.0, 120.0])
        )
    faults = {problem.check: problem for problem in caught.value.problems}
    assert {name: p.n_rows for name, p in faults.items()} == {
        "energy_out_of_range": 1,
        "valence_out_of_range": 2,
        "tempo_out_of_range": 1,
    }
    assert "a percentage must be divided by 100" in faults["energy_out_of_range"].mend
    assert "percentage" not in faults["valence_out_of_range"].mend


@pytest.mark.parametrize("tempo", [30.0, 300.0])
def test_the_ends_of_the_range_belong_to_it(tempo: float) -> None:
    assert AudioFeatures.from_items(items(tempo=[tempo])).mean[0, TEMPO] == tempo


def test_an_unknown_source_is_refused() -> None:
    frame = items(energy=[0.5, 0.6], energy_source=["actual", "guessed"], energy_sigma=[0.0, 0.1])
    with pytest.raises(
        DataError, match="item i1: energy_source guessed; a source is one of missing"
    ):
        AudioFeatures.from_items(frame)


def test_a_source_without_a_value_is_missing() -> None:
    frame = items(
        energy=[None, 0.5], energy_source=["actual", "predicted"], energy_sigma=[0.0, 0.1]
    )
    found = AudioFeatures.from_items(frame)
    assert found.source[:, ENERGY].tolist() == [Source.MISSING, Source.PREDICTED]
    np.testing.assert_array_equal(found.sigma[:, ENERGY], np.array([np.nan, 0.1], dtype=np.float32))


def test_a_value_without_a_source_in_a_completed_catalogue_is_actual() -> None:
    # Items that joined after the guessing have a value and nothing beside it.
    frame = items(
        energy=[0.4, 0.7, None], energy_source=["predicted", None, None], energy_sigma=[0.1, None, None]
    )  # fmt: skip
    found = AudioFeatures.from_items(frame)
    assert found.source[:, ENERGY].tolist() == [Source.PREDICTED, Source.ACTUAL, Source.MISSING]
    assert found.sigma[1, ENERGY] == 0.0
    assert found.mean[1, ENERGY] == pytest.approx(0.7)


def test_a_value_that_is_said_to_be_missing_is_not_looked_at() -> None:
    found = AudioFeatures.from_items(items(energy=[0.4], energy_source=["missing"]))
    assert not found.known[0, ENERGY]
    assert np.isnan(found.mean[0, ENERGY])
