"""The two networks. Widths derive from the settings and are checked where a network is built.

Shapes: B requests, N items of a step, D output_dim.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossfade.context.synthesis import Companion, Group, Synthesised
from crossfade.recommenders.two_tower.config import (
    ItemTowerConfig,
    TwoTowerConfig,
    UserTowerConfig,
)
from crossfade.recommenders.two_tower.inputs import N_NUMERIC, ItemInputs
from crossfade.recommenders.two_tower.layers import (
    label_bag,
    quieten,
    stacked,
    table,
    weighted_bag,
)
from crossfade.types import Floats

N_AUDIO, N_RATINGS, N_ACTIVITY, N_TIME = 8, 5, 18, 7
ID_PACE = 8.0
"""Vectors of single items are stored divided by this, so each step of the optimiser moves them as many
times further: they are seen rarely, and at the pace of the layers content is learned by heart first."""

AUDIO_SPREAD = 0.2
"""About the deviation of the audio features, which lie in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Sizes:
    """Heights of the embedding tables and the length of a text vector."""

    n_users: int
    n_items: int
    n_creators: int
    n_genres: int
    n_moods: int
    text_dim: int

    @classmethod
    def of(cls, items: ItemInputs, n_users: int) -> "Sizes":
        """Those of a catalogue and a log."""
        return cls(
            n_users=n_users,
            n_items=len(items),
            n_creators=items.n_creators,
            n_genres=items.n_genres,
            n_moods=items.n_moods,
            text_dim=items.text.shape[1],
        )


@dataclass(frozen=True, eq=False)
class ItemBatch:
    """Some items as tensors; see `ItemInputs`. ``has_id`` is 1 where training knew the item."""

    row: Tensor  # (N,)
    has_id: Tensor  # (N, 1)
    text: Tensor  # (N, text_dim)
    creator: Tensor  # (N,)
    genres: Tensor  # (N, most)
    moods: Tensor  # (N, most)
    audio: Tensor  # (N, 8)
    confidence: Tensor  # (N, 8)
    numeric: Tensor  # (N, 4)
    rating: Tensor | None  # (N, 10), values and mask


@dataclass(frozen=True, eq=False)
class Bag:
    """Weighted lists of rows: list ``i`` is ``[start[i], start[i + 1])`` of the other two."""

    row: Tensor
    start: Tensor  # (B,)
    weight: Tensor


@dataclass(frozen=True, eq=False)
class UserBatch:
    """Some requests as tensors; see `UserInputs`. History rows count within the step's items."""

    user: Tensor  # (B,), 0 for strangers, else row + 1
    history: Bag
    genres: Bag
    moods: Bag
    time: Tensor | None  # (B, 14)
    trends: Tensor | None  # (B, n_genres + n_moods)
    activity: Tensor | None  # (B, 36)


class ItemTower(nn.Module):
    """Content of items → vectors before normalisation, and vectors for pooling in histories.

    Blocks: text, creator, genres and moods (mean of embeddings), audio with its confidence,
    year and duration, maybe ratings as of the request. In the documented form they make
    384 + 32 + 16 + 12 + 32 + 16 = 492 columns.
    """

    def __init__(self, config: ItemTowerConfig, sizes: Sizes, output_dim: int) -> None:
        super().__init__()
        self.config = config
        c = config
        self.n_genres, self.n_moods = sizes.n_genres, sizes.n_moods
        self.creators = table(sizes.n_creators, c.creator_dim, 0.1) if c.creator_dim else None
        self.genres = label_bag(sizes.n_genres, c.genre_dim) if c.genre_dim else None
        self.moods = label_bag(sizes.n_moods, c.mood_dim) if c.mood_dim else None
        # Values and their confidence side by side.
        self.audio = nn.Linear(2 * N_AUDIO, c.audio_dim) if c.audio_dim else None
        self.rating = nn.Linear(2 * N_RATINGS, c.rating_dim) if c.rating_dim else None
        text_dim = sizes.text_dim if c.text else 0
        self.width = text_dim + c.creator_dim + c.genre_dim + c.mood_dim + c.audio_dim
        self.width += c.rating_dim + N_NUMERIC * c.numeric
        self.layers = stacked((self.width, *c.hidden, output_dim), c.dropout)
        skips = c.text and c.text_skip
        self.skip = nn.Linear(sizes.text_dim, output_dim, bias=False) if skips else None
        if self.skip is not None:
            self.skip.weight.requires_grad_(False)
        # Random directions of length 1 or so: works of one creator start out alike.
        deviation = output_dim**-0.5
        self.kin = table(sizes.n_creators, output_dim, deviation) if c.creator_skip else None
        self.own = (
            table(sizes.n_items, output_dim, 0.05 / ID_PACE, padded=False)
            if c.id_residual
            else None
        )
        self.met = (
            table(sizes.n_items, output_dim, 0.05 / ID_PACE, padded=False)
            if c.id_residual
            else None
        )
        self.pooled = nn.Linear(self.width, output_dim)
        if self.skip is not None:
            quieten(self.layers[-1], self.pooled)
        self.companion = self._companion(sizes, output_dim) if c.synthesis.on else None

    def forward(self, items: ItemBatch) -> tuple[Tensor, Tensor]:
        """Vectors to be found, and vectors to be pooled, both ``(N, D)``, not normalised."""
        found, pooled, _ = self.made(items)
        return found, pooled

    def made(self, items: ItemBatch) -> tuple[Tensor, Tensor, Synthesised | None]:
        """As `forward`, and what the companion made, if there is one."""
        if self.training and self.config.step_dropout > 0:
            # In some steps everything goes by its content, as new items among themselves do.
            alone = torch.rand(1, device=items.has_id.device) < self.config.step_dropout
            items = replace(items, has_id=items.has_id * ~alone)
        text = functional.dropout(items.text, self.config.text_dropout, self.training)
        items = replace(items, text=text)
        shown = self._shown(items)  # (N, 1)
        creator = self._creators(items)
        blocks = self._blocks(items, creator)
        content = torch.cat(list(blocks.values()), dim=1)
        found, pooled = self.layers(content), self.pooled(content)
        if self.skip is not None:
            similar = self.skip(items.text)
            found, pooled = found + similar, pooled + similar
        if self.kin is not None:
            same = self.kin(creator)
            found, pooled = found + same, pooled + same
        if self.own is not None and self.met is not None:
            found = found + shown * ID_PACE * self.own(items.row)
            pooled = pooled + self._shown(items) * ID_PACE * self.met(items.row)
        made: Synthesised | None = None
        if self.companion is not None:
            made = self.companion(self._groups(items, creator, blocks), found)
            # In the place of a vector of the item's own, so known items stay as they are.
            found = found + (1 - shown) * made.added
        return found, pooled, made

    def _companion(self, sizes: Sizes, output_dim: int) -> Companion:
        c = self.config
        widths = {
            "text": sizes.text_dim * c.text,
            "creator": c.creator_dim,
            "genres": c.genre_dim,
            "moods": c.mood_dim,
            "audio": c.audio_dim,
            "numeric": N_NUMERIC * c.numeric,
        }
        groups = [Group(name, width) for name, width in widths.items() if width]
        # Chance of its own: the rest of the network begins as it would without.
        with torch.random.fork_rng(devices=[]):
            return Companion(groups, output_dim, c.synthesis)

    def _groups(
        self, items: ItemBatch, creator: Tensor, blocks: dict[str, Tensor]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """What the companion reads: the blocks that are content, and whether each is known of an item.

        Ratings are what people did with an item, so they are none of it.
        """
        there = {
            "text": items.text.any(dim=1),
            "creator": creator > 0,
            "genres": (items.genres < self.n_genres).any(dim=1),
            "moods": (items.moods < self.n_moods).any(dim=1),
            "audio": items.confidence.any(dim=1),
            "numeric": items.numeric.any(dim=1),
        }
        return {
            name: (block, there[name][:, None].expand_as(block))
            for name, block in blocks.items()
            if name in there
        }

    def _shown(self, items: ItemBatch) -> Tensor:
        """Which items go by their own vector; in training some must do without."""
        if not self.training or self.config.id_dropout == 0:
            return items.has_id
        return items.has_id * (torch.rand_like(items.has_id) >= self.config.id_dropout)

    def _blurred(self, items: ItemBatch) -> tuple[Tensor, Tensor]:
        """Audio and its confidence; in training some of it as a predictor might have guessed it.

        A guess of confidence r explains the share r of a feature's variance. Blurring to a
        lower r adds noise of the variance that is then unexplained.
        """
        rate = self.config.audio_blur
        if not self.training or rate == 0:
            return items.audio, items.confidence
        hit = torch.rand_like(items.audio) < rate
        kept = torch.where(hit, torch.rand_like(items.audio), torch.ones_like(items.audio))
        noise = torch.randn_like(items.audio) * AUDIO_SPREAD * (1 - kept).sqrt()
        return items.audio + noise, items.confidence * kept

    def _creators(self, items: ItemBatch) -> Tensor:
        """Creator rows; in training some are hidden, whether or not the item's own vector is."""
        if not self.training or self.config.id_dropout == 0:
            return items.creator
        kept = torch.rand(len(items.creator), device=items.creator.device) >= self.config.id_dropout
        return items.creator * kept

    def _blocks(self, items: ItemBatch, creator: Tensor) -> dict[str, Tensor]:
        """The columns that are read side by side, by block; the order is that of the weights."""
        c = self.config
        blocks = {"text": items.text} if c.text else {}
        if self.creators is not None:
            blocks["creator"] = self.creators(creator)
        if self.genres is not None:
            blocks["genres"] = self.genres(items.genres)
        if self.moods is not None:
            blocks["moods"] = self.moods(items.moods)
        if self.audio is not None:
            audio, confidence = self._blurred(items)
            # A guess moves the network by as much as it is worth.
            blocks["audio"] = self.audio(torch.cat([audio * confidence, confidence], dim=1))
        if self.rating is not None:
            assert items.rating is not None
            blocks["rating"] = self.rating(items.rating)
        if c.numeric:
            blocks["numeric"] = items.numeric
        return blocks


class UserTower(nn.Module):
    """History, tastes and moment of requests → vectors before normalisation.

    In the documented form 32 + 16 + 12 + 32 = 92 columns.
    """

    def __init__(self, config: UserTowerConfig, sizes: Sizes, output_dim: int) -> None:
        super().__init__()
        self.config = config
        c = config
        self.users = table(sizes.n_users + 1, c.id_dim, 0.1) if c.id_dim else None
        self.genres = weighted_bag(sizes.n_genres, c.genre_dim) if c.genre_dim else None
        self.moods = weighted_bag(sizes.n_moods, c.mood_dim) if c.mood_dim else None
        self.activity = nn.Linear(2 * N_ACTIVITY, c.activity_dim) if c.activity_dim else None
        n_labels = sizes.n_genres + sizes.n_moods
        self.trends = nn.Linear(n_labels, 16) if c.trends else None
        self.nobody = nn.Parameter(torch.zeros(output_dim))
        self.width = c.history * output_dim + c.id_dim + c.genre_dim + c.mood_dim + c.activity_dim
        self.width += 2 * N_TIME * c.time + 16 * c.trends
        self.layers = stacked((self.width, *c.hidden, output_dim), c.dropout)
        if c.history:
            quieten(self.layers[-1])

    def forward(self, users: UserBatch, pooled: Tensor) -> Tensor:
        """Vectors ``(B, D)``.

        Args:
            users: The requests.
            pooled: What the item tower gives for pooling, ``(N, D)``.
        """
        c = self.config
        pool = self._pool(users.history, pooled)
        blocks = [pool] if c.history else []
        if self.users is not None:
            blocks.append(self.users(self._known(users.user)))
        if self.genres is not None:
            blocks.append(_sums(self.genres, users.genres))
        if self.moods is not None:
            blocks.append(_sums(self.moods, users.moods))
        if self.activity is not None:
            assert users.activity is not None
            blocks.append(self.activity(users.activity))
        if c.time:
            assert users.time is not None
            blocks.append(users.time)
        if self.trends is not None:
            assert users.trends is not None
            blocks.append(self.trends(users.trends))
        vector: Tensor = self.layers(torch.cat(blocks, dim=1))
        return vector + pool if c.history else vector

    def _known(self, user: Tensor) -> Tensor:
        if not self.training or self.config.id_dropout == 0:
            return user
        return user * (torch.rand(len(user), device=user.device) >= self.config.id_dropout)

    def _pool(self, history: Bag, pooled: Tensor) -> Tensor:
        """Sum of the history over the root of its weight, so that long ones are surer; ``(B, D)``."""
        # Mixed precision gives bf16, and sums want their weights and terms alike.
        pooled = pooled.float()
        total = functional.embedding_bag(
            history.row, pooled, history.start, mode="sum", per_sample_weights=history.weight
        )
        ones = torch.ones(len(pooled), 1, device=pooled.device)
        weight = functional.embedding_bag(
            history.row, ones, history.start, mode="sum", per_sample_weights=history.weight
        )
        return total / weight.clamp(min=1e-6).sqrt() + (weight == 0) * self.nobody


class TwoTower(nn.Module):
    """Both towers and the temperature; vectors of length 1 that meet in a dot product."""

    def __init__(self, config: TwoTowerConfig, sizes: Sizes) -> None:
        super().__init__()
        self.item = ItemTower(config.item, sizes, config.output_dim)
        self.user = UserTower(config.user, sizes, config.output_dim)
        start = torch.tensor(math.log(config.loss.temperature))
        self.log_temperature = nn.Parameter(start, requires_grad=config.loss.learn_temperature)

    @property
    def temperature(self) -> Tensor:
        """What cosines are divided by; kept within 0.01 … 1."""
        return self.log_temperature.clamp(math.log(0.01), 0.0).exp()

    def start_at_text(self, text: Floats) -> None:
        """Begin with the main directions of the text: similarity of items is similarity of text.

        These directions stay as they are. Learned, they would learn a small catalogue by
        heart; what is to be learned about a text, the layers beside them learn.

        Args:
            text: Text vectors of the items known in training, ``(n, text_dim)``.
        """
        skip = self.item.skip
        if skip is None or not len(text):
            return
        _, _, directions = np.linalg.svd(text.T @ text, hermitian=True)
        n = min(len(directions), skip.out_features)
        with torch.no_grad():
            skip.weight.zero_()
            skip.weight[:n] = torch.from_numpy(directions[:n])

    def forget_untrained(self, creators: Tensor, users: Tensor) -> None:
        """Give rows that training never met the zeros that stand for unknown.

        Args:
            creators: Creator rows of items that were trained on.
            users: Rows of the users who made examples, plus 1.
        """
        tables = [(table, creators) for table in (self.item.creators, self.item.kin)]
        with torch.no_grad():
            for table, met in [*tables, (self.user.users, users)]:
                if table is not None:
                    unmet = torch.ones(len(table.weight), dtype=torch.bool)
                    unmet[met] = False
                    table.weight[unmet] = 0.0


def check_widths(network: TwoTower, config: TwoTowerConfig, sizes: Sizes) -> None:
    """Raise unless the documented form has the documented widths.

    Raises:
        ValueError: If it has not.
    """
    item, user = network.item.width, network.user.width
    if config == TwoTowerConfig(form="documented") and (item - sizes.text_dim, user) != (108, 92):
        raise ValueError(f"the documented towers read 492 and 92 columns, these {item} and {user}")


def _sums(table: nn.EmbeddingBag, bag: Bag) -> Tensor:
    sums: Tensor = table(bag.row, bag.start, per_sample_weights=bag.weight)
    return sums
