"""A saved model as PyTorch would run it, to compare with what is served."""

import numpy as np
import pytest
import torch

from crossfade.data import Dataset
from crossfade.features.acclaim import ItemAcclaim
from crossfade.features.text import item_texts
from crossfade.features.text.registry import restore_encoder
from crossfade.recommenders.two_tower.examples import (
    Material,
    PositiveLog,
    item_batch,
    user_batch,
)
from crossfade.recommenders.two_tower.inputs import ItemInputs
from crossfade.recommenders.two_tower.recommender import TwoTower
from crossfade.recommenders.two_tower.serving import unit
from crossfade.recommenders.two_tower.towers import ItemBatch, Sizes
from crossfade.recommenders.two_tower.towers import TwoTower as Towers
from crossfade.types import Floats


def towers_of(model: TwoTower, text_dim: int = 384) -> Towers:
    """The first network of a model, as PyTorch would run it."""
    weights = {
        name.removeprefix("net0."): torch.from_numpy(np.array(value))
        for name, value in model.state().items()
        if name.startswith("net0.") and name not in {"net0.pooled", "net0.temperature"}
    }
    schema = model._reader.schema
    sizes = Sizes(
        n_users=len(model.state()["user"]),
        n_items=len(model.support),
        n_creators=len(schema.creators),
        n_genres=len(schema.genres),
        n_moods=len(schema.moods),
        text_dim=text_dim,
    )
    network = Towers(model.config, sizes)
    network.load_state_dict(weights)
    return network.eval()


def items_of(model: TwoTower, dataset: Dataset) -> ItemBatch:
    """The catalogue as the network reads it, by the model's own text encoder."""
    settings, arrays = model._encoder
    texts = restore_encoder("tfidf", settings, arrays).encode(item_texts(dataset.items))
    items = ItemInputs.make(model._reader.items, model._reader.schema, texts)
    known = dataset.known_items(None)
    acclaim = ItemAcclaim.read(dataset) if model.config.item.rating_dim else None
    material = Material(PositiveLog.read(dataset), items, known, model._reader.read, acclaim)
    return item_batch(material, np.arange(dataset.n_items, dtype=np.int32), None)


def floats_of(model: TwoTower) -> dict[str, Floats]:
    """The arrays of a model's state that hold numbers with a point."""
    return {
        name: array.astype(np.float32)
        for name, array in model.state().items()
        if array.dtype in {np.dtype(np.float32), np.dtype(np.float64)}
    }


def assert_one_version(model: TwoTower, dataset: Dataset) -> None:
    """All that is served follows from the weights that are kept beside it."""
    state, network = floats_of(model), towers_of(model)
    rows = np.arange(dataset.n_items, dtype=np.int32)
    queries = dataset.queries(np.arange(dataset.n_users, dtype=np.int32))
    with torch.no_grad():
        found, pooled = network.item(items_of(model, dataset))
        users = network.user(user_batch(model._reader.read(queries), rows), pooled)
    served = ~np.isnan(state["item"][:, 0])
    np.testing.assert_allclose(state["item"][served], unit(found.numpy())[served], atol=1e-5)
    np.testing.assert_allclose(state["net0.pooled"], pooled.numpy(), atol=1e-5)
    np.testing.assert_allclose(state["user"], unit(users.numpy()), atol=1e-5)
    assert state["net0.temperature"][0] == pytest.approx(float(network.temperature.detach()))
