"""Speed of vmapped episodes, beside a per-task Python loop of the same algorithm.

    python -m benchmarks.episodes_speed

An episode is one person: inner steps on a support list, the loss on a query list, and the outer
gradient through all of it. crossfade takes a meta-batch of them at once through
`torch.func.vmap`; the loop takes one after the other. The loop is written in two ways, with
`torch.func.grad` and with `torch.autograd.grad`, and the faster one counts. Both compute the same
gradients, which is checked before anything is timed. PyTorch has one thread, and the lists are
made up: ten bases, 39 columns of context, as the real signals have. Writes
``benchmarks/episodes_speed.md``.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crossfade.fusion.maml.config import Algorithm, MamlConfig
from crossfade.fusion.maml.inner import Weights, adapt, clipped, meta_loss
from crossfade.fusion.maml.network import Lists, MamlGate, inner_of

ROOT = Path(__file__).parents[1]
BAR = 10
N_BASES, N_CONTEXT = 10, 78
SIZES = (8, 16, 32, 64, 128)
ALGORITHMS: tuple[Algorithm, ...] = ("anil", "maml", "fomaml", "meta_sgd")
ROUNDS, N_LOOP, SECONDS = 5, 8, 0.15

Step = Callable[[], Tensor]


def made_up(n_tasks: int, n_candidates: int, n_wanted: int, seed: int) -> Lists:
    """Lists in which a tenth of the scores is missing."""
    rng = torch.Generator().manual_seed(seed)
    shape = (n_tasks, n_candidates, N_BASES)
    there = (torch.rand(shape, generator=rng) < 0.9).float()
    wanted = torch.zeros(n_tasks, n_candidates)
    wanted[:, :n_wanted] = 1
    return Lists(
        torch.randn(shape, generator=rng) * there,
        there,
        torch.zeros(n_tasks, n_candidates),
        wanted,
        torch.ones(n_tasks),
        torch.randn(n_tasks, N_CONTEXT, generator=rng),
    )


class Episodes:
    """A meta-batch and the three ways to get its outer gradient.

    Args:
        config: The algorithm.
        n_tasks: Size of the meta-batch.
        n_candidates: Length of the lists.
    """

    def __init__(self, config: MamlConfig, n_tasks: int, n_candidates: int) -> None:
        self.config, self.n_tasks, self.inner = config, n_tasks, inner_of(config)
        start = np.full(N_BASES, 1 / N_BASES, dtype=np.float32)
        self.gate = MamlGate(config, start, N_CONTEXT, 2.0, np.random.default_rng(0))
        self.gate.head_weight.data.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
        self.support = made_up(n_tasks, n_candidates, 10, 1)
        self.query = made_up(n_tasks, n_candidates, 5, 2)

    def vmapped(self) -> Tensor:
        """As crossfade does it."""
        support, query = self._read()
        gate = self.gate
        rates = gate.rates(self.config)
        return self._outer(
            meta_loss(gate.start(), gate.loss, support, query, rates, inner=self.inner)
        )

    def functional_loop(self) -> Tensor:
        """Task after task with `torch.func.grad`."""
        gate, rates = self.gate, self.gate.rates(self.config)
        return self._loop(lambda one: adapt(gate.start(), gate.loss, one, rates, self.inner))

    def plain_loop(self) -> Tensor:
        """Task after task with `torch.autograd.grad`, as a tutorial writes it."""
        return self._loop(self._plain_adapt)

    def gradients(self) -> list[Tensor]:
        """Of the last outer loss."""
        return [p.grad.clone() for p in self.gate.parameters() if p.grad is not None]

    def _read(self) -> tuple[Lists, Lists]:
        support = self.gate.read(self.support).shrunk(self.config.shrink)
        return support, self.gate.read(self.query)

    def _plain_adapt(self, one: Lists) -> Weights:
        gate, inner, rates = self.gate, self.inner, self.gate.rates(self.config)
        start = weights = gate.start()
        for _ in range(inner.n_steps):
            found = torch.autograd.grad(
                gate.loss(weights, one), list(weights.values()), create_graph=not inner.first_order
            )
            gradient = {
                name: value + inner.pull * (weights[name] - start[name])
                for name, value in zip(weights, found, strict=True)
            }
            if inner.first_order:
                gradient = {name: value.detach() for name, value in gradient.items()}
            gradient = clipped(gradient, inner.clip_norm)
            weights = {
                name: w - (rates[name] if isinstance(rates, dict) else rates) * gradient[name]
                for name, w in weights.items()
            }
        return weights

    def _loop(self, adapted: Callable[[Lists], Weights]) -> Tensor:
        support, query = self._read()
        losses = []
        for task in range(self.n_tasks):
            one, other = (Lists(*(part[task] for part in side)) for side in (support, query))
            losses.append(self.gate.loss(adapted(one), other))
        return self._outer(torch.stack(losses).mean())

    def _outer(self, value: Tensor) -> Tensor:
        self.gate.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()


def check(config: MamlConfig, n_candidates: int) -> None:
    """Raise unless the three ways give the same gradients."""
    episodes = Episodes(config, N_LOOP, n_candidates)
    episodes.vmapped()
    expected = episodes.gradients()
    for step in (episodes.functional_loop, episodes.plain_loop):
        step()
        torch.testing.assert_close(episodes.gradients(), expected, rtol=1e-3, atol=1e-5)


def per_episode(step: Step, n_tasks: int) -> float:
    """Milliseconds per episode, mean over some calls."""
    n, began = 0, time.perf_counter()
    while n == 0 or time.perf_counter() - began < SECONDS:
        step()
        n += 1
    return 1000 * (time.perf_counter() - began) / (n * n_tasks)


Row = dict[str, list[float]]


def measured(config: MamlConfig, n_candidates: int) -> Row:
    """Milliseconds per episode of each way, one value per round; the ways take turns."""
    loop = Episodes(config, N_LOOP, n_candidates)
    ways: dict[str, tuple[Step, int]] = {
        "functional loop": (loop.functional_loop, N_LOOP),
        "plain loop": (loop.plain_loop, N_LOOP),
    }
    for size in SIZES:
        ways[str(size)] = (Episodes(config, size, n_candidates).vmapped, size)
    found: Row = {name: [] for name in ways}
    for step, _ in ways.values():  # once to warm up
        step()
    for _ in range(ROUNDS):
        for name, (step, n_tasks) in ways.items():
            found[name].append(per_episode(step, n_tasks))
    return found


def ratios(row: Row, size: int) -> list[float]:
    """By how much the faster loop is slower, round by round."""
    best = min(("functional loop", "plain loop"), key=lambda name: float(np.median(row[name])))
    return [loop / ours for loop, ours in zip(row[best], row[str(size)], strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of vmapped episodes.")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "episodes_speed.md")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    default = MamlConfig()
    rows: dict[tuple[str, int], Row] = {}
    for algorithm in ALGORITHMS:
        lengths = (
            (64, default.n_candidates, 512) if algorithm == "anil" else (default.n_candidates,)
        )
        for n_candidates in lengths:
            config = default.changed(algorithm=algorithm)
            check(config, n_candidates)
            row = rows[algorithm, n_candidates] = measured(config, n_candidates)
            ratio = float(np.median(ratios(row, default.meta_batch)))
            print(f"{algorithm}, {n_candidates} candidates: {ratio:.1f} times", flush=True)
    asked.to.write_text(_page(rows, default), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _page(rows: dict[tuple[str, int], Row], default: MamlConfig) -> str:
    lines = [
        "# Speed of vmapped episodes",
        "",
        f"`python -m benchmarks.episodes_speed` on {os.cpu_count()} cores, PyTorch on one thread, load average "
        f"{os.getloadavg()[1]:.1f} over the last five minutes. Bar: {BAR} times a per-task Python loop of the same "
        "algorithm in the same run.",
        "",
        *(
            f"- `{algorithm}`: {_verdict(ratios(row, default.meta_batch))}"
            + (" (the default)" if algorithm == default.algorithm else "")
            for (algorithm, n_candidates), row in rows.items()
            if n_candidates == default.n_candidates
        ),
        "",
        f"These with the default meta-batch of {default.meta_batch} and {default.n_candidates} candidates per "
        "list, as learning has them.",
        "",
        f"An episode is {default.n_steps} inner steps on a support list, the loss on a query list, and the outer "
        f"gradient; {N_BASES} bases, {N_CONTEXT // 2} columns of context. The loop is the faster of two ways to "
        "write it, with `torch.func.grad` or with `torch.autograd.grad`; its time per episode does not depend on "
        "the meta-batch. All three gave the same gradients before they were timed. Most of a call of vmap is "
        "overhead that does not grow with its tasks, so small meta-batches gain little: with the 8 of the source "
        "the bar is missed. Long lists gain less, as arithmetic takes over from overhead.",
        "",
        "Milliseconds per episode, median of the rounds; in brackets how many times the faster loop takes.",
        "",
        "| algorithm | candidates | loop, func | loop, autograd | "
        + " | ".join(f"vmap, {size}" for size in SIZES)
        + " |",
        "| --- | ---: |" + " ---: |" * (2 + len(SIZES)),
    ]
    for (algorithm, n_candidates), row in rows.items():
        loops = [f"{np.median(row[name]):.2f}" for name in ("functional loop", "plain loop")]
        ours = [
            f"{np.median(row[str(size)]):.3f} ({np.median(ratios(row, size)):.1f})"
            for size in SIZES
        ]
        lines.append(f"| {' | '.join([algorithm, str(n_candidates), *loops, *ours])} |")
    return "\n".join([*lines, ""])


def _verdict(found: list[float]) -> str:
    ratio = float(np.median(found))
    spread = f"{min(found):.1f} to {max(found):.1f} over {ROUNDS} rounds"
    return f"{ratio:.1f} times ({spread}), **{'pass' if ratio >= BAR else 'fail'}**"


if __name__ == "__main__":
    main()
