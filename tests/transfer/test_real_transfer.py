"""Albums to films, real ones: what is carried is worth it, and a source without sense is turned down."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import Trial
from crossfade.fusion.few_shot.model import FewShotGate
from crossfade.transfer.case import Case
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.decision import decide
from crossfade.transfer.drawing import draw, lists_of
from crossfade.transfer.facts import quality
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.options import OPTIONS
from crossfade.transfer.prior import Prior
from crossfade.transfer.tasks import Support

pytestmark = [pytest.mark.real, pytest.mark.slow]

CONFIG = TransferConfig(users=(50,), shots=(3, 5, 10), n_rounds=4, n_requests=100, n_epochs=60)
N_DRAWS = 5


@pytest.fixture(scope="module")
def domains(
    real_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Dataset, Dataset]:
    folder = tmp_path_factory.mktemp("domains")

    def read(name: str) -> Dataset:
        mapping = load_toml(ImportMapping, Path(__file__).parents[2] / "configs" / f"{name}.toml")
        import_table(mapping, folder / name, root=real_data(name), now=datetime.now(UTC))
        return load_dataset(folder / name)

    return read("amazon-cds"), read("movielens-100k")


@pytest.fixture(scope="module")
def knowledge(domains: tuple[Dataset, Dataset]) -> Knowledge:
    return Knowledge.of(domains[0], CONFIG, seed=0)


def _supports(target: Dataset) -> list[tuple[Support, Trial]]:
    found = []
    for number in range(N_DRAWS):
        rng = np.random.default_rng(number)
        small = draw(target, 50, 10, 200, rng)
        support = Support.of(small.log, CONFIG, rng, 0)
        assert support is not None
        found.append((support, small.test))
    return found


def test_albums_teach_how_to_list_films_to_fifty_people(
    domains: tuple[Dataset, Dataset], knowledge: Knowledge
) -> None:
    gains = []
    for number, (support, test) in enumerate(_supports(domains[1])):
        query = lists_of([test], CONFIG.bases, CONFIG.n_candidates, 0)
        assert query is not None
        case = Case.of([knowledge], support, CONFIG)
        decision = decide([knowledge], support, CONFIG, np.random.default_rng(number))
        reached = {}
        for option in OPTIONS:
            if option.name in {"scratch", decision.option}:
                gate = option.settle(case)
                assert gate is not None
                blend = FewShotGate.carried(gate, query.signals.columns)
                reached[option.name] = float(
                    quality(blend.forward(query.signals).score, query).mean()
                )
        gains.append(reached[decision.option] / reached["scratch"] - 1)
    assert min(gains) > -0.02
    assert np.mean(gains) > 0.02


def test_a_source_that_learned_the_opposite_is_turned_down(
    domains: tuple[Dataset, Dataset], knowledge: Knowledge
) -> None:
    """Turned around, the same knowledge says to trust what is wrong: no way of carrying it wins."""

    def turned(prior: Prior) -> Prior:
        return replace(prior, usual=-prior.usual, by_fact=-prior.by_fact, by_evidence=-3.0)

    wrong = replace(
        knowledge,
        prior=turned(knowledge.prior),
        inner=turned(knowledge.inner),
        bowls=tuple(replace(one, lowest=-one.lowest) for one in knowledge.bowls),
    )
    for number, (support, _) in enumerate(_supports(domains[1])[:3]):
        decision = decide([wrong], support, CONFIG, np.random.default_rng(number))
        standing = {one.name: one.gain for one in decision.standings}
        as_is = standing["source_as_is"]
        assert as_is is not None
        assert as_is < 0
        assert decision.option != "source_as_is"
