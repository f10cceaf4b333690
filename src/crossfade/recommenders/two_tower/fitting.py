"""Training a two-tower network on a log; like `towers` it needs PyTorch and is imported late."""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from crossfade.context.synthesis import Companion
from crossfade.data import Dataset, Queries
from crossfade.features.acclaim import ACCLAIM_FEATURES
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.examples import (
    Examples,
    Material,
    Step,
    item_batch,
    user_batch,
)
from crossfade.recommenders.two_tower.losses import cosine_embedding, sampled_softmax
from crossfade.recommenders.two_tower.towers import (
    N_RATINGS,
    ItemBatch,
    Sizes,
    TwoTower,
    check_widths,
)
from crossfade.training.device import moved
from crossfade.training.history import History
from crossfade.training.loop import train
from crossfade.types import Arrays, Floats, Rows

ITEMS_AT_ONCE = 8192

MEAN_RATING = [feature.name for feature in ACCLAIM_FEATURES].index("mean_rating")


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves behind.

    Attributes:
        weights: Of both towers, by name.
        found: Item vectors before normalisation, ``(n_items, output_dim)``.
        pooled: Item vectors for pooling, same shape.
        temperature: Cosines are divided by it.
        hidden: ``found`` as it would be, were something not known of the items: ``sound`` their audio
            features, ``acclaim`` their mean rating. Only what the tower reads and some item has.
        synthesis: Of the companion: hidden units that work, the gate of each group, and its share
            of what is made, mean over the catalogue; None where there is no companion.
        history: The course of training, None where nobody had two positives to learn from.
    """

    weights: Arrays
    found: Floats
    pooled: Floats
    temperature: float
    hidden: dict[str, Floats]
    synthesis: dict[str, Any] | None
    history: History | None


def train_two_tower(
    dataset: Dataset,
    material: Material,
    config: TwoTowerConfig,
    rng: np.random.Generator,
    *,
    start: Arrays | None = None,
    users: Rows | None = None,
) -> Trained:
    """Train both towers.

    Args:
        dataset: Events up to the cut.
        material: What is read from them.
        config: All settings.
        rng: The only source of chance.
        start: Weights to go on from; None starts afresh.
        users: Who makes examples, of those who can; None lets all of them.
    """
    seed = int(rng.integers(2**31))
    sizes = Sizes.of(material.items, dataset.n_users)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = TwoTower(config, sizes)
    check_widths(network, config, sizes)
    if start is None:
        network.start_at_text(material.items.text[material.known])
    else:
        network.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in start.items()})
    able = material.log.users if users is None else np.intersect1d(material.log.users, users)
    history = _train(network, material, config, seed, able, fresh=start is None)
    if start is None:
        trained = np.unique(material.items.creator[material.known]).astype(np.int64)
        network.forget_untrained(
            torch.from_numpy(trained), torch.from_numpy(able.astype(np.int64) + 1)
        )
    end_us = None if dataset.time_us is None else int(dataset.time_us[-1]) + 1
    found, pooled, hidden, synthesis = _item_vectors(network, material, end_us)
    weights = {name: w.detach().numpy() for name, w in network.state_dict().items()}
    temperature = float(network.temperature.detach())
    return Trained(weights, found, pooled, temperature, hidden, synthesis, history)


def _train(
    network: TwoTower,
    material: Material,
    config: TwoTowerConfig,
    seed: int,
    able: Rows,
    *,
    fresh: bool,
) -> History | None:
    """Train in place; the companion changes its size only in training that starts afresh."""
    # At most a fifth of them is held out.
    n_held = min(config.examples.validation_users, len(able) // 5)
    held = np.sort(np.random.default_rng([seed, 1]).choice(able, n_held, replace=False))
    examples = Examples(material, np.setdiff1d(able, held), config.examples, config.loss)
    if not len(examples):
        network.eval()
        return None
    n_epochs = max(config.train.epochs, math.ceil(config.examples.min_steps / len(examples)))
    loss = _Loss(config, n_epochs)

    def begin_epoch(epoch: int) -> None:
        loss.begin_epoch(epoch)
        if network.item.companion is not None and fresh:
            network.item.companion.begin_epoch(epoch, n_epochs)

    checkpoint = _checkpoint(material, config, seed)
    history = train(
        network,
        examples,
        loss,
        config.train.changed(epochs=n_epochs),
        seed=seed,
        purpose="train two_tower",
        validate=_Validation(material, held) if len(held) else None,
        begin_epoch=begin_epoch,
        checkpoint=checkpoint,
    )
    if checkpoint is not None:
        shutil.rmtree(checkpoint)  # it has its result; only a killed run leaves one behind
    return history


def _checkpoint(material: Material, config: TwoTowerConfig, seed: int) -> Path | None:
    """Where this run is kept from epoch to epoch.

    One directory serves all runs of a system, which trains the same network on several
    parts of its log: the name in it changes with what is trained, and on what.
    """
    if config.checkpoint is None:
        return None
    seen = hashlib.sha256()
    settings = config.model_dump(mode="json", exclude={"checkpoint", "text_cache"})
    settings["train"].pop("device")  # a run may go on elsewhere
    seen.update(json.dumps([settings, seed], sort_keys=True).encode())
    log, items = material.log, material.items
    read = [log.indptr, log.item, log.strength, log.time_us, material.known]
    read += [getattr(items, field.name) for field in fields(items)]
    for values in read:
        seen.update(np.ascontiguousarray(values if values is not None else []).data)
    return Path(config.checkpoint) / seen.hexdigest()[:16]


class _Loss:
    """The loss of a step; late in training it may look at the hardest negatives alone."""

    def __init__(self, config: TwoTowerConfig, n_epochs: int) -> None:
        self._config = config.loss
        self._n_epochs = n_epochs
        self._hardest: int | None = None

    def begin_epoch(self, epoch: int) -> None:
        late = epoch > self._config.hard_from * self._n_epochs
        self._hardest = (
            self._config.hard_negatives if late and self._config.hard_negatives else None
        )

    def __call__(self, network: TwoTower, step: Step) -> Tensor:
        found, pooled, made = network.item.made(step.items)
        penalty = 0.0 if made is None else made.penalty
        user = functional.normalize(network.user(step.users, pooled), dim=1)
        item = functional.normalize(found[: step.wanted.shape[1]], dim=1)
        if self._config.kind == "cosine":
            return penalty + self._cosine(user, item, step)
        return penalty + sampled_softmax(
            user,
            item,
            step.wanted,
            step.excluded,
            step.log_q,
            network.temperature,
            self._config.correction,
            hardest=self._hardest,
        )

    def _cosine(self, user: Tensor, item: Tensor, step: Step) -> Tensor:
        """As many random unwanted pairs as wanted ones."""
        row, column = step.wanted.nonzero(as_tuple=True)
        other = torch.randint(len(item), (len(row),), device=row.device)
        fair = ~(step.wanted | step.excluded)[row, other]
        label = torch.cat([torch.ones_like(row), -torch.ones_like(row)])
        keep = torch.cat([torch.ones_like(fair), fair])
        users, items = user[torch.cat([row, row])], item[torch.cat([column, other])]
        return cosine_embedding(users[keep], items[keep], label[keep].float(), self._config.margin)


class _Validation:
    """NDCG@10 on held-out users, the last fifth of whose events is asked for."""

    def __init__(self, material: Material, users: Rows) -> None:
        log = material.log
        start, sizes = log.indptr[users], np.diff(log.indptr)[users]
        n_shown = np.clip(sizes * 4 // 5, 1, sizes - 1)
        indptr = np.concatenate([[0], np.cumsum(n_shown)]).astype(np.int64)
        flat = np.repeat(start - indptr[:-1], n_shown) + np.arange(indptr[-1])
        queries = Queries(
            user_row=np.full(len(users), -1, dtype=np.int32),
            as_of_us=None if log.time_us is None else log.time_us[start + n_shown],
            indptr=indptr,
            item_row=log.item[flat],
            time_us=None if log.time_us is None else log.time_us[flat],
            strength=log.strength[flat],
            session_row=log.session[flat],
            n_items=len(material.items),
        )
        everything = np.arange(len(material.items), dtype=np.int32)
        self._users = user_batch(material.read(queries), everything)
        moment = None if queries.as_of_us is None else int(queries.as_of_us.min())
        self._items = item_batch(material, everything, moment)
        seen = queries.positives.toarray() > 0
        self._relevant = torch.from_numpy((log.pairs[users].toarray() > 0) & ~seen)
        self._absent = torch.from_numpy(seen | ~material.known[None, :])

    def __call__(self, network: TwoTower) -> float:
        device = network.log_temperature.device
        found, pooled = network.item(moved(self._items, device))
        user = network.user(moved(self._users, device), pooled)
        score = functional.normalize(user, dim=1) @ functional.normalize(found, dim=1).T
        best = score.cpu().masked_fill(self._absent, -torch.inf).topk(10, dim=1).indices
        hits = self._relevant.gather(1, best)
        gain = 1 / torch.log2(torch.arange(2, 12))
        n_ideal = self._relevant.sum(dim=1).clamp(max=10)
        ideal = torch.cat([torch.zeros(1), gain.cumsum(0)])[n_ideal]
        some = n_ideal > 0
        return float(((hits * gain).sum(dim=1)[some] / ideal[some]).mean())


def _item_vectors(
    network: TwoTower, material: Material, as_of_us: int | None
) -> tuple[Floats, Floats, dict[str, Floats], dict[str, Any] | None]:
    """Vectors of the whole catalogue, what they would be without knowing something, and of what is made."""
    hiding = _hiding(network, material, as_of_us)
    parts: list[list[Floats]] = []
    shares: list[Tensor] = []
    with torch.no_grad():
        for rows in _pieces(len(material.items)):
            items = item_batch(material, rows, as_of_us)
            *both, made = network.item.made(items)
            if made is not None:
                shares.append(made.weights)
            less = [network.item(hide(items))[0] for hide in hiding.values()]
            parts.append([vectors.numpy() for vectors in (*both, *less)])
    found, pooled, *hidden = (np.concatenate(part) for part in zip(*parts, strict=True))
    synthesis = _told(network.item.companion, shares)
    return found, pooled, dict(zip(hiding, hidden, strict=True)), synthesis


def _told(companion: Companion | None, shares: list[Tensor]) -> dict[str, Any] | None:
    if companion is None:
        return None
    mean = torch.cat(shares).mean(dim=0)
    return {
        "units": companion.units.n_working,
        "gates": dict(zip(companion.names, companion.gate.tolist(), strict=True)),
        "shares": dict(zip(companion.names, mean.tolist(), strict=True)),
    }


def _pieces(n_items: int) -> Iterator[Rows]:
    for start in range(0, n_items, ITEMS_AT_ONCE):
        yield np.arange(start, min(start + ITEMS_AT_ONCE, n_items), dtype=np.int32)


def _hiding(
    network: TwoTower, material: Material, as_of_us: int | None
) -> dict[str, Callable[[ItemBatch], ItemBatch]]:
    """What can be hidden from the item tower, and how."""
    found: dict[str, Callable[[ItemBatch], ItemBatch]] = {}
    if network.item.audio is not None and material.items.confidence.any():
        found["sound"] = _without_audio
    if network.item.rating is not None and material.acclaim is not None:
        everything = np.arange(len(material.items), dtype=np.int32)
        moment = None if as_of_us is None else np.full(len(everything), as_of_us, dtype=np.int64)
        if np.isfinite(material.acclaim.at(everything, moment)[:, MEAN_RATING]).any():
            found["acclaim"] = _without_rating
    return found


def _without_audio(items: ItemBatch) -> ItemBatch:
    nothing = torch.zeros_like(items.audio)
    return replace(items, audio=nothing, confidence=nothing)


def _without_rating(items: ItemBatch) -> ItemBatch:
    assert items.rating is not None
    rating = items.rating.clone()
    rating[:, [MEAN_RATING, N_RATINGS + MEAN_RATING]] = 0.0  # the value, and that it is known
    return replace(items, rating=rating)
