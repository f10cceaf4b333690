"""What a training step looks at: nothing of the future, nothing twice."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.features.text import item_texts, make_encoder
from crossfade.recommenders.two_tower.config import ExampleConfig, LossConfig, TwoTowerConfig
from crossfade.recommenders.two_tower.examples import Examples, Material, PositiveLog, item_batch
from crossfade.recommenders.two_tower.inputs import ItemInputs, UserInputs
from crossfade.recommenders.two_tower.reader import Reader
from crossfade.testing import tiny_catalogue


def material_of(dataset: Dataset, config: TwoTowerConfig | None = None) -> Material:
    config = config or TwoTowerConfig()
    known = dataset.known_items(None)
    texts = item_texts(dataset.items)
    reader = Reader.fit(dataset, known, config.item, config.user)
    text = make_encoder("tfidf").fit(texts).encode(texts)
    items = ItemInputs.make(reader.items, reader.schema, text)
    return Material(PositiveLog.read(dataset), items, known, reader.read)


def examples_of(material: Material, n_candidates: int = 4096, **config: object) -> Examples:
    return Examples(
        material,
        material.log.users,
        ExampleConfig(**{"batch_size": 8, "history_dropout": 0.0, **config}),
        LossConfig(n_candidates=n_candidates),
    )


def test_history_and_wanted_are_parts_of_what_somebody_liked(two_camps: Dataset) -> None:
    material = material_of(two_camps)
    liked = material.log.pairs.toarray() > 0
    for step in examples_of(material).epoch(np.random.default_rng(0)):
        starts = [*step.users.history.start.tolist(), len(step.users.history.row)]
        for place, user in enumerate((step.users.user - 1).tolist()):
            rows = step.users.history.row[starts[place] : starts[place + 1]]
            history = set(step.items.row[rows].tolist())
            wanted = set(step.items.row[: step.wanted.shape[1]][step.wanted[place]].tolist())
            assert not history & wanted
            assert wanted
            assert liked[user, [*history, *wanted]].all()
            # Everything somebody liked is no negative for them.
            excluded = step.items.row[: step.wanted.shape[1]][step.excluded[place]].tolist()
            assert set(excluded) == set(np.flatnonzero(liked[user]).tolist())


def test_with_moments_history_is_strictly_before_and_wanted_not_before(two_camps: Dataset) -> None:
    material = material_of(two_camps)
    asked: list[Queries] = []

    def read(queries: Queries) -> UserInputs:
        asked.append(queries)
        return material.read(queries)

    spy = replace(material, read=read)
    steps = list(examples_of(spy, order="future").epoch(np.random.default_rng(1)))
    times = {
        (u, i): t
        for u, i, t in two_camps.events.select("user_row", "item_row", "timestamp")
        .with_columns(timestamp=two_camps.events["timestamp"].to_physical())
        .iter_rows()
    }
    n_history = 0
    for queries, step in zip(asked, steps, strict=True):
        assert queries.as_of_us is not None
        assert queries.time_us is not None
        assert (queries.time_us < queries.as_of_us[queries.owner]).all()
        n_history += len(queries.item_row)
        for place, user in enumerate(queries.user_row.tolist()):
            rows = step.items.row[: step.wanted.shape[1]][step.wanted[place]].tolist()
            assert min(times[user, row] for row in rows) == queries.as_of_us[place]
    assert n_history > 0


def test_an_epoch_is_its_generator_and_every_user_comes_once(two_camps: Dataset) -> None:
    examples = examples_of(material_of(two_camps))
    first, again, other = (
        [step.users.user.tolist() for step in examples.epoch(np.random.default_rng(seed))]
        for seed in (3, 3, 4)
    )
    assert first == again != other
    assert sorted(user for batch in first for user in batch) == list(range(1, 41))
    assert len(first) == len(examples) == 5


@pytest.mark.parametrize("n", [8, 12])
def test_sampled_candidates_hold_wanted_items_and_uniform_ones(two_camps: Dataset, n: int) -> None:
    material = material_of(two_camps)
    for step in examples_of(material, n_candidates=n).epoch(np.random.default_rng(0)):
        n_candidates = step.wanted.shape[1]
        assert n_candidates <= n
        rows = step.items.row[:n_candidates].tolist()
        assert len(set(rows)) == n_candidates
        assert step.log_q.shape == (n_candidates,)
        assert (step.log_q <= 0).all()
        # History items that are no candidates come after them, to be pooled.
        assert set(step.items.row[step.users.history.row].tolist()) <= set(step.items.row.tolist())
        assert material.known[rows].all()


def test_items_come_in_the_order_of_the_step_also_where_all_are_there(two_camps: Dataset) -> None:
    # 16 candidates and the history together are mostly all 20 songs, in an order of their own.
    material = material_of(two_camps)
    examples, n_whole = examples_of(material, n_candidates=16, batch_size=40), 0
    for seed in range(20):
        for step in examples.epoch(np.random.default_rng(seed)):
            liked = material.log.pairs[step.users.user.numpy() - 1].toarray() > 0
            rows = step.items.row[: step.wanted.shape[1]].numpy()
            assert np.array_equal(step.excluded.numpy(), liked[:, rows])
            n_whole += len(step.items.row) == 20
    assert n_whole > 10


def test_repeats_do_not_make_an_item_a_likelier_candidate() -> None:
    # Everybody plays all 20 songs once, and u0 plays s00 a hundred times more.
    rows = [(f"u{user}", f"s{song:02d}") for user in range(10) for song in range(20)]
    events = pl.DataFrame([*rows, *[("u0", "s00")] * 100], ["user_id", "item_id"], orient="row")
    examples = examples_of(material_of(Dataset.build(events, name="repeats")), n_candidates=16)
    for step in examples.epoch(np.random.default_rng(0)):
        assert len(set(step.log_q.tolist())) == 1


def test_a_small_catalogue_is_compared_with_in_full(two_camps: Dataset) -> None:
    step = next(examples_of(material_of(two_camps)).epoch(np.random.default_rng(0)))
    assert step.items.row.tolist() == list(range(20))  # songs 20 to 22 were never played
    assert step.log_q.tolist() == [0.0] * 20


def test_shares_of_short_and_empty_histories(two_camps: Dataset) -> None:
    empty = examples_of(material_of(two_camps), empty_share=1.0)
    short = examples_of(material_of(two_camps), short_share=1.0, empty_share=0.0)
    for step in empty.epoch(np.random.default_rng(0)):
        assert len(step.users.history.row) == 0
    for step in short.epoch(np.random.default_rng(0)):
        sizes = np.diff([*step.users.history.start.tolist(), len(step.users.history.row)])
        assert ((sizes >= 1) & (sizes <= 4)).all()


def test_ratings_are_those_as_of_the_earliest_request_of_the_step(two_camps: Dataset) -> None:
    from crossfade.features.acclaim import ItemAcclaim

    material = replace(material_of(two_camps), acclaim=ItemAcclaim.read(two_camps))
    rows = np.arange(3, dtype=np.int32)
    start = int(two_camps.events["timestamp"].to_physical()[0])
    before = item_batch(material, rows, start).rating
    after = item_batch(material, rows, start + 10**12).rating
    assert before is not None
    assert after is not None
    assert not before[:, 5:].any()  # nothing is known before the first event
    assert after[:, 5:].any()


def test_somebody_with_a_single_like_makes_no_example() -> None:
    material = material_of(tiny_catalogue())
    # cid played d alone; ann played a twice and b, bob b and c.
    assert material.log.users.tolist() == [0, 1]
