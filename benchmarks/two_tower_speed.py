"""Training speed of the two-tower network, beside a plain PyTorch two-tower.

    python -m benchmarks.two_tower_speed [--data ../shared/data]

An example is one wanted item in one training step. crossfade's step takes 256 histories with all
their wanted items against every item of the catalogue, so each item goes through its tower once a
step; the plain network takes single (user, item) rows, 1,024 at a time, against the items of the
same batch. Both learn from the likes of `movielens-1m` with the same columns, widths, dropout and
optimiser; text is encoded beforehand. The plain one looks a person up by ID instead of pooling a
history, which is cheaper. Writes ``benchmarks/two_tower_speed.md``.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.content_fits import ROOT, SEED, dataset_of, import_set
from crossfade.data import Dataset
from crossfade.features.text import item_texts, make_encoder
from crossfade.recommenders.two_tower.config import TwoTowerConfig
from crossfade.recommenders.two_tower.examples import Examples, Material, PositiveLog
from crossfade.recommenders.two_tower.fitting import train_two_tower
from crossfade.recommenders.two_tower.inputs import ItemInputs
from crossfade.recommenders.two_tower.reader import Reader
from crossfade.recommenders.two_tower.towers import Sizes, TwoTower

NAME, BAR = "movielens-1m", 100_000
N_CORES = 2
ROUNDS, N_EPOCHS, N_STEPS, N_WARM, BATCH = 3, 2, 40, 5, 1024


@dataclass(frozen=True)
class Rates:
    """Examples per second, one value per run.

    Attributes:
        clock: By the clock, which other work on the machine slows.
        busy: Per second in which both cores work for this process alone.
    """

    clock: list[float]
    busy: list[float]


def material_of(dataset: Dataset, config: TwoTowerConfig) -> Material:
    """What training looks at, text encoded."""
    known, texts = dataset.known_items(None), item_texts(dataset.items)
    encoder = make_encoder(config.encoder).fit(texts)
    reader = Reader.fit(dataset, known, config.item, config.user)
    items = ItemInputs.make(reader.items, reader.schema, encoder.encode(texts))
    return Material(PositiveLog.read(dataset), items, known, reader.read)


def wanted_per_epoch(material: Material, config: TwoTowerConfig) -> tuple[float, int]:
    """Wanted items in the steps of an epoch, counted over two, and the steps."""
    examples = Examples(material, material.log.users, config.examples, config.loss)
    counts = [
        sum(int(step.wanted.sum()) for step in examples.epoch(np.random.default_rng(seed)))
        for seed in range(2)
    ]
    return float(np.mean(counts)), len(examples)


def our_run(dataset: Dataset, material: Material, n_wanted: float, rates: Rates) -> None:
    """Some epochs; the first warms up and does not count by the clock."""
    config = TwoTowerConfig()
    short = config.changed(
        train=config.train.changed(epochs=N_EPOCHS + 1, device="cpu"),
        examples=config.examples.changed(min_steps=1),
    )
    cpu = time.process_time()
    trained = train_two_tower(dataset, material, short, np.random.default_rng(SEED))
    cpu = time.process_time() - cpu  # the first epoch and the vectors at the end included
    assert trained.history is not None  # many people like two films
    rates.clock.extend(n_wanted / seconds for seconds in trained.history.seconds[1:])
    rates.busy.append((N_EPOCHS + 1) * n_wanted / (cpu / N_CORES))


class PlainTowers(nn.Module):
    """Two towers as a tutorial would write them, in the widths of ours."""

    def __init__(self, items: ItemInputs, n_users: int, config: TwoTowerConfig) -> None:
        super().__init__()
        ours = TwoTower(config, Sizes.of(items, n_users))
        self.users = nn.Embedding(n_users, ours.user.width)
        self.user = _layers((ours.user.width, *config.user.hidden, config.output_dim), 0.3)
        item = config.item
        self.creators = nn.Embedding(items.n_creators, item.creator_dim)
        self.genres = nn.EmbeddingBag(items.n_genres + 1, item.genre_dim, mode="mean")
        self.moods = nn.EmbeddingBag(items.n_moods + 1, item.mood_dim, mode="mean")
        self.audio = nn.Linear(16, item.audio_dim)
        self.item = _layers((ours.item.width, *item.hidden, config.output_dim), 0.3)
        self.own = nn.Embedding(len(items), config.output_dim)
        self.inputs = [
            torch.from_numpy(column)
            for column in (
                items.text,
                items.creator.astype(np.int64),
                items.genres.astype(np.int64),
                items.moods.astype(np.int64),
                np.hstack([items.audio, items.confidence]),
                items.numeric,
            )
        ]

    def forward(self, user: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of the users and of the items of a batch."""
        text, creator, genres, moods, audio, numeric = (column[item] for column in self.inputs)
        content = [text, self.creators(creator), self.genres(genres), self.moods(moods)]
        content += [self.audio(audio), numeric]
        found = self.item(torch.cat(content, dim=1)) + self.own(item)
        wanting = self.user(self.users(user))
        return functional.normalize(wanting, dim=1), functional.normalize(found, dim=1)


def _layers(widths: tuple[int, ...], dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        parts.append(nn.Linear(a, b))
        if i < len(widths) - 2:
            parts += [nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*parts)


def plain_run(dataset: Dataset, material: Material, rates: Rates) -> None:
    """Some steps of the plain network after a few of warming up."""
    config = TwoTowerConfig()
    pairs = material.log.pairs.tocoo()
    users, items = (torch.from_numpy(part.astype(np.int64)) for part in pairs.coords)
    network = PlainTowers(material.items, dataset.n_users, config)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.train.lr, fused=True)
    began, cpu = time.perf_counter(), time.process_time()
    for n_done, rows in enumerate(_batches(len(users))):
        if n_done == N_WARM:
            began, cpu = time.perf_counter(), time.process_time()
        user, item = network(users[rows], items[rows])
        loss = functional.cross_entropy(user @ item.T / 0.1, torch.arange(len(rows)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    rates.clock.append(N_STEPS * BATCH / (time.perf_counter() - began))
    rates.busy.append(N_STEPS * BATCH / ((time.process_time() - cpu) / N_CORES))


def _batches(n_rows: int) -> Iterator[Tensor]:
    order = torch.from_numpy(np.random.default_rng(SEED).permutation(n_rows))
    for step in range(N_WARM + N_STEPS):
        yield order[step * BATCH : (step + 1) * BATCH]


def main() -> None:
    parser = argparse.ArgumentParser(description="Training speed of the two-tower network.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "two_tower_speed.md")
    asked = parser.parse_args()
    config = TwoTowerConfig()
    with tempfile.TemporaryDirectory() as name:
        import_set(NAME, asked.data, Path(name))
        dataset = dataset_of(Path(name), NAME)
    material = material_of(dataset, config)
    n_wanted, n_steps = wanted_per_epoch(material, config)
    ours, plain = Rates([], []), Rates([], [])
    for number in range(1, ROUNDS + 1):
        our_run(dataset, material, n_wanted, ours)
        plain_run(dataset, material, plain)
        for name, rates in (("crossfade", ours), ("plain", plain)):
            found = f"{rates.clock[-1]:,.0f} by the clock, {rates.busy[-1]:,.0f} by the processor"
            print(f"round {number}, {name}: {found}", flush=True)
    about = (
        f"{dataset.n_users:,} people, {material.log.pairs.nnz:,} likes, {dataset.n_items:,} films"
    )
    asked.to.write_text(_page(ours, plain, about, n_wanted, n_steps), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _page(ours: Rates, plain: Rates, about: str, n_wanted: float, n_steps: int) -> str:
    clock, busy = float(np.median(ours.clock)), float(np.median(ours.busy))
    lines = [
        "# Training speed of the two-tower network",
        "",
        f"`python -m benchmarks.two_tower_speed` on {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"load average {os.getloadavg()[1]:.1f} over the last five minutes (1 per busy core; above {N_CORES} other "
        f"work takes part of them). Bar: {BAR:,} examples/s in an epoch after the first on {N_CORES} cores.",
        "",
        f"- by the clock: {clock:,.0f} (median), **{_verdict(clock)}**",
        f"- per second in which both cores work for this alone: {busy:,.0f}, **{_verdict(busy)}**",
        "",
        f"{NAME}: {about}; text encoded beforehand, default settings. An example is one wanted item in one "
        f"training step. An epoch of crossfade holds {n_wanted:,.0f} of them in {n_steps} steps of 256 histories, "
        "each compared with the whole catalogue. The plain PyTorch two-tower has the same columns, widths, "
        f"dropout and optimiser, and trains on single rows, {BATCH:,} a step, against the items of the same "
        "batch; it looks people up by ID and pools no history. So the rate says how fast wanted items are gone "
        "through, not that a step is faster: a step of crossfade holds many more examples, and they share "
        "one pass of the catalogue through the item tower.",
        "",
        "| network | runs | examples/s by the clock | lowest | highest | by processor | lowest | highest |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, rates in (
        (f"crossfade, epochs 2 – {N_EPOCHS + 1} of {ROUNDS} fits", ours),
        (f"plain PyTorch, {N_STEPS} steps each", plain),
    ):
        spreads = [
            f"{np.median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f}"
            for found in (rates.clock, rates.busy)
        ]
        lines.append(f"| {label} | {len(rates.clock)} | {' | '.join(spreads)} |")
    per_round = [a / b for a, b in zip(ours.busy, plain.busy, strict=True)]
    lines += [
        "",
        f"Ratio by the clock {clock / np.median(plain.clock):.1f}; by processor time "
        f"{busy / np.median(plain.busy):.1f} ({min(per_round):.1f} to {max(per_round):.1f} over {ROUNDS} rounds).",
        "",
    ]
    return "\n".join(lines)


def _verdict(rate: float) -> str:
    return "pass" if rate >= BAR else "fail"


if __name__ == "__main__":
    main()
