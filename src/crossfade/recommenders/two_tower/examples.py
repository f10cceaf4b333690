"""Training examples: a history, what was wanted besides, and what to compare it with."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossfade.data import Dataset, Queries
from crossfade.features.acclaim import ItemAcclaim
from crossfade.recommenders.two_tower.config import ExampleConfig, LossConfig
from crossfade.recommenders.two_tower.inputs import ItemInputs, UserInputs
from crossfade.recommenders.two_tower.losses import inclusion_log_q
from crossfade.recommenders.two_tower.towers import Bag, ItemBatch, UserBatch
from crossfade.types import Bools, Csr, Doubles, Floats, Ints, Rows, Times

SHORT = 4
"""Most events of a history that counts as short."""


@dataclass(frozen=True, eq=False)
class Step:
    """What one training step looks at: B requests against N items."""

    items: ItemBatch
    users: UserBatch
    wanted: Tensor  # (B, N), bool
    excluded: Tensor  # (B, N), bool: liked as well, so no negatives
    log_q: Tensor  # (N,)


@dataclass(frozen=True, eq=False)
class PositiveLog:
    """Positive events by user and then by time.

    Attributes:
        users: Users with two of them or more, who alone can make examples.
        indptr: Events of user row ``u`` are ``[indptr[u], indptr[u + 1])`` of the next four.
        item: Item rows.
        time_us: None where the log has no times.
        strength: Above 0.
        session: Session rows, -1 where unknown.
        pairs: 1 where a user wanted an item, ``(n_users, n_items)``.
    """

    users: Rows
    indptr: Ints
    item: Rows
    time_us: Times | None
    strength: Floats
    session: Rows
    pairs: Csr

    @classmethod
    def read(cls, dataset: Dataset) -> "PositiveLog":
        """From a data set."""
        events = dataset.events
        wanted = events["strength"].to_numpy() > 0
        order = np.flatnonzero(wanted)[
            np.argsort(events["user_row"].to_numpy()[wanted], kind="stable")
        ]
        user = events["user_row"].to_numpy()[order]
        indptr = np.searchsorted(user, np.arange(dataset.n_users + 1)).astype(np.int64)
        pairs = dataset.interactions()
        pairs.data = np.ones_like(pairs.data)
        return cls(
            users=np.flatnonzero(np.diff(pairs.indptr) >= 2).astype(np.int32),
            indptr=indptr,
            item=events["item_row"].to_numpy()[order],
            time_us=None if dataset.time_us is None else dataset.time_us[order],
            strength=events["strength"].to_numpy()[order],
            session=events["session_row"].fill_null(-1).to_numpy()[order],
            pairs=pairs,
        )


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that training looks at.

    Attributes:
        log: Positive events.
        items: The whole catalogue.
        known: Items with events, which alone are compared with, ``(n_items,)``.
        read: From requests to what the user tower reads.
        acclaim: For towers that read ratings as of the request.
    """

    log: PositiveLog
    items: ItemInputs
    known: Bools
    read: Callable[[Queries], UserInputs]
    acclaim: ItemAcclaim | None = None


class Examples:
    """The steps of an epoch: every user once, in a new order and cut anew.

    Args:
        material: What training looks at.
        users: Who makes examples; each needs two positives.
        config: How a user's events become an example.
        loss: How many items a step compares with.
    """

    def __init__(
        self, material: Material, users: Rows, config: ExampleConfig, loss: LossConfig
    ) -> None:
        self._material, self._users = material, users
        self._log, self._items = material.log, material.items
        self._config, self._loss = config, loss
        self._known = np.flatnonzero(material.known).astype(np.int32)
        n_pairs = np.diff(self._log.pairs.indptr)[users]
        # About half of what a user wanted is history.
        self.n_examples = int(np.minimum((n_pairs + 1) // 2, config.max_wanted).sum())
        # Of people, not plays: a song somebody plays all day is wanted once in an example.
        share: Doubles = np.bincount(self._log.pairs.indices, minlength=len(self._items)).astype(
            float
        )
        self._share = (share / max(share.sum(), 1.0)).astype(np.float32)[self._known]
        self._all: ItemBatch | None = None

    def __len__(self) -> int:
        return math.ceil(len(self._users) / self._config.batch_size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Step]:
        """Each user once."""
        order = rng.permutation(self._users)
        for start in range(0, len(order), self._config.batch_size):
            queries, wanted = self._cut(order[start : start + self._config.batch_size], rng)
            yield self._step(queries, wanted, rng)

    def _cut(self, users: Rows, rng: np.random.Generator) -> tuple[Queries, Csr]:
        """Split each user's events into a history and what was wanted besides."""
        log, config = self._log, self._config
        start, sizes = log.indptr[users], np.diff(log.indptr)[users]
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        owner = np.repeat(np.arange(len(users)), sizes)
        flat = np.repeat(start - indptr[:-1], sizes) + np.arange(indptr[-1])
        chance = rng.random(len(flat))
        future = config.order == "future" or (config.order == "mixed" and rng.random() < 0.5)
        place = np.arange(len(flat)) - indptr[:-1][owner]
        if not future:  # a random order instead of the log's
            place[np.lexsort((chance, owner))] = place.copy()
        n_history = self._history_sizes(sizes, rng)
        is_history = place < n_history[owner]
        as_of_us = None
        if future and log.time_us is not None:
            # The moment of the first wanted event; what shares it is no history any more.
            as_of_us = log.time_us[start + n_history]
            is_history &= log.time_us[flat] < as_of_us[owner]
        shape = (len(users), len(self._items))
        met = Csr(
            (
                np.ones(is_history.sum(), np.float32),
                (owner[is_history], log.item[flat[is_history]]),
            ),
            shape=shape,
        )
        # The nearest of the future, or any of the rest.
        rank = place - n_history[owner]
        is_wanted = ~is_history & (rank < config.max_wanted)
        wanted = Csr(
            (np.ones(is_wanted.sum(), np.float32), (owner[is_wanted], log.item[flat[is_wanted]])),
            shape=shape,
        )
        wanted = Csr((wanted - wanted.multiply(met > 0)) > 0)
        shown = is_history & (rng.random(len(flat)) >= config.history_dropout)
        return self._queries(users, owner, flat, shown, as_of_us), wanted

    def _history_sizes(self, sizes: Ints, rng: np.random.Generator) -> Ints:
        """Events that are history: mostly a tenth to nine tenths, some few, some none; never all."""
        config, n = self._config, len(sizes)
        kind = rng.random(n)
        usual = np.maximum(1, (sizes * rng.uniform(0.1, 0.9, n)).astype(np.int64))
        short = rng.integers(1, SHORT + 1, n)
        size = np.where(kind < config.empty_share + config.short_share, short, usual)
        size = np.where(kind < config.empty_share, 0, size)
        return np.minimum(size, sizes - 1)

    def _queries(
        self, users: Rows, owner: Ints, flat: Ints, shown: Bools, as_of_us: Times | None
    ) -> Queries:
        log, kept = self._log, flat[shown]
        counts = np.bincount(owner[shown], minlength=len(users))
        return Queries(
            user_row=users,
            as_of_us=as_of_us,
            indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            item_row=log.item[kept],
            time_us=None if log.time_us is None else log.time_us[kept],
            strength=log.strength[kept],
            session_row=log.session[kept],
            n_items=len(self._items),
        )

    def _step(self, queries: Queries, wanted: Csr, rng: np.random.Generator) -> Step:
        inputs = self._material.read(queries)
        rows, log_q = self._candidates(wanted, rng)
        # Items that are only pooled come after the candidates.
        extra = np.setdiff1d(inputs.history.indices, rows)
        everything = np.concatenate([rows, extra]).astype(np.int32)
        as_of_us = None if queries.as_of_us is None else int(queries.as_of_us.min())
        liked = Csr(self._log.pairs[queries.user_row][:, rows])
        is_wanted = np.asarray(wanted[:, rows].toarray(), dtype=np.bool_)
        return Step(
            items=self._item_batch(everything, as_of_us),
            users=user_batch(inputs, everything),
            wanted=torch.from_numpy(is_wanted),
            excluded=torch.from_numpy(liked.toarray() > 0),
            log_q=torch.from_numpy(log_q),
        )

    def _candidates(self, wanted: Csr, rng: np.random.Generator) -> tuple[Rows, Floats]:
        """Items to compare with, and the log of the chance that each came in."""
        n_most = self._loss.n_candidates
        if len(self._known) <= n_most:
            return self._known, np.zeros(len(self._known), dtype=np.float32)
        n_uniform = round(n_most * self._loss.uniform_share)
        inside = np.unique(wanted.indices)
        n_wanted = wanted.nnz
        if len(inside) > n_most - n_uniform:
            # Wanted pairs are drawn, so that a popular item still has the greater chance.
            n_wanted = n_most - n_uniform
            inside = np.unique(rng.choice(wanted.indices, n_wanted, replace=False))
        uniform = rng.choice(self._known, n_uniform)
        rows = np.union1d(inside, uniform).astype(np.int32)
        log_q = inclusion_log_q(self._share, n_wanted, n_uniform)
        return rows, log_q[np.searchsorted(self._known, rows)]

    def _item_batch(self, rows: Rows, as_of_us: int | None) -> ItemBatch:
        # In this very order: candidates and history together can be all items in another one.
        everything = self._material.acclaim is None and np.array_equal(rows, self._known)
        if everything and self._all is not None:
            return self._all  # the whole known catalogue, which never changes
        batch = item_batch(self._material, rows, as_of_us)
        self._all = batch if everything else None
        return batch


def item_batch(material: Material, rows: Rows, as_of_us: int | None) -> ItemBatch:
    """Some items as tensors, with their ratings as of a moment (None: of the whole log)."""
    items, rating = material.items, None
    if material.acclaim is not None:
        moment = None if as_of_us is None else np.full(len(rows), as_of_us, dtype=np.int64)
        values = material.acclaim.at(rows, moment)
        known = np.isfinite(values)
        rating = torch.from_numpy(np.hstack([np.nan_to_num(values), known]).astype(np.float32))
    return ItemBatch(
        row=torch.from_numpy(rows).long(),
        has_id=torch.from_numpy(material.known[rows].astype(np.float32))[:, None],
        text=torch.from_numpy(items.text[rows]),
        creator=torch.from_numpy(items.creator[rows]).long(),
        genres=torch.from_numpy(items.genres[rows]).long(),
        moods=torch.from_numpy(items.moods[rows]).long(),
        audio=torch.from_numpy(items.audio[rows]),
        confidence=torch.from_numpy(items.confidence[rows]),
        numeric=torch.from_numpy(items.numeric[rows]),
        rating=rating,
    )


def user_batch(inputs: UserInputs, item_rows: Rows) -> UserBatch:
    """Requests as tensors; ``item_rows`` are the items of the step, in its order."""
    place = np.full(inputs.history.shape[1], -1, dtype=np.int64)
    place[item_rows] = np.arange(len(item_rows))
    history = inputs.history
    return UserBatch(
        user=torch.from_numpy(inputs.user.astype(np.int64) + 1),
        history=_bag(
            Csr((history.data, place[history.indices], history.indptr), shape=history.shape)
        ),
        genres=_bag(inputs.genres),
        moods=_bag(inputs.moods),
        time=_tensor(inputs.time),
        trends=_tensor(inputs.trends),
        activity=_tensor(inputs.activity),
    )


def _bag(matrix: Csr) -> Bag:
    return Bag(
        row=torch.from_numpy(matrix.indices.astype(np.int64)),
        start=torch.from_numpy(matrix.indptr[:-1].astype(np.int64)),
        weight=torch.from_numpy(matrix.data.astype(np.float32)),
    )


def _tensor(values: Floats | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values)
