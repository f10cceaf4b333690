"""Item arrays by hand, and what must not matter to them."""

from dataclasses import fields
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data.schema import AUDIO_FEATURES
from crossfade.errors import ConfigError, DataError
from crossfade.features.audio import AudioFeatures, Source
from crossfade.features.items import ITEM_FEATURES, ItemArrays, ItemSchema, ItemSchemaConfig
from crossfade.features.pages import item_features_page
from crossfade.types import Bools

ENERGY, TEMPO = AUDIO_FEATURES.index("energy"), AUDIO_FEATURES.index("tempo")
EVERY_LABEL = ItemSchemaConfig(min_creator_items=1, min_label_items=1)

CATALOGUE = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "creator": ["Ann", " ann ", "Bob", None],
        "genres": [["Rock", " JAZZ"], ["rock", "rock", ""], None, ["folk"]],
        "moods": [["calm"], [], ["calm"], ["dark"]],
        "duration_ms": [100_000, 200_000, 0, None],
        "release_date": [date(1990, 5, 1), date(2000, 1, 1), None, date(2010, 1, 1)],
        "energy": [0.2, 0.6, None, 0.4],
        "tempo": [30.0, 300.0, 165.0, None],
    },
    schema_overrides={"energy": pl.Float32, "tempo": pl.Float32},
)


def everything(n: int = 4) -> Bools:
    return np.ones(n, dtype=np.bool_)


def fitted(known: Bools | None = None, config: ItemSchemaConfig = EVERY_LABEL) -> ItemSchema:
    return ItemSchema.fit(CATALOGUE, everything() if known is None else known, config)


def lists(indptr: Any, values: Any) -> list[list[int]]:
    return [values[a:b].tolist() for a, b in pairwise(indptr)]


def genres(arrays: ItemArrays) -> list[list[int]]:
    return lists(arrays.genre_indptr, arrays.genre_row)


def assert_same(one: ItemArrays, other: ItemArrays) -> None:
    for field in fields(ItemArrays):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_labels_are_compared_in_lower_case_and_the_most_common_come_first() -> None:
    schema = fitted()
    assert schema.genres.names == ("rock", "folk", "jazz")
    assert genres(schema.transform(CATALOGUE)) == [[1, 3], [1], [], [2]]
    assert schema.creators.names == ("name:ann", "name:bob")
    assert schema.transform(CATALOGUE).creator_row.tolist() == [1, 1, 2, 0]


def test_no_label_is_an_empty_list_and_an_unseen_one_is_row_0() -> None:
    new = pl.DataFrame(
        {"item_id": ["x", "y", "z"], "genres": [["ska", "POLKA"], [], ["ska", "rock"]]}
    )
    arrays = fitted().transform(new)
    assert genres(arrays) == [[0], [], [1, 0]]
    assert arrays.creator_row.tolist() == [0, 0, 0]


def test_items_unknown_before_the_cut_teach_nothing() -> None:
    known = np.array([True, True, True, False])
    changed = CATALOGUE.with_columns(
        [
            pl.when(pl.col("item_id") == "d").then(value).otherwise(pl.col(name)).alias(name)
            for name, value in {
                "creator": pl.lit("Zoe"),
                "duration_ms": pl.lit(7_000),
                "release_date": pl.lit(date(1950, 1, 1)),
                "energy": pl.lit(1.0, dtype=pl.Float32),
            }.items()
        ]
    )
    one, other = (ItemSchema.fit(items, known, EVERY_LABEL) for items in (CATALOGUE, changed))
    assert "folk" not in one.genres.names
    for name, value in one.to_arrays().items():
        np.testing.assert_array_equal(value, other.to_arrays()[name])


def test_rare_labels_and_creators_stay_unseen() -> None:
    schema = fitted(config=ItemSchemaConfig())
    assert schema.genres.names == ("rock",)
    assert schema.creators.names == ("name:ann",)
    assert genres(schema.transform(CATALOGUE)) == [[1, 0], [1], [], [0]]


def test_a_limit_keeps_the_most_common_labels_and_drops_unseen_ones_first() -> None:
    schema = fitted(config=EVERY_LABEL.changed(max_genres=2))
    items = pl.DataFrame({"item_id": ["x"], "genres": [["ska", "jazz", "folk", "rock"]]})
    assert genres(schema.transform(items)) == [[1, 2]]


def test_the_id_of_a_creator_is_surer_than_the_name() -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a", "b", "c", "d"],
            "creator": ["Ann", "Ann", "7", "x"],
            "creator_id": ["7", "8", None, " "],
        }
    )
    rows = ItemSchema.fit(items, everything(), EVERY_LABEL).transform(items).creator_row
    assert len(set(rows.tolist())) == 4  # two people called Ann, and one called "7"
    assert 0 not in rows


def test_audio_is_scaled_to_its_range_and_missing_stays_missing() -> None:
    arrays = fitted().transform(CATALOGUE)
    np.testing.assert_allclose(arrays.audio[:, TEMPO], [0, 1, 0.5, np.nan])
    np.testing.assert_allclose(arrays.audio[:, ENERGY], [0.2, 0.6, np.nan, 0.4], rtol=1e-6)
    assert np.isnan(np.delete(arrays.audio, [ENERGY, TEMPO], axis=1)).all()
    assert arrays.audio_confidence[:, ENERGY].tolist() == [1, 1, 0, 1]
    assert not np.delete(arrays.audio_confidence, [ENERGY, TEMPO], axis=1).any()


def guess(sigma: dict[int, float], source: Source = Source.PREDICTED) -> AudioFeatures:
    """One item whose features are all 0.5 (165 beats per minute), each with its own doubt."""
    mean = np.full((1, 8), 0.5, dtype=np.float32)
    mean[0, TEMPO] = 165
    doubt = np.full((1, 8), 10.0, dtype=np.float32)
    for column, value in sigma.items():
        doubt[0, column] = value
    return AudioFeatures(mean, doubt, np.full((1, 8), source, dtype=np.int8))


def test_a_guess_counts_by_the_variance_it_explains() -> None:
    # Known energies 0.2 and 0.6: mean 0.4, variance 0.04; tempos 0 and 1 in units: variance 0.25.
    schema = fitted(np.array([True, True, False, False]))
    # Energy: 1 − 0.1² / 0.04 = 0.75. Tempo: 81 of a range of 270 is 0.3; 1 − 0.09 / 0.25 = 0.64.
    arrays = schema.transform(CATALOGUE[:1], guess({ENERGY: 0.1, TEMPO: 81.0}))
    assert arrays.audio_confidence[0, ENERGY] == pytest.approx(0.75)
    assert arrays.audio_confidence[0, TEMPO] == pytest.approx(0.64)
    # A guess as doubtful as the catalogue is wide tells nothing, nor does one without a yardstick.
    assert not np.delete(arrays.audio_confidence, [ENERGY, TEMPO], axis=1).any()
    prior = schema.transform(CATALOGUE[:1], guess({ENERGY: 0.2, TEMPO: 135.0}, Source.PRIOR))
    np.testing.assert_allclose(prior.audio_confidence, 0, atol=1e-6)


def test_the_doubt_of_guesses_is_part_of_the_spread() -> None:
    # Two guesses of 0.2 and 0.6, each ± 0.3: variance 0.04 + 0.09 = 0.13.
    mean = np.full((2, 8), np.nan, dtype=np.float32)
    mean[:, ENERGY] = [0.2, 0.6]
    sigma = np.where(np.isnan(mean), np.nan, 0.3).astype(np.float32)
    source = np.where(np.isnan(mean), Source.MISSING, Source.PREDICTED).astype(np.int8)
    audio = AudioFeatures(mean, sigma, source)
    schema = ItemSchema.fit(CATALOGUE[:2], everything(2), EVERY_LABEL, audio)
    assert schema.audio_spread[ENERGY] == pytest.approx(np.sqrt(0.13))
    assert np.isnan(np.delete(schema.audio_spread, ENERGY)).all()


def test_year_and_duration_are_standardised_on_the_known_items() -> None:
    arrays = fitted(np.array([True, True, True, False])).transform(CATALOGUE)
    # Years 1990 and 2000: mean 1995, deviation 5. 2010 lies 3 deviations above.
    np.testing.assert_allclose(arrays.numeric[:, 0], [-1, 1, np.nan, 3])
    # log 100 and log 200: mean in the middle; a duration of 0 is no duration.
    np.testing.assert_allclose(arrays.numeric[:, 1], [-1, 1, np.nan, np.nan], rtol=1e-5)


def test_outliers_are_cut_and_a_constant_is_not_blown_up() -> None:
    # The mean of eleven times log 181 misses log 181 by a rounding error.
    same = pl.DataFrame({"item_id": list("abcdefghijk")}).with_columns(
        duration_ms=181_000, release_date=date(2000, 1, 1)
    )
    schema = ItemSchema.fit(same, everything(11), EVERY_LABEL)
    np.testing.assert_allclose(schema.transform(same).numeric, 0, atol=1e-9)
    far = same[:1].with_columns(release_date=date(1, 1, 1), duration_ms=10**9)
    assert schema.transform(far).numeric[0].tolist() == [-5.0, 5.0]


def test_free_columns_change_nothing() -> None:
    famous = CATALOGUE.with_columns(
        popularity=pl.Series([99, 1, 50, 7]),
        sales_rank=pl.Series([1, 10_000, 3, None]),
        aoty_score=pl.Series([90.5, 10.0, None, 55.0]),
        critic_score=pl.Series([1.0, 2.0, 3.0, 4.0]),
        total_user_interactions=pl.Series([10**9, 0, 0, 0]),
        title=pl.Series(["🎵", "", None, "x" * 100_000]),
    )
    schema = ItemSchema.fit(famous, everything(), EVERY_LABEL)
    for name, value in fitted().to_arrays().items():
        np.testing.assert_array_equal(value, schema.to_arrays()[name])
    assert_same(schema.transform(famous), fitted().transform(CATALOGUE))


def test_saving_changes_nothing() -> None:
    schema = fitted()
    again = ItemSchema.from_arrays(schema.to_arrays(), EVERY_LABEL)
    assert_same(again.transform(CATALOGUE), schema.transform(CATALOGUE))


def test_a_catalogue_of_one_bare_item_is_masked_not_refused() -> None:
    bare = pl.DataFrame({"item_id": ["only"]})
    arrays = ItemSchema.fit(bare, everything(1)).transform(bare)
    assert (len(arrays), arrays.creator_row.tolist(), genres(arrays)) == (1, [0], [[]])
    assert np.isnan(arrays.audio).all()
    assert np.isnan(arrays.numeric).all()
    assert not arrays.audio_confidence.any()


def test_nothing_known_before_the_cut_masks_everything_scaled() -> None:
    arrays = fitted(np.zeros(4, dtype=np.bool_)).transform(CATALOGUE)
    assert genres(arrays) == [[0], [0], [], [0]]
    assert np.isnan(arrays.numeric).all()
    np.testing.assert_allclose(arrays.audio[:2, TEMPO], [0, 1])  # a range needs no fitting


def test_columns_of_nulls_are_missing() -> None:
    items = pl.DataFrame({"item_id": ["x", "y"], "genres": [None, None], "moods": [[], []]})
    assert genres(fitted().transform(items)) == [[], []]


def test_tempo_in_another_unit_is_refused_with_its_mend() -> None:
    wrong = CATALOGUE.with_columns(tempo=pl.Series([2.1, 120.0, 0.5, None], dtype=pl.Float32))
    with pytest.raises(DataError, match=r"tempo_out_of_range: 2 rows, first at item a: tempo 2\.1"):
        fitted().transform(wrong)


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(DataError, match="known for 3 items and a catalogue of 4"):
        ItemSchema.fit(CATALOGUE, everything(3))
    with pytest.raises(DataError, match="audio features for 1 items and a catalogue of 4"):
        fitted().transform(CATALOGUE, guess({}))
    with pytest.raises(ConfigError, match="min_creator_items"):
        ItemSchemaConfig(min_creator_items=0)


def test_every_column_keeps_to_its_dictionary() -> None:
    arrays = fitted().transform(CATALOGUE)
    table = np.column_stack([arrays.audio, arrays.audio_confidence, arrays.numeric])
    assert [x.name for x in ITEM_FEATURES][:8] == list(AUDIO_FEATURES)
    assert table.shape[1] == len(ITEM_FEATURES)
    for column, feature in zip(table.T, ITEM_FEATURES, strict=True):
        known = column[~np.isnan(column)]
        assert ((known >= feature.low) & (known <= feature.high)).all()


def test_the_reference_page_is_made_from_the_dictionary() -> None:
    page = Path(__file__).parents[2] / "docs/reference/item-features.md"
    assert page.read_text(encoding="utf-8") == item_features_page(), (
        "write crossfade.features.pages.item_features_page() to docs/reference/item-features.md"
    )


NAMES = st.sampled_from(["rock", "Rock ", "jazz", "folk", "", "ska"])
CATALOGUES = st.lists(
    st.tuples(
        st.none() | NAMES,
        st.none() | st.lists(NAMES, max_size=4),
        st.none() | st.integers(0, 10**7),
        st.none() | st.floats(0, 1, width=32),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@given(CATALOGUES, st.randoms(use_true_random=False), st.sampled_from([None, 1, 2]))
def test_the_order_of_a_catalogue_does_not_matter(
    rows: list[tuple[Any, ...]], random: Any, most: int | None
) -> None:
    creator, genre, duration, energy, known = map(list, zip(*rows, strict=True))
    items = pl.DataFrame(
        {
            "item_id": [str(i) for i in range(len(rows))],
            "creator": pl.Series(creator, dtype=pl.String),
            "genres": pl.Series(genre, dtype=pl.List(pl.String)),
            "duration_ms": pl.Series(duration, dtype=pl.Int64),
            "energy": pl.Series(energy, dtype=pl.Float32),
        }
    )
    order = list(range(len(rows)))
    random.shuffle(order)
    config = EVERY_LABEL.changed(max_genres=most)
    schema = ItemSchema.fit(items, np.array(known), config)
    shuffled = ItemSchema.fit(items[order], np.array(known)[order], config)
    straight, permuted = schema.transform(items), schema.transform(items[order])
    assert_same(straight.take(np.array(order)), permuted)  # one schema: the very same numbers
    assert shuffled.genres == schema.genres
    assert shuffled.creators == schema.creators
    again = shuffled.transform(items[order])  # sums in another order round differently
    np.testing.assert_allclose(again.numeric, permuted.numeric, atol=1e-5)
