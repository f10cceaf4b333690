"""Scores without a learned model, taken apart: who brought what, to the last bit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.data import Queries, Taste
from crossfade.fusion.contributions import Contributions
from crossfade.fusion.scaling import Scaling
from crossfade.meta.blending import SCALINGS
from crossfade.meta.plain import PlainBlend
from crossfade.types import Floats

NAN = float("nan")
Lines = Mapping[str, Sequence[float]]


class Fixed:
    """A base that gives everybody the same scores."""

    def __init__(self, name: str, scores: Sequence[float]) -> None:
        self.name, self.n_asked = name, 0
        self.scores = np.array(scores, dtype=np.float32)

    def score_batch(self, queries: Queries) -> Floats:
        self.n_asked += 1
        return np.tile(self.scores, (len(queries), 1))


def plain(
    scores: Lines,
    weights: Mapping[str, float],
    scaling: Scaling = "zscore",
    prior: str | None = None,
    taste: str | None = None,
) -> PlainBlend:
    bases = {name: Fixed(name, line) for name, line in scores.items()}
    return PlainBlend(
        bases, weights, scaling, exclude_seen=False, candidates=None, prior=prior, taste=taste
    )


def asking(n_items: int, *, states: bool = False, n_events: int = 0) -> Queries:
    query = Queries.of_items([0] * n_events, n_items)
    return replace(query, tastes=(Taste(("jazz",)),)) if states else query


def account(
    blend: PlainBlend, query: Queries, static: bool = True
) -> tuple[tuple[str, ...], Contributions, Floats]:
    score = blend.score_batch(query, np.array([static]))[0]
    rows = np.flatnonzero(~np.isnan(score)).astype(np.int32)
    labels, found, _ = blend.contributions(query, rows, score[rows], static=static)
    return labels, found, score[rows]


@st.composite
def blends(draw: st.DrawFn) -> tuple[PlainBlend, Queries, bool]:
    """Bases with gaps and ties, some of them silent, one of which may hear a taste."""
    n = draw(st.integers(1, 7))
    value = st.one_of(st.just(NAN), st.integers(-3, 3).map(float))
    names = ["a", "b", "c"]
    scores = {name: draw(st.lists(value, min_size=n, max_size=n)) for name in names}
    weights = draw(st.sampled_from([(1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.2, 0.3, 0.5)]))
    name = st.sampled_from([None, *names])
    blend = plain(
        scores,
        dict(zip(names, weights, strict=True)),
        draw(st.sampled_from(["zscore", "reciprocal_rank"])),
        draw(name),
        draw(name),
    )
    query = asking(n, states=draw(st.booleans()), n_events=draw(st.integers(0, 12)))
    return blend, query, draw(st.booleans())


@given(blends())
def test_what_bases_brought_is_the_score(made: tuple[PlainBlend, Queries, bool]) -> None:
    blend, query, static = made
    labels, found, score = account(blend, query, static)
    assert len(set(labels)) == len(labels) == found.base.shape[1]
    np.testing.assert_array_equal(found.base.sum(axis=1) + found.residual, score)
    # Nothing but rounding is nobody's: a residual would hide a base that was forgotten.
    assert (np.abs(found.residual) < 1e-5).all()
    np.testing.assert_allclose(found.centred.sum(axis=1) + found.centred_residual, score, atol=1e-9)


@given(blends())
def test_who_acted_is_who_brought_something(made: tuple[PlainBlend, Queries, bool]) -> None:
    blend, query, static = made
    score = blend.score_batch(query, np.array([static]))[0]
    rows = np.flatnonzero(~np.isnan(score)).astype(np.int32)
    labels, found, _ = blend.contributions(query, rows, score[rows], static=static)
    shares = blend.shares(query, rows, static=static)
    for place, line in enumerate(shares):
        brought = dict(zip(labels, found.base[place], strict=True))
        assert {label for label, part in brought.items() if part != 0} <= set(line)


@given(blends())
def test_the_average_item_is_lifted_by_nobody(made: tuple[PlainBlend, Queries, bool]) -> None:
    blend, query, static = made
    _, found, _ = account(blend, query, static)
    # A base's own zeros, where it has no say, are no part of its average.
    for base, centred in zip(found.base.T, found.centred.T, strict=True):
        there = (base != 0) | (centred != 0)
        assert abs(centred[there].sum()) < 1e-6


@given(blends())
def test_the_average_is_of_all_that_has_a_score(made: tuple[PlainBlend, Queries, bool]) -> None:
    blend, query, static = made
    score = blend.score_batch(query, np.array([static]))[0]
    none = np.zeros(0, dtype=np.int32)
    average = blend.contributions(query, none, score[none], static=static).average
    there = score[~np.isnan(score)]
    np.testing.assert_allclose(average, there.mean() if len(there) else NAN, atol=1e-6)


def test_a_base_that_ranks_an_item_last_speaks_against_it_on_every_scale() -> None:
    lines = {"a": [3, 2, 1], "b": [1, 2, 3]}
    for scaling in SCALINGS:
        blend = plain(lines, {"a": 0.75, "b": 0.25}, scaling)
        labels, found, score = account(blend, asking(3))
        assert labels == ("a", "b")
        assert score.argmax() == 0
        assert (found.centred[0] > 0).tolist() == [True, False]


def test_an_item_that_only_a_stated_taste_knows_owes_nothing_to_the_prior() -> None:
    # The weighted base speaks, if not of the last item; so the prior was never heard.
    lines: Lines = {"knows": [2, 1, NAN], "famous": [1, 2, 3], "hears": [NAN, 1, 2]}
    blend = plain(lines, {"knows": 1, "famous": 0, "hears": 0}, prior="famous", taste="hears")
    query = asking(3, states=True)
    score = blend.score_batch(query, np.array([True]))[0]
    last = np.array([2], dtype=np.int32)
    labels, found, _ = blend.contributions(query, last, score[last], static=True)
    assert dict(zip(labels, found.base[0], strict=True)) == {"knows": 0, "hears": 1}


def test_where_a_learned_model_was_asked_and_silent_the_prior_brought_it_all() -> None:
    blend = plain({"knows": [2, 1], "famous": [1, 2]}, {"knows": 1, "famous": 0}, prior="famous")
    labels, found, score = account(blend, asking(2), static=False)
    assert labels == ("famous",)
    np.testing.assert_array_equal(found.base[:, 0], score)


def test_a_base_that_is_prior_and_taste_is_one_base() -> None:
    lines: Lines = {"knows": [NAN, NAN, NAN], "both": [1, 2, 6]}
    blend = plain(lines, {"knows": 1, "both": 0}, prior="both", taste="both")
    labels, found, _ = account(blend, asking(3, states=True))
    assert labels == ("both",)
    assert (np.abs(found.residual) < 1e-6).all()


def test_nobody_at_all_is_an_empty_account() -> None:
    labels, found, score = account(plain({"a": [NAN, NAN]}, {"a": 1}), asking(2))
    assert labels == ()
    assert found.base.shape == (len(score), 0) == (0, 0)


def test_one_request_is_scored_once_whatever_is_asked_of_it() -> None:
    bases = {"a": Fixed("a", [1, 2, 3]), "b": Fixed("b", [3, 1, 2])}
    blend = PlainBlend(
        bases,
        {"a": 0.5, "b": 0.5},
        "zscore",
        exclude_seen=False,
        candidates=None,
        prior="a",
        taste=None,
    )
    query, rows = asking(3), np.arange(3, dtype=np.int32)
    score = blend.score_batch(query, np.array([True]))[0]
    blend.shares(query, rows, static=True)
    blend.contributions(query, rows, score, static=True)
    assert [base.n_asked for base in bases.values()] == [1, 1]
    blend.score_batch(asking(3), np.array([True]))  # somebody else
    assert [base.n_asked for base in bases.values()] == [2, 2]


@pytest.mark.parametrize("n_events", [0, 10])
def test_a_stated_taste_is_credited_with_its_share(n_events: int) -> None:
    lines = {"deaf": [3, 2, 1], "hears": [1, 2, 3]}
    blend = plain(lines, {"deaf": 1, "hears": 0}, taste="hears")
    labels, found, _ = account(blend, asking(3, states=True, n_events=n_events))
    share = 9 / (10 + n_events)
    z = np.sqrt(1.5)
    assert labels == ("deaf", "hears")
    np.testing.assert_allclose(found.base[0], [(1 - share) * z, -share * z], rtol=1e-6)
