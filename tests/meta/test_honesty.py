"""A learned blend profits from nothing it may not know, from no shuffled content, from no chance.

Another future, content of other items, and a gate that throws dice: the first must change
nothing, the second must be worth no more than none, the third must lose.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.fusion.gate.gates import TINY, planted

from crossfade.data import Dataset
from crossfade.data.splits import Plan, ProtocolConfig, Trial, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.evaluation.statistics import bootstrap
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.matrix import weighted
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.static import list_ndcg
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.chain import Material, gather
from crossfade.meta.contextual import contextual_signals
from crossfade.types import Doubles, Floats

CONFIG = BlendConfig(n_candidates=15, n_earlier_blocks=1, min_requests=10)
PLAIN: dict[str, dict[str, Any]] = {"popularity": {}, "item_knn": {}}
CONTENT: dict[str, dict[str, Any]] = {"content_knn": {}, "genre_item_knn": {}}
SETTINGS: dict[str, dict[str, Any]] = {"auto": {"candidates": ["ridge", "fwls"], "n_folds": 2}}


def cut_of(trial: Trial) -> int:
    assert trial.queries.as_of_us is not None
    return int(trial.queries.as_of_us.min())


def cut(data: Dataset) -> Plan:
    return make_plan(data, ProtocolConfig(), seed=0)


def chain(plan: Plan, bases: dict[str, dict[str, Any]]) -> tuple[Material, LabelledSignals]:
    """What a blend learns from, and the test block it is judged by."""
    material = gather(plan, bases, CONFIG, seed=0)
    (trial,) = plan.tests
    return material, judged_by(trial, trial.train, bases, material)


def judged_by(
    trial: Trial, known: Dataset, bases: dict[str, dict[str, Any]], material: Material
) -> LabelledSignals:
    """The test block, by bases and context of what is known."""
    return contextual_signals(
        replace(trial, train=known),
        fit_bases(bases, known, 0),
        material.track,
        config=CONFIG,
        seed=0,
    )


def blended(name: str, material: Material, test: LabelledSignals) -> Floats:
    model = make_fusion(name, SETTINGS.get(name))
    fitted = model.fit(material.train, material.calibrate)
    return fitted.forward(test.signals).score


def ndcg(score: Floats, test: LabelledSignals) -> Doubles:
    return list_ndcg(score, test.relevant, test.n_relevant, 10)


def ends(ours: Doubles, theirs: Doubles) -> tuple[float, float]:
    """Ends of the 95 % interval of the paired difference over requests."""
    found = bootstrap((ours - theirs)[:, None], np.random.default_rng(0))
    return float(found.low[0]), float(found.high[0])


def different(one: LabelledSignals, other: LabelledSignals) -> list[str]:
    """Names of the arrays of two blocks that are not equal to the bit."""
    assert one.signals.columns == other.signals.columns
    pairs = [(vars(one), vars(other)), (vars(one.signals), vars(other.signals))]
    return [
        name
        for mine, theirs in pairs
        for name, array in mine.items()
        if isinstance(array, np.ndarray)
        and not np.array_equal(array, theirs[name], equal_nan=array.dtype.kind == "f")
    ]


# -- the future --------------------------------------------------------------------------


def another_future(data: Dataset, since_us: int) -> Dataset:
    """Who acts when stays; what happens from a moment on is dealt anew among those who act."""
    events = data.events
    later = np.flatnonzero(events["timestamp"].to_physical().to_numpy() >= since_us)
    order = np.arange(len(events))
    order[later] = np.random.default_rng(1).permutation(later)
    moved = events.select(pl.exclude("timestamp", "user_row", "session_row"))[order]
    return replace(data, events=events.with_columns(moved.get_columns()))


def test_another_future_changes_nothing_that_a_blend_sees_or_says() -> None:
    config = WorldConfig(n_listeners=40, n_tracks=80, n_plays=2_500)
    data = make_world(config, seed=3).dataset
    bases = {**PLAIN, **CONTENT}
    plan = cut(data)
    material, test = chain(plan, bases)
    (trial,) = plan.tests
    other = another_future(data, cut_of(trial))
    changed = cut(other)
    (theirs,) = changed.tests
    # Asked by the same people at the same moment, and judged by the same wishes.
    queries = theirs.train.queries(trial.queries.user_row, trial.queries.as_of_us)
    asked = replace(theirs, queries=queries, relevant=trial.relevant)
    again, test_again = chain(replace(changed, tests=(asked,)), bases)

    assert different(test, test_again) == []
    assert different(material.train, again.train) == []
    assert different(material.calibrate, again.calibrate) == []
    for name in ("fwls", "auto"):
        np.testing.assert_array_equal(
            blended(name, material, test), blended(name, again, test_again)
        )
    # A leak would be seen: with bases and context that know the test block everything differs.
    leaks = [judged_by(asked, log, bases, material) for log in (data, other)]
    assert {"score", "item"} <= set(different(*leaks))
    assert (ndcg(leaks[0].signals.score[:, :, 1], leaks[0]).mean()) > 0


# -- chance and answers as columns -------------------------------------------------------


def with_column(labelled: LabelledSignals, values: Any) -> LabelledSignals:
    signals = labelled.signals
    assert signals.item is not None
    column = np.asarray(values, dtype=np.float32)[:, :, None]
    item = np.concatenate([signals.item, column], axis=2)
    columns = replace(signals.columns, item=(*signals.columns.item, "canary"))
    return replace(labelled, signals=replace(signals, item=item, columns=columns))


def with_chance(labelled: LabelledSignals) -> LabelledSignals:
    rng = np.random.default_rng(len(labelled))
    return with_column(labelled, rng.normal(size=labelled.relevant.shape))


def with_answers(labelled: LabelledSignals) -> LabelledSignals:
    rng = np.random.default_rng(len(labelled))
    return with_column(labelled, labelled.relevant & (rng.random(labelled.relevant.shape) < 0.5))


@pytest.fixture(scope="module")
def parts() -> tuple[LabelledSignals, LabelledSignals, LabelledSignals]:
    """Lists to learn from, to choose by and to be judged by, in which context tells whom to trust."""
    return planted(0), planted(1, n=150), planted(2, n=300)


@pytest.fixture(scope="module")
def meta(parts: tuple[LabelledSignals, ...]) -> MetaFusion:
    return MetaFusion(GateConfig(**TINY)).fit(parts[0], parts[1], seed=3)


def test_a_column_of_chance_gives_no_lift_and_one_of_answers_does(
    parts: tuple[LabelledSignals, ...], meta: MetaFusion
) -> None:
    test = parts[2]
    honest = ndcg(meta.forward(test.signals).score, test)

    def canary(change: Any) -> Doubles:
        train, validation, judged = (change(part) for part in parts)
        fitted = MetaFusion(meta.config).fit(train, validation, seed=3)
        return ndcg(fitted.forward(judged.signals).score, test)

    assert ends(canary(with_chance), honest)[0] <= 0
    assert ends(canary(with_answers), honest)[0] > 0.02


# -- content -----------------------------------------------------------------------------

N_GENRES, N_OF_GENRE, N_USERS, N_PLAYS = 8, 40, 96, 12


def lovers() -> Dataset:
    """Everybody plays one genre, some of its items more often; all genres are as popular."""
    rng = np.random.default_rng(7)
    fame = 1 / np.arange(1, N_OF_GENRE + 1)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    plays = [
        (f"u{user:02d}", f"i{N_OF_GENRE * (user % N_GENRES) + item:03d}")
        for user in range(N_USERS)
        for item in rng.choice(N_OF_GENRE, N_PLAYS, replace=False, p=fame / fame.sum())
    ]
    order = rng.permutation(len(plays))
    events = pl.DataFrame(
        {
            "user_id": [plays[place][0] for place in order],
            "item_id": [plays[place][1] for place in order],
            "timestamp": [start + timedelta(hours=hour) for hour in range(len(plays))],
        }
    )
    rows = range(N_GENRES * N_OF_GENRE)
    items = pl.DataFrame(
        {
            "item_id": [f"i{row:03d}" for row in rows],
            "genres": [[f"genre {row // N_OF_GENRE}"] for row in rows],
            "creator": [f"creator {row // 4}" for row in rows],
        }
    )
    return Dataset.build(events, items, name="lovers")


def test_shuffled_content_takes_away_what_content_gave() -> None:
    data = lovers()
    content = data.items.select(pl.exclude("item_id"))
    order = np.random.default_rng(2).permutation(len(content))
    shuffled = replace(data, items=data.items.with_columns(content[order].get_columns()))
    bare = replace(data, items=data.items.select("item_id"))
    only: dict[str, dict[str, Any]] = {"popularity": {}}
    more: dict[str, dict[str, Any]] = {**only, "content_knn": {}}
    kinds = ((data, more), (shuffled, more), (bare, only))
    found = []
    for log, bases in kinds:
        material, test = chain(cut(log), bases)
        found.append(ndcg(blended("auto", material, test), test))
    real, mixed, without = found
    assert ends(real, without)[0] > 0.1, "content is worth something here"
    assert ends(real, mixed)[0] > 0.1
    assert ends(mixed, without)[0] <= 0
    assert mixed.mean() < without.mean() + 0.1 * (real.mean() - without.mean())


# -- chance as a gate --------------------------------------------------------------------


def random_weights(test: LabelledSignals, rng: np.random.Generator) -> Floats:
    signals = test.signals
    n_requests, _, n_bases = signals.score.shape
    pull = rng.dirichlet(np.ones(n_bases), size=n_requests)[:, None, :]
    return weighted(signals.score, signals.available, pull).score


def random_heads(model: MetaFusion, test: LabelledSignals, rng: np.random.Generator) -> Floats:
    """The same network, whose heads say anything."""
    state = model.state()
    for head in ("net.gate.weight", "net.confidence.weight"):
        state[head] = rng.normal(size=state[head].shape).astype(np.float32)
    state["net.rest.weight"] = np.zeros_like(state["net.rest.weight"])
    random = MetaFusion.restore(model.config.model_dump(), state)
    return random.forward(test.signals).score


def test_a_random_gate_loses_to_the_static_blend_and_to_the_learned_one(
    parts: tuple[LabelledSignals, ...], meta: MetaFusion
) -> None:
    train, validation, test = parts
    static = make_fusion("static").fit(train, validation).forward(test.signals).score
    learned = meta.forward(test.signals).score
    rng = np.random.default_rng(0)
    gates = {
        "weights": [random_weights(test, rng) for _ in range(5)],
        "heads": [random_heads(meta, test, rng) for _ in range(5)],
    }
    for name, scores in gates.items():
        random = np.mean([ndcg(score, test) for score in scores], axis=0)
        for honest in (static, learned):
            assert ends(ndcg(honest, test), random)[0] > 0, name
