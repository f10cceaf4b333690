"""Every modality: an absent one is a mask, unknown items teach nothing, provenance is true."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
import polars as pl
import pytest
import torch

from crossfade.context.base import MaskedEncoder
from crossfade.context.multimodal import MultiModalContext
from crossfade.data import Dataset
from crossfade.errors import ConfigError, DataError
from crossfade.features.modalities import (
    MODALITIES,
    Asked,
    Encoded,
    ItemModality,
    encode_all,
    fit_modalities,
)
from crossfade.types import Floats, Rows

START = datetime(2024, 1, 1, tzinfo=UTC)
ALL = (*MODALITIES, "image")
ITEM_NAMES = ("text", "audio", "tags", "image")
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d", "e"],
        "title": ["Blue Moon", "Moon River", None, "Blue Train", "Zebra"],
        "genres": [["jazz"], ["jazz", "rock"], None, ["rock"], ["zydeco"]],
        "energy": [0.1, 0.9, None, 0.4, 0.5],
        "energy_sigma": [0.0, 0.1, None, 0.0, 0.0],
        "energy_source": ["actual", "predicted", "missing", "actual", "actual"],
        "snapshot_popularity": [1, 2, 3, 4, 5],
    }
)
IMAGES = pl.DataFrame(
    {"item_id": ["a", "b", "d", "e"], "v": [[3.0, 4.0], [0.0, 2.0], [0.0, 0.0], [9.0, 9.0]]}
)


def data_of(
    items: pl.DataFrame = ITEMS, images: pl.DataFrame = IMAGES, plays: Sequence[str] = "ab ba ad"
) -> Dataset:
    """Item e is of the catalogue only: nobody knew of it."""
    events = pl.DataFrame(
        [
            {
                "user_id": user,
                "item_id": item,
                "timestamp": START + timedelta(hours=hour),
                "context_mood": "sad" if hour % 2 else "gay",
            }
            for hour, (user, item) in enumerate(
                zip("uuvvwwuv", "abbdacca" if plays == "ab ba ad" else "caaddbbc", strict=True)
            )
        ]
    )
    friends = pl.DataFrame({"user_id": ["u", "w"], "friend_id": ["v", "u"]})
    return Dataset.build(events, items, friends=friends, vectors={"image": images}, name="tiny")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return data_of()


def asked_of(data: Dataset) -> Asked:
    users = np.array([0, 1, 2], dtype=np.int32)
    candidates = np.tile(np.array([0, 2, 4, -1], dtype=np.int32), (3, 1))
    return Asked(data, candidates, data.queries(users))


def of_items(data: Dataset, name: str, fitted_on: Dataset | None = None) -> Encoded:
    modality = fit_modalities([name], fitted_on if fitted_on is not None else data)[name]
    return modality.encode(Asked(data, np.arange(data.n_items, dtype=np.int32)))


def test_what_is_known_by_hand(data: Dataset) -> None:
    # Vectors of length 1: (3, 4) is 5 long; c has none, and zeros point nowhere.
    image = of_items(data, "image")
    assert image.values[:2].ravel() == pytest.approx([0.6, 0.8, 0, 1])
    assert image.known.all(axis=1).tolist() == [True, True, False, False, True]
    # "jazz" and "rock" are on two known items each; "zydeco" is on none.
    tags = of_items(data, "tags")
    assert tags.values.tolist() == [[1, 0], [1, 1], [0, 0], [0, 1], [0, 0]]
    assert tags.known[:, 0].tolist() == [True, True, False, True, False]
    audio = of_items(data, "audio")
    assert audio.values[[0, 3], 0] == pytest.approx([0.1, 0.4])
    assert audio.values[[0, 3], 8].tolist() == [1, 1]  # measured
    assert 0 < audio.values[1, 8] < 1  # guessed
    assert audio.known[:, [0, 8]].all(axis=1).tolist() == [True, True, False, True, True]
    # Nothing in "Zebra, zydeco" has been met with.
    assert of_items(data, "text").known.all(axis=1).tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("name", ALL)
def test_values_have_a_mask_of_their_shape_and_padding_is_absent(data: Dataset, name: str) -> None:
    said = encode_all(fit_modalities([name], data), asked_of(data))[name]
    assert said.values.dtype == np.float32
    assert said.values.shape == said.known.shape
    assert np.isfinite(said.values).all()
    assert said.known.any()
    assert not said.values[~said.known].any()
    if name != "environment":  # of requests alone
        assert said.values.shape[:2] == (3, 4)
        assert not said.known[:, 3].any()


def test_an_absent_modality_has_no_influence_whatever_stands_in_its_place(data: Dataset) -> None:
    # F-26: the encoders' output goes into the join as it is, and what the mask hides moves nothing.
    said = encode_all(fit_modalities(ALL, data), asked_of(data))
    torch.manual_seed(0)
    readers = {name: MaskedEncoder(one.values.shape[-1], 4, 4) for name, one in said.items()}
    join = MultiModalContext(readers, 8).eval()

    def joined(said: dict[str, Encoded]) -> Any:
        return join({n: (torch.from_numpy(v), torch.from_numpy(k)) for n, (v, k) in said.items()})

    hidden = {n: Encoded(np.where(k, v, np.float32(np.nan)), k) for n, (v, k) in said.items()}
    before, after = joined(said), joined(hidden)
    assert torch.equal(before.context, after.context)
    image = before.weights[..., join.names.index("image")]
    assert (image[:, 1] == 0).all()  # c has no image
    assert (image[:, 0] > 0).all()


@pytest.mark.parametrize("name", ITEM_NAMES)
def test_nothing_is_learned_from_items_that_nobody_knew_of(name: str) -> None:
    # Another e, in the catalogue, changes nothing that is said of a to d.
    items = ITEMS.with_columns(
        title=pl.when(pl.col("item_id") == "e").then(pl.lit("Blue Moon")).otherwise("title"),
        genres=pl.when(pl.col("item_id") == "e")
        .then(pl.lit(["jazz", "zydeco"]))
        .otherwise("genres"),
        energy=pl.when(pl.col("item_id") == "e").then(0.99).otherwise("energy"),
    )
    images = IMAGES.with_columns(v=pl.Series([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0], [-5.0, 1.0]]))
    before, after = of_items(data_of(), name), of_items(data_of(items, images), name)
    np.testing.assert_array_equal(before.values[:4], after.values[:4])


@pytest.mark.parametrize("name", ITEM_NAMES)
def test_content_holds_no_event_aggregate(name: str) -> None:
    # P-10: who played what and how often, and what was counted of it elsewhere, is not in there.
    items = ITEMS.with_columns(snapshot_popularity=pl.Series([9, 9, 9, 9, 9]))
    before, after = of_items(data_of(), name), of_items(data_of(items, plays="other"), name)
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.known, after.known)


def test_event_aggregates_are_kept_from_who_may_not_read_them(data: Dataset) -> None:
    before, after = data, data_of(plays="other")
    said = [
        encode_all(fit_modalities(["social"], d), asked_of(d))["social"] for d in (before, after)
    ]
    assert not np.array_equal(said[0].values, said[1].values)  # so the tag is true
    with pytest.raises(ConfigError) as raised:
        fit_modalities(["text", "social", "environment"], data, may_read={"content"})
    assert str(raised.value).splitlines() == [
        'modality "social" is made of events, social, and only content may be read here; leave it out',
        'modality "environment" is made of situation, and only content may be read here; leave it out',
    ]


def test_vectors_that_know_the_future_are_read_by_nobody(data: Dataset) -> None:
    # P-10: factors learned from plays are no content, and cannot be cut at a time.
    factors = replace(data, vectors={"snapshot_factors": data.vectors["image"]})
    with pytest.raises(ConfigError, match="know the future"):
        fit_modalities(["snapshot_factors"], factors)


@pytest.mark.parametrize("name", ALL)
def test_a_modality_reads_nothing_but_what_it_says(data: Dataset, name: str) -> None:
    modality = fit_modalities([name], data)[name]
    columns = [c for c in data.items.columns if f"items.{c}" in modality.reads or c == "item_id"]
    situations = "events.context_*" in modality.reads
    rest = replace(
        data,
        items=data.items.select(columns),
        events=data.events if situations else data.events.drop("context_mood"),
        friends=data.friends if "friends" in modality.reads else None,
        vectors=data.vectors if f"vectors-{name}" in modality.reads else {},
    )
    before = modality.encode(asked_of(data))
    after = fit_modalities([name], rest)[name].encode(asked_of(rest))
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.known, after.known)


@pytest.mark.parametrize("name", ITEM_NAMES)
def test_rows_are_paired_by_id_in_whatever_order_the_tables_came(name: str) -> None:
    # P-04.
    mixed = data_of(ITEMS.reverse(), IMAGES.reverse())
    np.testing.assert_array_equal(of_items(data_of(), name).values, of_items(mixed, name).values)


@pytest.mark.parametrize("name", ITEM_NAMES)
def test_an_item_is_encoded_alike_alone_and_among_others(data: Dataset, name: str) -> None:
    modality = fit_modalities([name], data)[name]
    whole = of_items(data, name)
    some = modality.encode(Asked(data, np.array([3, 1, 3], dtype=np.int32)))
    np.testing.assert_array_equal(some.values, whole.values[[3, 1, 3]])
    nobody = modality.encode(Asked(data, np.array([], dtype=np.int32)))
    assert nobody.values.shape == (0, whole.values.shape[1])


def test_a_log_that_has_nothing_of_a_modality_knows_nothing(data: Dataset) -> None:
    bare = replace(
        data,
        items=data.items.select("item_id"),
        events=data.events.drop("context_mood"),
        friends=None,
    )
    said = encode_all(fit_modalities(list(MODALITIES), bare), asked_of(data))
    assert not any(one.known.any() for one in said.values())


def test_a_modality_none_of_whose_items_was_known_is_read_and_is_absent_elsewhere() -> None:
    only_new = data_of(images=IMAGES.filter(pl.col("item_id") == "e"))
    assert of_items(only_new, "image").known.all(axis=1).tolist() == [False] * 4 + [True]


def test_names_that_cannot_be_are_told_at_once(data: Dataset) -> None:
    twice = replace(data, vectors={**data.vectors, "text": data.vectors["image"]})
    with pytest.raises(ConfigError) as raised:
        fit_modalities(["text", "smell", "image", "image"], twice)
    first, second, third = str(raised.value).splitlines()
    assert 'two modalities are called "text"' in first
    assert 'no modality "smell"; choose from text, audio' in second
    assert '"image" is named twice' in third


def test_vectors_of_another_width_than_at_fit_are_refused(data: Dataset) -> None:
    other = data_of(images=pl.DataFrame({"item_id": ["a"], "v": [[1.0, 2.0, 3.0]]}))
    with pytest.raises(DataError, match="have 3 numbers and had 2"):
        of_items(other, "image", fitted_on=data)


def test_a_new_modality_is_a_class_and_a_line(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Length(ItemModality):
        name, reads = "length", ("items.title",)

        def fit(self, log: Dataset, seed: int = 0) -> Self:
            return self

        def _of_items(self, data: Dataset, item_row: Rows) -> Floats:
            n = data.items["title"][item_row].str.len_chars().cast(pl.Float32)
            return n.fill_null(np.nan).to_numpy()[:, None]

    monkeypatch.setitem(MODALITIES, "length", Length)
    said = of_items(data, "length")
    assert said.values[:, 0].tolist() == [9, 10, 0, 10, 5]
    assert said.known[:, 0].tolist() == [True, True, False, True, True]
