"""`auto`: shares by what was held out, a verdict per slice, and never a changed list without one."""

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from tests.fusion.problem import NAN, problem, promises, with_signals

from crossfade.config import Field, Settings
from crossfade.errors import ConfigError, DataError, NotFittedError
from crossfade.fusion.auto import SLICES, AutoConfig, AutoFusion, slice_of
from crossfade.fusion.base import Fused, FusionModel, LabelledSignals, Signals
from crossfade.fusion.matrix import quality
from crossfade.fusion.registry import FUSIONS, make_fusion
from crossfade.fusion.scaling import zscore
from crossfade.rng import generator
from crossfade.types import Arrays, Bools, Floats, Rows

# -- spies -----------------------------------------------------------------------------


class Spy(FusionModel[Settings]):
    """Scores by a rule of its own and remembers what it was fitted on."""

    Config = Settings
    fits: ClassVar[list[tuple[LabelledSignals, LabelledSignals]]]

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        self.fits.append((train, validation))
        self.number = rng.random()

    def forward(self, signals: Signals) -> Fused:
        score = np.where(signals.available.any(axis=-1), self.rule(signals), NAN)
        return Fused(score.astype(np.float32), np.full_like(signals.score, NAN))

    def rule(self, signals: Signals) -> Any:
        raise NotImplementedError

    def _state(self) -> Arrays:
        return {"number": np.array([self.number])}

    def _restore(self, state: Arrays) -> None:
        self.number = float(state["number"][0])


def noise(signals: Signals, number: float = 0.0) -> Any:
    """The same for the same person, and nothing to do with what they want."""
    assert signals.user_row is not None
    rows = [generator(int(row), f"{number}") for row in signals.user_row]
    return np.array([rng.normal(size=signals.mask.shape[1]) for rng in rows])


class Knowing(Spy):
    """Follows base 0 where the person's second column is above 0, else base 1; so did the people."""

    name = "knowing"

    def rule(self, signals: Signals) -> Any:
        assert signals.user is not None
        score = np.nan_to_num(signals.score, nan=-9.0)
        return np.where(signals.user[:, 1:2] > 0, score[:, :, 0], score[:, :, 1])


class Misled(Knowing):
    """The same among people of the training blocks, and the reverse among all others."""

    name = "misled"

    def rule(self, signals: Signals) -> Any:
        assert signals.user_row is not None
        return super().rule(signals) * np.where(signals.user_row < 1000, 1, -1)[:, None]


class Hot(Knowing):
    """Right about people with long histories, wrong about those with short ones."""

    name = "hot"

    def rule(self, signals: Signals) -> Any:
        return super().rule(signals) * np.where(slice_of(signals) == 2, 1, -1)[:, None]


class Parrot(Spy):
    """Knows by heart what it was fitted on, and says anything of everything else."""

    name = "parrot"

    def _fit(
        self, train: LabelledSignals, validation: LabelledSignals, rng: np.random.Generator
    ) -> None:
        super()._fit(train, validation, rng)
        assert train.signals.user_row is not None
        self.heard = dict(zip(train.signals.user_row.tolist(), train.relevant, strict=True))

    def rule(self, signals: Signals) -> Any:
        assert signals.user_row is not None
        nothing = np.zeros(signals.mask.shape[1])
        heard = [self.heard.get(row, nothing) for row in signals.user_row.tolist()]
        return 100.0 * np.array(heard) + noise(signals, self.number)


class RandomGate(Spy):
    """Weights of the bases drawn for every candidate anew."""

    name = "random"

    def forward(self, signals: Signals) -> Fused:
        there = signals.available
        drawn = np.stack([noise(signals, self.number + base) for base in range(there.shape[2])], -1)
        weights = there * np.exp(2 * drawn)
        with np.errstate(invalid="ignore"):
            weights /= weights.sum(axis=-1, keepdims=True)
        score = (weights * np.where(there, signals.score, 0)).sum(axis=-1)
        return Fused(score.astype(np.float32), weights.astype(np.float32))


class Half(Spy):
    """Follows base 1, says nothing of the second half of the candidates; all weight is base 1's."""

    name = "half"

    def forward(self, signals: Signals) -> Fused:
        there = signals.available[:, :, 1].copy()
        there[:, there.shape[1] // 2 :] = False
        weights = np.where(there[:, :, None], np.eye(signals.score.shape[2])[1], NAN)
        score = np.where(there, signals.score[:, :, 1], NAN)
        return Fused(score.astype(np.float32), weights.astype(np.float32))


class Training(Settings):
    """Of something that is trained."""

    train: int = Field(1, description="How long.")


class Network(Knowing):
    """Knows, but for a little that depends on the seed."""

    name = "network"
    Config: ClassVar[type[Settings]] = Training

    def rule(self, signals: Signals) -> Any:
        return super().rule(signals) + 0.1 * noise(signals, self.number)


class Personal(Hot):
    """Trusts base 0 for people it knows by name, and both bases for all others."""

    name = "personal"
    knows_people = True
    friends = range(1000)

    def forward(self, signals: Signals) -> Fused:
        rows = np.full(len(signals.mask), -1) if signals.user_row is None else signals.user_row
        known = np.isin(rows, self.friends)[:, None, None]
        weights = np.where(known, [1.0, 0.0], [0.5, 0.5]) * np.ones_like(signals.score)
        return replace(super().forward(signals), weights=weights.astype(np.float32))

    def moved(self, user_rows: Rows) -> "Personal":
        other = Personal().fit(*self.fits[-1])
        other.friends = range(len(user_rows), 1000)
        return other


SPIES = (Knowing, Misled, Hot, Parrot, RandomGate, Half, Network, Personal)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("crossfade.fusion.spies")
    for kind in SPIES:
        setattr(module, kind.__name__, kind)
        monkeypatch.setattr(kind, "fits", [], raising=False)
        monkeypatch.setitem(FUSIONS, kind.name, f"spies:{kind.__name__}")
    monkeypatch.setitem(sys.modules, "crossfade.fusion.spies", module)


def people(
    seed: int, n: int = 120, first_row: int = 0, positives: int | list[int] = 20
) -> LabelledSignals:
    """What base 0 likes best is wanted by those whose second column is above 0, else base 1's."""
    labelled = problem(seed, n, n_items=14, n_bases=2, padded=0)
    signals = labelled.signals
    assert signals.user is not None
    user = signals.user.copy()
    user[:, 0] = np.log1p(np.resize(positives, n))
    user[:, 1] = np.resize([1.0, -1.0], n)
    score = np.nan_to_num(signals.score, nan=-9.0)
    truth = np.where(user[:, 1:2] > 0, score[:, :, 0], score[:, :, 1])
    relevant = truth >= np.sort(truth, axis=1)[:, -2:-1]
    labelled = with_signals(
        labelled, user=user, user_row=np.arange(first_row, first_row + n, dtype=np.int32)
    )
    return replace(labelled, relevant=relevant, n_relevant=relevant.sum(axis=1).astype(np.float64))


def fitted(
    *candidates: str, validation: LabelledSignals | None = None, **settings: Any
) -> AutoFusion:
    given = people(1, first_row=1000) if validation is None else validation
    config = AutoConfig(candidates=("static", *candidates), resamples=200, settings={}, **settings)
    return AutoFusion(config).fit(people(0), given)


def serving(model: AutoFusion) -> dict[str, bool]:
    return {verdict.name: verdict.serves for verdict in model.verdicts}


def same(one: Fused, other: Fused) -> None:
    for name, value in vars(one).items():
        if name != "members":  # what they said is kept where all requests have them
            np.testing.assert_equal(value, getattr(other, name))


# -- folds -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_wanting", [120, 5, 4, 3, 2])
def test_every_request_is_held_out_once_and_every_fold_has_something_wanted(n_wanting: int) -> None:
    train = people(0)
    wants = np.isin(np.arange(len(train)), np.random.default_rng(0).permutation(120)[:n_wanting])
    train = replace(train, relevant=train.relevant & wants[:, None])
    AutoFusion(AutoConfig(candidates=("knowing",), n_folds=4)).fit(train, people(1))
    folds = Knowing.fits[: min(4, n_wanting)]
    held = []
    for inside, outside in folds:
        assert inside.relevant.any()
        assert outside.relevant.any()
        rows = [part.signals.user_row for part in (inside, outside)]
        assert rows[0] is not None
        assert rows[1] is not None
        assert not set(rows[0].tolist()) & set(rows[1].tolist())
        assert len(inside) + len(outside) == len(train)
        held += rows[1].tolist()
    assert sorted(held) == list(range(120))


def test_with_one_request_that_wants_something_the_static_blend_serves() -> None:
    train = people(0)
    train = replace(train, relevant=train.relevant & (np.arange(120) == 7)[:, None])
    model = AutoFusion(AutoConfig(candidates=("knowing",))).fit(train, people(1))
    assert not Knowing.fits
    assert model.shares == {"static": 1.0}
    assert not any(serving(model).values())


def test_what_is_held_back_for_the_verdict_is_never_learned_from() -> None:
    fitted("knowing")
    *folds, (everything, stopping) = Knowing.fits
    assert len(folds) == 4
    for inside, outside in folds:
        for part in (inside, outside):
            assert part.signals.user_row is not None
            assert part.signals.user_row.max() < 1000
    # The model that answers saw all lists; those of the verdict only told it when to stop.
    assert everything.signals.user_row is not None
    assert everything.signals.user_row.tolist() == list(range(120))
    assert stopping.signals.user_row is not None
    assert stopping.signals.user_row.min() == 1000


def test_nothing_is_trained_on_all_lists_to_serve_nobody() -> None:
    model = fitted("misled")
    assert len(Misled.fits) == 4
    assert list(model.members) == ["static"]


# -- shares ----------------------------------------------------------------------------


def test_shares_sum_to_1_and_go_to_who_is_right_about_unseen_lists() -> None:
    model = fitted("knowing", "random")
    assert sum(model.shares.values()) == pytest.approx(1)
    assert min(model.shares.values()) >= 0
    assert model.shares["knowing"] > 0.5
    assert model.quality["knowing"] == pytest.approx(1, abs=1e-6)
    assert model.quality["random"] < model.quality["knowing"]


def test_who_knows_the_training_lists_by_heart_gets_no_share() -> None:
    model = fitted("parrot", "knowing")
    by_heart = Parrot()
    by_heart.fit(people(0), people(1))
    assert quality(by_heart.forward(people(0).signals).score, people(0)) == pytest.approx(1)
    # Judged by what it had not seen it is as good as noise, and has no say.
    assert model.quality["parrot"] < 0.6
    assert model.shares["parrot"] == 0


# -- do no harm ------------------------------------------------------------------------


def test_candidates_without_a_share_are_neither_asked_nor_kept() -> None:
    model = fitted("parrot", "knowing")
    assert "parrot" not in model.members
    assert np.isfinite(model.forward(people(2).signals).score).any()
    again = AutoFusion.restore(model.config.model_dump(), model.state())
    assert set(again.members) == {"static", "knowing"}
    assert again.quality == model.quality
    same(again.forward(people(2).signals), model.forward(people(2).signals))


def test_a_rule_that_holds_serves() -> None:
    model = fitted("knowing")
    assert serving(model)["all"]
    test = people(2)
    static = make_fusion("static").fit(people(0), people(1))
    better, worse = (quality(m.forward(test.signals).score, test) for m in (model, static))
    assert better > worse + 0.05


def test_what_is_worse_on_the_validation_block_serves_nobody_and_changes_nothing() -> None:
    model = fitted("misled")
    assert model.shares["misled"] > 0.5
    assert serving(model) == dict.fromkeys(("all", *SLICES), False)
    assert model.verdicts[0].learned < model.verdicts[0].static
    test = people(2).signals
    same(model.forward(test), model.members["static"].forward(test))
    assert model.forward(test).uncertainty is None


def test_a_random_gate_loses() -> None:
    for seed in range(3):
        model = AutoFusion(AutoConfig(candidates=("random",), settings={}, resamples=200))
        model.fit(people(10 + seed), people(20 + seed), seed)
        assert not any(serving(model).values())


def test_a_blend_that_lists_what_static_lists_is_not_called_better() -> None:
    model = fitted("static")
    assert model.verdicts[0].certainty == 0
    assert not model.verdicts[0].serves


def test_each_slice_has_a_verdict_and_decides_who_serves_it() -> None:
    # Of 200 people 164 are hot, 32 cold, and 4 warm, who alone lose by it.
    positives = [100] * 164 + [2] * 32 + [20] * 4
    train, validation = (
        people(seed, 200, first_row=row, positives=positives) for seed, row in ((0, 0), (1, 1000))
    )
    model = AutoFusion(AutoConfig(candidates=("hot",), settings={}, min_requests=30)).fit(
        train, validation
    )
    assert serving(model) == {"all": True, "cold": False, "warm": False, "hot": True}
    assert [verdict.n for verdict in model.verdicts] == [400, 64, 8, 328]
    assert [verdict.n_later for verdict in model.verdicts] == [200, 32, 4, 164]
    cold, warm, hot = model.verdicts[1:]
    assert cold.learned < cold.static
    assert hot.learned > hot.static
    assert warm.learned < warm.static
    # Who is served what, to the bit; and nobody changes what the others get.
    test = people(2, 200, positives=positives).signals
    fused, static = model.forward(test), model.members["static"].forward(test)
    hers = slice_of(test) == 2
    assert model.serves(test).tolist() == hers.tolist()
    np.testing.assert_array_equal(fused.score[~hers], static.score[~hers])
    np.testing.assert_array_equal(fused.weights[~hers], static.weights[~hers])
    assert (fused.score[hers] != static.score[hers]).any()
    assert fused.uncertainty is not None
    assert np.isnan(fused.uncertainty[~hers]).all()
    same(model.forward(test.take(np.flatnonzero(hers))), taken(fused, hers))
    same(model.forward(test.take(np.flatnonzero(~hers))), taken(fused, ~hers))


def taken(fused: Fused, rows: Bools) -> Fused:
    parts: dict[str, Any] = {k: v if v is None else v[rows] for k, v in vars(fused).items()}
    return Fused(**parts)


# -- answering -------------------------------------------------------------------------


def mixed(**shares: float) -> AutoFusion:
    """One that serves everybody with candidates in these shares."""
    model = fitted("knowing")
    model.shares = shares
    model.verdicts = tuple(replace(verdict, serves=True) for verdict in model.verdicts)
    for name in shares:
        if name not in model.members:
            model.members[name] = make_fusion(name).fit(people(0), people(1))
    return model


def mean_of(model: AutoFusion, signals: Signals) -> Floats:
    """What the combination must be, member by member and cell by cell."""
    shape = signals.mask.shape
    total, mass = np.zeros(shape), np.zeros(shape)
    for name, share in model.shares.items():
        if share == 0:
            continue
        z = zscore(model.members[name].forward(signals).score)
        total += np.where(np.isnan(z), 0, share * z)
        mass += share * ~np.isnan(z)
    with np.errstate(invalid="ignore"):
        return (total / mass).astype(np.float32)


def test_who_cannot_score_a_candidate_has_no_say_in_it_and_silences_nobody() -> None:
    model = mixed(knowing=0.25, half=0.75)
    signals = people(2).signals
    fused = model.forward(signals)
    np.testing.assert_allclose(fused.score, mean_of(model, signals), rtol=1e-5, atol=1e-5)
    # Knowing scores whatever any base does; of half of it, half says nothing.
    there = signals.available.any(axis=-1)
    assert (np.isnan(fused.score) == ~there).all()
    assert fused.uncertainty is not None
    assert (np.isnan(fused.uncertainty) == ~there).all()
    # Weights where someone weighs bases, and none where only somebody like trees speaks.
    spoke = signals.available[:, :, 1] & (np.arange(14) < 7)
    assert (fused.weights[spoke] == [0, 1]).all()
    assert np.isnan(fused.weights[~spoke]).all()


def test_weights_are_the_mean_of_who_weighs_bases() -> None:
    model = mixed(static=0.25, random=0.75)
    signals = people(2).signals
    random = model.members["random"].forward(signals).weights
    static = model.members["static"].forward(signals).weights
    known = ~np.isnan(static).any(axis=-1)
    fused = model.forward(signals)
    promises(fused, signals)
    np.testing.assert_allclose(
        fused.weights[known], (0.75 * random + 0.25 * static)[known], atol=1e-5
    )
    np.testing.assert_allclose(fused.weights[~known], random[~known], atol=1e-5)


def test_uncertainty_is_the_disagreement_of_the_trained_models() -> None:
    model = mixed(knowing=0.5, random=0.3, half=0.2)
    signals = people(2).signals
    scores = [
        zscore(model.members[n].forward(signals).score) for n in ("knowing", "random", "half")
    ]
    found = model.forward(signals).uncertainty
    assert found is not None
    there = signals.scored  # where half is silent, it is that of the two others
    assert np.isnan(np.array(scores)[:, there]).any()
    np.testing.assert_allclose(
        found[there], np.nanstd(np.array(scores)[:, there], axis=0), rtol=1e-3, atol=1e-5
    )


def test_networks_that_answer_are_averaged_over_seeds_and_other_models_are_not_repeated() -> None:
    model = fitted("network", "knowing", n_seeds=3)
    once = fitted("network", "knowing")
    names = ["network", "network seed 2", "network seed 3"]
    assert {name for name in model.members if name.startswith("network")} == set(names)
    assert sum(name.startswith("knowing") for name in model.members) == 1
    assert [model.shares[name] for name in names] == [once.shares["network"] / 3] * 3
    signals = people(2).signals
    each = [model.members[name].forward(signals).score for name in names]
    assert not np.array_equal(each[0], each[1])
    np.testing.assert_array_equal(each[0], once.members["network"].forward(signals).score)
    told = AutoFusion.restore(model.config.model_dump(), model.state())
    same(told.forward(signals), model.forward(signals))
    expected = sum(
        share * zscore(model.members[n].forward(signals).score)
        for n, share in model._heard().items()
    )
    np.testing.assert_allclose(model.forward(signals).score, expected, rtol=1e-4, atol=1e-5)


def test_the_order_of_candidates_and_who_else_asks_do_not_matter() -> None:
    model = fitted("knowing")
    assert serving(model)["warm"]
    signals = people(2).signals
    order = np.random.default_rng(0).permutation(14)
    assert signals.reciprocal_rank is not None
    assert signals.item is not None
    mixed = replace(
        signals,
        score=signals.score[:, order],
        reciprocal_rank=signals.reciprocal_rank[:, order],
        item=signals.item[:, order],
    )
    whole = model.forward(signals)
    np.testing.assert_allclose(
        model.forward(mixed).score, whole.score[:, order], rtol=1e-5, atol=1e-6
    )
    alone = model.forward(signals.take(np.array([5])))
    np.testing.assert_array_equal(alone.score[0], whole.score[5])


# -- extras, keeping, refusing ---------------------------------------------------------


# -- people ----------------------------------------------------------------------------


def test_an_adapting_member_is_told_only_where_it_answers() -> None:
    mixed = people(3, positives=[1, 100])  # static serves the first of each two
    given = people(1, first_row=1000, positives=[1, 100])
    config = AutoConfig(candidates=("static", "personal"), resamples=200, settings={})
    model = AutoFusion(config).fit(people(0, positives=[1, 100]), given)
    assert serving(model)["hot"]
    assert not serving(model)["cold"]
    moved = model.adaptation(mixed.signals, model.forward(mixed.signals))
    share = model.shares["personal"] / sum(model.shares.values())
    assert np.median(moved[1::2]) == pytest.approx(0.5 * share)  # some bases cannot score all
    assert (moved[::2] == 0).all()
    strangers = with_signals(mixed, user_row=np.full(len(mixed), -1, dtype=np.int32)).signals
    assert (model.adaptation(strangers, model.forward(strangers)) == 0).all()
    later = model.moved(np.arange(60, dtype=np.int32))
    moved = later.adaptation(mixed.signals, later.forward(mixed.signals))
    assert (moved[:60] == 0).all()
    assert (moved[61::2] > 0.1).all()
    assert (fitted("knowing").adaptation(mixed.signals, model.forward(mixed.signals)) == 0).all()


@pytest.fixture
def no_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)


@pytest.mark.usefixtures("no_lightgbm")
def test_a_candidate_whose_extra_is_missing_is_left_out_and_told() -> None:
    model = fitted("lambdamart", "knowing")
    assert model.left_out == ("lambdamart",)
    assert set(model.shares) == {"static", "knowing"}
    again = AutoFusion.restore(model.config.model_dump(), model.state())
    assert again.left_out == ("lambdamart",)


def test_a_second_fit_forgets_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoFusion(
        AutoConfig(candidates=("lambdamart",), settings={"lambdamart": {"max_trees": 2}})
    )
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "lightgbm", None)
        model.fit(people(0), people(1))
        assert list(model.left_out) == ["lambdamart"]
    model.fit(people(0), people(1))
    assert not model.left_out
    assert set(model.shares) == {"static", "lambdamart"}


@pytest.mark.parametrize("candidate", ["knowing", "misled", "hot"])
def test_a_restored_model_is_the_same_to_the_bit(candidate: str) -> None:
    positives = [100, 2, 20]
    model = fitted(candidate, validation=people(1, first_row=1000, positives=positives))
    again = AutoFusion.restore(model.config.model_dump(), model.state())
    test = people(2, positives=positives).signals
    same(again.forward(test), model.forward(test))
    assert again.shares == model.shares
    assert again.quality == model.quality
    assert repr(again.verdicts) == repr(model.verdicts)


def test_people_of_whom_the_verdict_saw_none_are_served_by_the_static_blend() -> None:
    model = fitted("knowing")
    assert serving(model) == {"all": True, "cold": False, "warm": True, "hot": False}
    (cold,) = [verdict for verdict in model.verdicts if verdict.name == "cold"]
    assert cold.n == 0
    assert np.isnan(cold.certainty)
    again = AutoFusion.restore(model.config.model_dump(), model.state())
    assert repr(again.verdicts) == repr(model.verdicts)


def test_before_it_has_learned_it_says_so() -> None:
    with pytest.raises(NotFittedError, match="auto has not been fitted"):
        AutoFusion().forward(people(0).signals)
    with pytest.raises(NotFittedError, match="auto has not been fitted"):
        AutoFusion().state()


def test_an_unknown_candidate_is_named() -> None:
    with pytest.raises(ConfigError, match='no fusion model "majic"'):
        fitted("majic")


def test_nothing_a_base_can_score_is_nothing_to_learn() -> None:
    train = people(0)
    score = np.where(train.relevant[:, :, None], NAN, train.signals.score)
    with pytest.raises(DataError, match="auto: no base can score a wanted candidate"):
        AutoFusion().fit(with_signals(train, score=score), people(1))
