import numpy as np
import pytest

from crossfade.data import Queries
from crossfade.recommenders.ials import IALS, IALSConfig
from crossfade.recommenders.nmf import NMF, NMFConfig
from crossfade.testing import checkerboard


def test_a_penalty_that_leaves_nothing_is_said() -> None:
    model = NMF(NMFConfig(regularisation=1e4)).fit(checkerboard())
    assert not model.state()["item"].any()
    (notice,) = model.notices
    assert notice.startswith("nmf: every vector is 0")
    assert "lower it" in notice


@pytest.mark.parametrize("model", [NMF(), IALS()], ids=["nmf", "ials"])
def test_a_healthy_model_has_nothing_to_say(model: NMF | IALS) -> None:
    assert model.fit(checkerboard()).notices == ()


@pytest.mark.parametrize(
    "model", [NMF(NMFConfig(factors=3)), IALS(IALSConfig(factors=3))], ids=["nmf", "ials"]
)
def test_vectors_have_the_width_that_was_asked_for(model: NMF | IALS) -> None:
    vectors = model.fit(checkerboard()).embeddings()
    assert vectors.user.shape == (20, 3)
    assert vectors.item.shape == (21, 3)


@pytest.mark.parametrize("model", [NMF(), IALS()], ids=["nmf", "ials"])
def test_similarity_is_the_cosine_of_the_vectors(model: NMF | IALS) -> None:
    items = model.fit(checkerboard()).state()["item"].astype(np.float64)
    cosine = items[2] @ items[4] / np.linalg.norm(items[2]) / np.linalg.norm(items[4])
    assert model.similar(2)[4] == pytest.approx(cosine, rel=1e-5)
    evidence = model.score(Queries.of_items([2], 21), [4]).evidence[0, 2]
    assert evidence == pytest.approx(cosine, rel=1e-5)
