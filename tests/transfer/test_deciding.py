"""The decision: it can say no, few lists say little, and unknown stays unknown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.transfer.conftest import CONFIG, lists
from typer.testing import CliRunner

from crossfade.cli.app import app
from crossfade.cli.transferring import lines as lines_of
from crossfade.data import Dataset, save_dataset
from crossfade.errors import BundleError, ConfigError, DataError
from crossfade.fusion.few_shot.network import Lists, loss, losses, neutral
from crossfade.hybrid import HybridModel
from crossfade.transfer.case import Case
from crossfade.transfer.decision import Judged, weigh
from crossfade.transfer.exporting import load_knowledge, save_knowledge
from crossfade.transfer.facts import Record
from crossfade.transfer.gradients import GradientBased
from crossfade.transfer.knowledge import Bowl, Knowledge
from crossfade.transfer.moments import Moments
from crossfade.transfer.options import OPTIONS, competing
from crossfade.transfer.run import first_events, transfer
from crossfade.transfer.similarity import proxy_distance
from crossfade.transfer.tasks import Support


def _judged(n: int, **gain: float) -> dict[str, Judged]:
    """What was found on n lists: options foretell so many nats better than starting from nothing."""
    rng = np.random.default_rng(0)
    loss = rng.uniform(3, 6, n)
    found = {}
    for one in OPTIONS:
        better = gain.get(one.name, 0.0 if one.name == "scratch" else -0.3)
        noise = 0.2 * rng.normal(size=n) * (one.name != "scratch")
        found[one.name] = Judged(loss - better + noise, np.full(n, 0.1))
    return found


def test_what_is_clearly_better_is_carried_and_its_gain_is_told() -> None:
    decision = weigh(_judged(500, source_as_is=0.3), OPTIONS, CONFIG)
    assert (decision.verdict, decision.option, decision.n) == ("transfer", "source_as_is", 500)
    chosen = decision.chosen
    assert chosen.gain is not None
    assert chosen.low is not None
    assert chosen.high is not None
    assert 0.2 < chosen.low < chosen.gain < chosen.high < 0.4


def test_where_every_source_misleads_nothing_is_carried() -> None:
    decision = weigh(_judged(500), OPTIONS, CONFIG)
    assert (decision.verdict, decision.option) == ("not", "scratch")


def test_a_tie_goes_to_starting_from_nothing() -> None:
    judged = _judged(50)
    same = dict.fromkeys(judged, judged["scratch"])
    assert weigh(same, OPTIONS, CONFIG).verdict == "not"


@given(n=st.integers(2, 40), gain=st.floats(-0.5, 0.5))
def test_the_fewer_lists_the_less_a_gain_is_believed(n: int, gain: float) -> None:
    gains = []
    for length in (2 * n, 20 * n):
        loss = np.full(length, 4.0)
        judged = {one.name: Judged(loss, loss) for one in OPTIONS}
        wave = np.tile([0.3, -0.3], length // 2)
        judged["fine_tuned"] = Judged(loss - gain + wave, loss)
        told = {one.name: one.gain for one in weigh(judged, OPTIONS, CONFIG).standings}[
            "fine_tuned"
        ]
        assert told is not None
        noise = 0.3**2 / (length - 1)  # variance of the mean of the wave
        usual = CONFIG.usual_gain**2
        assert told == pytest.approx(gain * usual / (usual + noise), abs=1e-9)
        gains.append(abs(told))
    assert gains[0] <= gains[1]


def test_lists_that_want_nothing_that_can_be_scored_do_not_decide() -> None:
    judged = _judged(500, source_as_is=0.3)
    for one in judged.values():
        one.loss[:400] = np.nan
    decision = weigh(judged, OPTIONS, CONFIG)
    assert (decision.n, decision.option) == (100, "source_as_is")


def test_an_option_with_nothing_to_offer_is_not_chosen_and_has_no_numbers() -> None:
    judged = _judged(50)
    judged["gradient_based"] = Judged(np.full(50, np.nan), np.full(50, np.nan))
    decision = weigh(judged, OPTIONS, CONFIG)
    silent = next(one for one in decision.standings if one.name == "gradient_based")
    assert (silent.quality, silent.gain, silent.low) == (None, None, None)
    assert decision.option != "gradient_based"


def test_losses_of_lists_have_the_loss_as_their_mean() -> None:
    given_lists, flat = Lists.of(lists(0)), np.random.default_rng(1).normal(size=10)
    each = losses(flat, given_lists)
    assert np.isnan(each).sum() == len(given_lists) - given_lists.n_teaching
    assert np.nanmean(each) == pytest.approx(float(loss(torch.from_numpy(flat), given_lists)))


def test_without_a_source_only_scratch_competes_l19(target: Dataset) -> None:
    assert {one.verdict for one in competing(())} == {"not"}
    found = transfer((), first_events(target, 3, 0), CONFIG)
    assert found.decision.verdict == "not"
    assert found.model().recommend(user=target.user_ids.ids[0], k=3)


def test_people_with_one_event_each_decide_nothing(knowledge: Knowledge, target: Dataset) -> None:
    """They can be asked for as strangers only, and what serves strangers may fail everybody else."""
    one, two = (transfer([knowledge], first_events(target, n, 0), CONFIG) for n in (1, 2))
    assert [standing.name for standing in one.decision.standings] == ["scratch"]
    assert one.decision.verdict == "not"
    assert len(two.decision.standings) == len(OPTIONS)
    assert "nobody has two events" in " ".join(lines_of(one))
    assert "nobody has two events" not in " ".join(lines_of(two))


def test_a_source_that_points_the_other_way_is_not_used_l22(knowledge: Knowledge) -> None:
    labelled = lists(0, 200)
    support = Support(np.zeros(4), labelled, Record.of(labelled))
    case = Case.of([knowledge], support, CONFIG)
    own = Lists.of(labelled)
    helpful = neutral(3)
    helpful[1] = 2.0
    for lowest, helps in ((helpful, True), (-helpful, False)):
        bowl = Bowl("made up", lowest, np.eye(10))
        made = replace(case, sources=[replace(knowledge, bowls=(bowl,))])
        gate = GradientBased().settle(made)
        assert (gate is not None) is helps
    assert own.n_teaching > 50


def test_domains_that_look_the_same_are_near_and_opposite_ones_far_l17() -> None:
    one, same = (Moments.of([Lists.of(lists(seed, 300))]) for seed in (0, 1))
    shifted = lists(2, 300)
    far_off = replace(shifted, signals=replace(shifted.signals, score=shifted.signals.score + 4))
    far = Moments.of([Lists.of(far_off)])
    near_distance, far_distance = proxy_distance(one, same), proxy_distance(one, far)
    assert near_distance is not None
    assert far_distance is not None
    assert near_distance < 0.4
    assert far_distance > 1.9
    assert proxy_distance(one, far) == proxy_distance(far, one)


def test_too_few_lists_leave_the_distance_unknown_l16() -> None:
    few = Moments.of([Lists.of(lists(0, 5))])
    assert proxy_distance(few, Moments.of([Lists.of(lists(1, 300))])) is None


def test_knowledge_comes_back_from_its_files_and_names_no_person(
    knowledge: Knowledge, source: Dataset, target: Dataset, tmp_path: Path
) -> None:
    save_knowledge(knowledge, tmp_path / "known")
    again = load_knowledge(tmp_path / "known")
    log = first_events(target, 3, 0)
    one, other = (transfer([known], log, CONFIG) for known in (knowledge, again))
    assert one.decision == other.decision
    files = b"".join(
        path.read_bytes() for path in (tmp_path / "known").rglob("*") if path.is_file()
    )
    everybody = [*source.user_ids.ids, *source.item_ids.ids]
    assert not [name for name in everybody if len(name) > 4 and name.encode() in files]


def test_knowledge_of_other_bases_is_refused(knowledge: Knowledge, target: Dataset) -> None:
    other = CONFIG.changed(bases={"popularity": {"model": "popularity"}})
    with pytest.raises(ConfigError, match="learned to blend other bases"):
        transfer([knowledge], target, other)


def test_a_whole_system_is_no_knowledge(target: Dataset, tmp_path: Path) -> None:
    found = transfer((), first_events(target, 3, 0), CONFIG)
    found.model().save(tmp_path / "system")
    with pytest.raises(BundleError, match="holds no knowledge of a source"):
        load_knowledge(tmp_path / "system")


@pytest.mark.parametrize("n_events", [1, 2, 5])
def test_one_person_is_either_refused_or_answered_without_transfer(
    knowledge: Knowledge, n_events: int
) -> None:
    events = pl.DataFrame(
        {"user_id": ["u"] * n_events, "item_id": [str(i) for i in range(n_events)]}
    )
    lonely = Dataset.build(events, name="lonely")
    if n_events == 1:
        with pytest.raises(DataError, match="1 events of 1 people cannot be told"):
            transfer([knowledge], lonely, CONFIG)
        return
    assert transfer([knowledge], lonely, CONFIG).decision.verdict == "not"


def test_ten_sources_are_read_and_the_order_of_them_changes_nothing(
    knowledge: Knowledge, target: Dataset
) -> None:
    many = [replace(knowledge, name=f"source {number}") for number in range(10)]
    log = first_events(target, 3, 0)
    one, other = transfer(many, log, CONFIG), transfer(many[::-1], log, CONFIG)
    assert one.decision.option == other.decision.option
    assert len(one.likenesses) == 10


def test_the_command_learns_decides_and_writes_a_system_that_answers(
    source: Dataset, target: Dataset, tmp_path: Path
) -> None:
    save_dataset(source, tmp_path / "a")
    save_dataset(target, tmp_path / "t")
    settings = CONFIG.model_dump(mode="json")
    lines = [f"{key} = {value}" for key, value in settings.items() if key != "bases"]
    for label, base in CONFIG.bases.items():
        kept = {k: f'"{v}"' if isinstance(v, str) else v for k, v in base.items() if v is not None}
        lines += [f"[bases.{label}]", *(f"{k} = {v}" for k, v in kept.items())]
    (tmp_path / "transfer.toml").write_text("\n".join(lines).replace("'", '"'))
    command = ["transfer", "--source", str(tmp_path / "a"), "--target", str(tmp_path / "t")]
    command += ["--shots", "3", "--bundle", str(tmp_path / "out")]
    command += ["--config", str(tmp_path / "transfer.toml")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    last = done.output.strip().splitlines()[-2]
    assert last.startswith(("transfer", "do not transfer"))
    for one in OPTIONS:
        assert one.name in done.output
    model = HybridModel.load(tmp_path / "out")
    user = next(iter(first_events(target, 3, 0).with_ids()["user_id"]))
    assert len(model.recommend(user=user, k=5, explain=True)) == 5


def test_a_command_without_a_target_says_what_is_missing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["transfer", "--source", str(tmp_path)])
    assert done.exit_code == 2
    assert "--target" in done.output
