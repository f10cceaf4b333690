"""What every `Recommender` must do, whatever it learns.

Each check takes a function that makes a fresh, unfitted model, and raises
`AssertionError` where the promise is broken::

    @pytest.mark.parametrize("check", RECOMMENDER_CHECKS, ids=lambda check: check.__name__)
    def test_my_model_keeps_the_contract(check):
        check(MyModel)
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load, save

from crossfade.data import Dataset, Queries
from crossfade.errors import NotFittedError
from crossfade.recommenders.base import EVIDENCE, Recommender
from crossfade.testing.attribution import ATTRIBUTION_CHECKS
from crossfade.testing.data import checkerboard, one_event, only_unwanted

Maker = Callable[[], Recommender[Any]]


def check_an_unfitted_model_says_so(make: Maker) -> None:
    """Scoring before `fit` is a `NotFittedError`, not an answer."""
    try:
        make().score_batch(Queries.of_items([0], 21))
    except NotFittedError:
        return
    raise AssertionError("scored before it was fitted")


def check_the_checkerboard_is_recovered(make: Maker) -> None:
    """Every user's unseen items of their own colour come before all of the other colour.

    Models that give all requests the same scores (popularity) cannot know and are let off.
    """
    for data in (checkerboard(), checkerboard(timed=False), checkerboard(rated=True)):
        n = data.n_users
        scores = make().fit(data).score_batch(data.queries(range(n)))[:, :n]
        if (scores == scores[0]).all():
            continue
        for user in range(n):
            other = scores[user, 1 - user % 2 :: 2]
            assert scores[user, user] > other.max(), f"user {user} prefers the other colour"


def check_scores_are_finite_single_precision(make: Maker) -> None:
    """Float32, one column per item, NaN or finite, never infinite."""
    for data in (checkerboard(), checkerboard(timed=False, rated=True), one_event()):
        scores = make().fit(data).score_batch(data.queries(range(data.n_users)))
        assert scores.dtype == np.float32
        assert scores.shape == (data.n_users, data.n_items)
        assert not np.isinf(scores).any()


def check_a_batch_equals_one_by_one(make: Maker) -> None:
    """Who else is in the batch never changes a score, not even by a rounding."""
    data = checkerboard()
    model = make().fit(data)
    # Far more requests than cores, so that some follow others through the same loop.
    queries = data.queries([3, 0, 7, 3, 19] * 60)
    together = model.score_batch(queries)
    for place in range(0, len(queries), 7):
        alone = model.score_batch(queries.take([place]))[0]
        np.testing.assert_array_equal(together[place], alone)


def check_scoring_changes_nothing(make: Maker) -> None:
    """Neither the model nor the requests remember that they were scored."""
    data = checkerboard()
    model, queries = make().fit(data), data.queries([3, 8])
    asked = {field.name: getattr(queries, field.name) for field in fields(queries)}
    asked = {name: np.array(value) for name, value in asked.items() if value is not None}
    learned = {name: array.copy() for name, array in model.state().items()}
    before = model.score_batch(queries).copy()
    model.score_batch(Queries.of_items([1, 3], data.n_items))  # a stranger must not be learnt
    model.score(queries.take([0]), [0, 1])
    model.top(queries.take([1]), 5, exclude=[0])
    np.testing.assert_array_equal(model.score_batch(queries), before)
    for name, value in asked.items():
        np.testing.assert_array_equal(getattr(queries, name), value)
    _assert_same_state(model.state(), learned)


def check_a_second_fit_forgets_the_first(make: Maker) -> None:
    """A model fitted twice equals one fitted once on the second data set."""
    first, second = checkerboard(12), checkerboard(20)
    again = make().fit(first).fit(second)
    _assert_same_state(again.state(), make().fit(second).state())


def check_equal_seeds_give_equal_models(make: Maker) -> None:
    """The seed is the only source of chance, and the world's generator is left alone."""
    data = checkerboard()
    world = np.random.get_state(legacy=False)  # noqa: NPY002
    first, second = make().fit(data, seed=7), make().fit(data, seed=7)
    _assert_same_state(first.state(), second.state())
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert str(world) == str(after), "the global random generator was used"


def check_saving_changes_nothing(make: Maker) -> None:
    """Settings and plain arrays are the whole model: bytes and back give the same scores."""
    for data in (checkerboard(), one_event()):
        model = make().fit(data)
        arrays = load(save({name: np.asarray(x) for name, x in model.state().items()}))
        restored = type(model).restore(model.config.model_dump(mode="json"), arrays)
        queries = data.queries(range(data.n_users))
        np.testing.assert_array_equal(restored.score_batch(queries), model.score_batch(queries))
        assert restored.notices == model.notices
        one = queries.take([0])
        np.testing.assert_array_equal(
            restored.score(one, [0]).evidence, model.score(one, [0]).evidence
        )
        for item_row in (0, data.n_items - 1):
            before, after = model.similar(item_row), restored.similar(item_row)
            if before is None:
                assert after is None
            else:
                np.testing.assert_array_equal(np.asarray(after), before)


def check_unknown_items_cannot_be_scored(make: Maker) -> None:
    """Rows outside the catalogue are NaN in score and evidence, and shift nothing."""
    data = checkerboard()
    model, query = make().fit(data), data.queries([2])
    scored = model.score(query, [-1, 4, 10_000, 5])
    assert np.isnan(scored.score[[0, 2]]).all()
    assert np.isnan(scored.evidence[[0, 2]]).all()
    np.testing.assert_array_equal(scored.score[[1, 3]], model.score_batch(query)[0, [4, 5]])
    assert scored.evidence.shape == (4, len(EVIDENCE))


def check_a_foreign_catalogue_is_refused(make: Maker) -> None:
    """A request about another number of items is an error, not a shifted answer."""
    model = make().fit(checkerboard())
    try:
        model.score_batch(Queries.of_items([0], 7))
    except ValueError:
        return
    raise AssertionError("scored a request about another catalogue")


def check_an_empty_history_is_honest(make: Maker) -> None:
    """Without history all scores are NaN, unless the class says it serves cold users."""
    data = checkerboard()
    model = make().fit(data)
    for cold in (Queries.of_items([], data.n_items), only_unwanted(data.n_items)):
        scores = model.score_batch(cold)
        assert scores.shape == (1, data.n_items)
        if type(model).serves_cold_users:
            assert not np.isnan(scores[0, :-1]).any()
        else:
            assert np.isnan(scores).all()
            assert len(model.top(cold, 3).item_row) == 0


def check_a_cold_item_is_honest(make: Maker) -> None:
    """An item nobody wanted is NaN, unless the class says it serves cold items."""
    data = checkerboard()
    model = make().fit(data)
    scores = model.score_batch(data.queries(range(data.n_users)))
    cold = data.n_items - 1
    assert np.isnan(scores[:, cold]).all() != type(model).serves_cold_items
    assert not np.isnan(scores[:, :cold]).any()
    # Liking nothing but the cold item is no evidence, unless content speaks for it.
    only_cold = model.score_batch(Queries.of_items([cold], data.n_items))
    if not (type(model).serves_cold_items or type(model).serves_cold_users):
        assert np.isnan(only_cold).all()


def check_a_stranger_equals_a_known_person(make: Maker) -> None:
    """The history decides: a stranger with the same events gets the same scores."""
    data = checkerboard()
    model, known = make().fit(data), data.queries([5])
    stranger = Queries(
        **{f.name: getattr(known, f.name) for f in fields(known) if f.name != "user_row"},
        user_row=np.array([-1], dtype=np.int32),
    )
    np.testing.assert_array_equal(model.score_batch(stranger), model.score_batch(known))


def check_one_event_is_enough(make: Maker) -> None:
    """A person with a single event gets finite scores for every item with support."""
    data = checkerboard()
    scores = make().fit(data).score_batch(Queries.of_items([4], data.n_items))
    assert np.isfinite(scores[0, :-1]).all()


def check_the_smallest_log_works(make: Maker) -> None:
    """One person, one item, one event: fits, scores without infinities, has a support of 1."""
    data = one_event()
    model = make().fit(data)
    assert model.support.tolist() == [1]
    assert model.score_batch(data.queries([0])).shape == (1, 1)


def check_a_log_without_positives_scores_nobody(make: Maker) -> None:
    """Where nothing was ever wanted there is nothing to learn and nothing to say."""
    frame = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"], "event": ["skip", "skip"]})
    data = Dataset.build(frame)
    assert np.isnan(make().fit(data).score_batch(data.queries([0, 1]))).all()


def check_the_top_is_ordered_and_ties_break_by_row(make: Maker) -> None:
    """Best first, equal scores by row, excluded items absent, each item once."""
    data = checkerboard()
    model, query = make().fit(data), data.queries([6])
    best = model.top(query, 50, exclude=[2, 3])
    assert not {2, 3} & set(best.item_row.tolist())
    assert len(set(best.item_row.tolist())) == len(best.item_row)
    order = np.lexsort((best.item_row, -best.score))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    np.testing.assert_array_equal(best.score, model.score_batch(query)[0, best.item_row])
    # -1 is the house spelling of unknown, not of the last item.
    unknown = model.top(query, 50, exclude=[2, 3, -1, data.n_items])
    np.testing.assert_array_equal(unknown.item_row, best.item_row)


def check_similar_items_share_a_colour(make: Maker) -> None:
    """Models with item similarity know no item as its own neighbour and find the same colour."""
    data = checkerboard()
    similarity = make().fit(data).similar(4)
    if similarity is None:
        return
    assert similarity.shape == (data.n_items,)
    assert np.isnan(similarity[4])
    assert np.nanmin(np.delete(similarity[0:20:2], 2)) > np.nanmax(similarity[1:20:2])


def check_embeddings_fit_the_data(make: Maker) -> None:
    """Vectors, where there are some: one row per user and per item, of one width."""
    data = checkerboard()
    model = make().fit(data)
    vectors = model.embeddings()
    if vectors is None:
        return
    assert len(vectors.user) == data.n_users
    assert len(vectors.item) == data.n_items
    assert vectors.user.shape[1] == vectors.item.shape[1]
    cold = np.isnan(vectors.item[-1])
    assert cold.all() or model.serves_cold_items, "a cold item must not have a vector"
    assert cold.all() or not cold.any()


def check_products_are_the_scores(make: Maker) -> None:
    """Models that say their scores are products of vectors mean these very scores, and nothing else."""
    data = checkerboard()
    model = make().fit(data)
    for queries in (data.queries(range(4)), Queries.of_items([], data.n_items)):
        told = model.products(queries)
        if told is None:
            return
        products = np.where(told.known, told.request @ np.nan_to_num(told.item).T, np.nan)
        np.testing.assert_allclose(products, model.score_batch(queries), rtol=1e-4, atol=1e-6)


def check_the_same_for_all_is_the_same_for_all(make: Maker) -> None:
    """Models that say so score every request alike."""
    data = checkerboard()
    model = make().fit(data)
    if not model.same_for_all:
        return
    nobody = model.score_batch(Queries.of_items([], data.n_items))
    for row in model.score_batch(data.queries(range(data.n_users))):
        np.testing.assert_array_equal(row, nobody[0])


def check_evidence_counts(make: Maker) -> None:
    """History volume and item support are plain counts; recency needs a time to be known."""
    data = checkerboard()
    model, query = make().fit(data), data.queries([0])
    evidence = dict(zip(EVIDENCE, model.score(query, [0]).evidence[0], strict=True))
    assert evidence["history_count"] == 9
    assert evidence["item_support"] == 9
    assert np.isnan(evidence["recency_days"])


def check_snapshots_are_no_input(make: Maker) -> None:
    """Columns of the catalogue that hold today's fame or site ratings move no score.

    They were taken after the last event, so a model that reads them knows the future.
    """
    data = checkerboard()
    fame = np.arange(data.n_items, dtype=np.float64)
    names = ("popularity", "snapshot_average_rating", "n_ratings", "acclaim")
    told = replace(data, items=data.items.with_columns(pl.Series(n, fame) for n in names))
    told = replace(told, users=told.users.with_columns(pl.lit(9).alias("n_plays_today")))
    queries = data.queries(range(data.n_users))
    plain, knowing = (make().fit(d).score_batch(queries) for d in (data, told))
    np.testing.assert_array_equal(plain, knowing)


RECOMMENDER_CHECKS: tuple[Callable[[Maker], None], ...] = (
    *(check for name, check in list(globals().items()) if name.startswith("check_")),
    *ATTRIBUTION_CHECKS,
)
"""Every check above, in order, and those of attributions."""


def _assert_same_state(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
