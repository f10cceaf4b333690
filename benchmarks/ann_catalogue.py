"""A synthetic catalogue, clicks on it, and a small two-tower network trained on them.

`benchmarks.ann` needs vectors that lie as a trained tower's do: in clusters of uneven size, with
popular regions and sparse ones. Random vectors would make every index look worse than it is. Plain
PyTorch on purpose, so that the table does not move with the library's own network.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.types import Floats, Ints, Rows

N_GENRES, N_HIDDEN, N_TEXT = 48, 24, 96
N_HISTORY = 12


@dataclass(frozen=True)
class Catalogue:
    """Items as a tower sees them.

    Attributes:
        creator: Row of the creator of each item, shape ``(n_items,)``.
        genres: Share of each genre, shape ``(n_items, N_GENRES)``.
        text: What an encoder made of the titles, shape ``(n_items, N_TEXT)``.
        hidden: What people really like, never shown to a tower, shape ``(n_items, N_HIDDEN)``.
        appeal: Log popularity, shape ``(n_items,)``.
    """

    creator: Rows
    genres: Floats
    text: Floats
    hidden: Floats
    appeal: Floats


def make_catalogue(n_items: int, rng: np.random.Generator) -> Catalogue:
    """Creators with a genre mixture and a style; items near their creator; noisy text of both."""
    n_creators = max(n_items // 12, 1)
    genre_place = rng.normal(0, 1.0, (N_GENRES, N_HIDDEN)).astype(np.float32)
    genre_share = rng.dirichlet(np.full(N_GENRES, 0.5)).astype(np.float64)
    # Three genres a creator, one of them dominant; popular genres hold more creators.
    mixture = np.zeros((n_creators, N_GENRES), dtype=np.float32)
    for weight in (0.6, 0.25, 0.15):
        np.add.at(
            mixture,
            (np.arange(n_creators), rng.choice(N_GENRES, n_creators, p=genre_share)),
            weight,
        )
    style = mixture @ genre_place + rng.normal(0, 0.45, (n_creators, N_HIDDEN)).astype(np.float32)
    # Zipf-like: a few creators have hundreds of items, most have a handful.
    busy = rng.pareto(1.4, n_creators) + 0.3
    creator = rng.choice(n_creators, n_items, p=busy / busy.sum()).astype(np.int32)
    hidden = style[creator] + rng.normal(0, 0.35, (n_items, N_HIDDEN)).astype(np.float32)
    show = rng.normal(0, N_HIDDEN**-0.5, (N_HIDDEN, N_TEXT)).astype(np.float32)
    text = np.tanh(hidden @ show) + rng.normal(0, 0.15, (n_items, N_TEXT)).astype(np.float32)
    appeal = rng.normal(0, 1.0, n_items).astype(np.float32)
    return Catalogue(
        creator, mixture[creator], text.astype(np.float32), hidden.astype(np.float32), appeal
    )


def make_clicks(catalogue: Catalogue, n_users: int, rng: np.random.Generator) -> Rows:
    """Items each user clicked, shape ``(n_users, N_HISTORY + 1)``; the last is the one to predict.

    A user likes the neighbourhoods of two items; of 400 random items plus 200 by creators near
    those two, the clicks are drawn by taste and appeal.
    """
    n_items = len(catalogue.creator)
    by_creator = np.argsort(catalogue.creator, kind="stable")
    place = np.empty(n_items, dtype=np.int64)
    place[by_creator] = np.arange(n_items)
    clicks = np.empty((n_users, N_HISTORY + 1), dtype=np.int32)
    for start in range(0, n_users, 2_000):
        n = min(2_000, n_users - start)
        seeds = rng.integers(n_items, size=(n, 2))
        taste = catalogue.hidden[seeds]  # (n, 2, hidden)
        near = place[seeds][:, :, None] + rng.integers(-40, 41, size=(n, 2, 100))
        shown = np.concatenate(
            [
                rng.integers(n_items, size=(n, 400)),
                by_creator[np.clip(near, 0, n_items - 1)].reshape(n, -1),
            ],
            axis=1,
        )
        there = catalogue.hidden[shown]  # (n, shown, hidden)
        miles = ((there[:, :, None, :] - taste[:, None, :, :]) ** 2).sum(axis=3).min(axis=2)
        wish = -miles / N_HIDDEN * 8 + catalogue.appeal[shown] + rng.gumbel(size=shown.shape)
        best = np.argpartition(-wish, N_HISTORY, axis=1)[:, : N_HISTORY + 1]
        clicks[start : start + n] = rng.permuted(np.take_along_axis(shown, best, axis=1), axis=1)
    return clicks


class Tower(nn.Module):
    """Item features, or the mean of those of a history, to a 64-d vector of length 1."""

    def __init__(self, n_creators: int) -> None:
        super().__init__()
        self.creator = nn.Embedding(n_creators, 32, sparse=True)
        self.item = nn.Sequential(
            nn.Linear(32 + N_GENRES + N_TEXT, 192), nn.ReLU(), nn.Linear(192, 64)
        )
        self.user = nn.Sequential(nn.Linear(64, 192), nn.ReLU(), nn.Linear(192, 64))
        self.log_scale = nn.Parameter(torch.tensor(2.5))

    def items(self, creator: Tensor, features: Tensor) -> Tensor:
        """Vectors of items, shape ``(n, 64)``."""
        whole = torch.cat([self.creator(creator), features], dim=-1)
        return functional.normalize(self.item(whole), dim=-1)

    def users(self, history: Tensor) -> Tensor:  # (batch, history, 64)
        """Vectors of users, shape ``(batch, 64)``."""
        mean = history.mean(dim=1)
        return functional.normalize(mean + self.user(mean), dim=-1)


def train(
    catalogue: Catalogue, clicks: Rows, n_steps: int, seed: int, batch: int = 512
) -> tuple[Tower, list[float]]:
    """A tower after some steps of in-batch sampled softmax, and the losses."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tower = Tower(int(catalogue.creator.max()) + 1)
    dense = [p for name, p in tower.named_parameters() if name != "creator.weight"]
    optimiser = torch.optim.Adam(dense, lr=2e-3)
    for_creators = torch.optim.SGD([tower.creator.weight], lr=20.0)
    losses: list[float] = []
    for _ in range(n_steps):
        chosen = clicks[rng.integers(len(clicks), size=batch)]
        vectors = _item_vectors(tower, catalogue, chosen.reshape(-1)).view(batch, -1, 64)
        users, wanted = tower.users(vectors[:, :-1]), vectors[:, -1]
        logits = users @ wanted.T * tower.log_scale.exp()
        # Items are clicked about equally often here, so no logQ correction is due.
        loss = functional.cross_entropy(logits, torch.arange(batch))
        optimiser.zero_grad()
        for_creators.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        for_creators.step()
        losses.append(loss.item())
    return tower, losses


def _item_vectors(tower: Tower, catalogue: Catalogue, rows: Rows | Ints) -> Tensor:
    features = np.concatenate([catalogue.genres[rows], catalogue.text[rows]], axis=1)
    vectors: Tensor = tower.items(
        torch.from_numpy(catalogue.creator[rows]), torch.from_numpy(features)
    )
    return vectors


@torch.no_grad()
def all_items(tower: Tower, catalogue: Catalogue) -> Floats:
    """Vectors of the whole catalogue, shape ``(n_items, 64)``."""
    rows = np.arange(len(catalogue.creator))
    parts = np.array_split(rows, max(len(rows) // 20_000, 1))
    return np.concatenate([_item_vectors(tower, catalogue, part).numpy() for part in parts])


@torch.no_grad()
def all_users(tower: Tower, items: Floats, clicks: Rows) -> Floats:
    """Vectors of users from their clicks but the last, shape ``(n_users, 64)``."""
    vectors: Floats = tower.users(torch.from_numpy(items[clicks[:, :-1]])).numpy()
    return vectors
