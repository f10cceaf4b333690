"""Logs, catalogues, columns and gates that a learned blend must not profit from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.signals import ROOT, SEED, Block
from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import Plan, ProtocolConfig, Trial, make_plan
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.gate.config import GateConfig
from crossfade.fusion.gate.model import MetaFusion
from crossfade.fusion.matrix import weighted
from crossfade.fusion.static import list_ndcg
from crossfade.meta.blending import BlendConfig, fit_bases
from crossfade.meta.chain import gather, without_clock
from crossfade.meta.contextual import contextual_signals
from crossfade.meta.signals import sampled
from crossfade.rng import generator
from crossfade.training.config import TrainConfig
from crossfade.types import Bools, Doubles, Floats

KEPT_COLUMNS = ("item_id", "release_date")
"""Release dates say which items may be listed, so they are no content here."""

NEW_ITEM_EVENTS = 5
"""Items with at most so many events before the test block are new."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A log with the plan that was made of it."""

    dataset: Dataset
    plan: Plan

    @property
    def test(self) -> Trial:
        """The test block, sampled as its signals are."""
        return sampled(self.plan.tests[0], BlendConfig().max_requests, SEED)

    @classmethod
    def of(cls, dataset: Dataset) -> "Cut":
        """Cut by time."""
        return cls(dataset, make_plan(dataset, ProtocolConfig(name="time"), SEED))


def plan_of(name: str, data: Path, folder: Path) -> Cut:
    """A public set, cut by time."""
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{name}.toml")
    import_table(mapping, folder / f"{name}-honest", root=data / name, now=datetime.now(UTC))
    # The catalogue knows itself by the folder's name; nothing else looks at it.
    return Cut.of(load_dataset(folder / f"{name}-honest"))


def signals_of(
    cut: Cut, bases: Mapping[str, Mapping[str, Any]], *, fuse_only: bool = False
) -> Block:
    """Signals of all blocks, as `benchmarks.signals` makes them.

    Args:
        cut: The log.
        bases: By label.
        fuse_only: Without the blocks before the fuse block.
    """
    config = BlendConfig(n_earlier_blocks=0) if fuse_only else BlendConfig()
    material = gather(cut.plan, bases, config, SEED)
    trial = cut.plan.tests[0]
    test = contextual_signals(
        trial,
        fit_bases(bases, trial.train, SEED),
        material.track,
        config=config,
        seed=SEED,
    )
    return Block(material, test if material.clock else without_clock(test))


# -- the future ------------------------------------------------------------------------


def another_future(cut: Cut, rng: np.random.Generator) -> tuple[Cut, float]:
    """The log whose test block wants other things, asked and judged as before.

    Who acts when stays; what they act on is dealt anew among all events of the block.

    Returns:
        The other log, and the share of the block's events whose item is another.
    """
    asked, events = cut.plan.tests[0], cut.dataset.events
    as_of_us = asked.queries.as_of_us
    assert as_of_us is not None
    later = np.flatnonzero(events["timestamp"].to_physical().to_numpy() >= as_of_us.min())
    order = np.arange(len(events))
    order[later] = rng.permutation(later)
    stays = ("timestamp", "user_row", "session_row")
    moved = events.select(pl.exclude(stays))[order]
    dataset = replace(cut.dataset, events=events.with_columns(moved.get_columns()))
    share = float((moved["item_row"] != events["item_row"]).to_numpy()[later].mean())
    other = Cut.of(dataset)
    (test,) = other.plan.tests
    queries = test.train.queries(asked.queries.user_row, as_of_us)
    test = replace(test, queries=queries, relevant=asked.relevant)
    return replace(other, plan=replace(other.plan, tests=(test,))), share


def equal(one: Block, other: Block) -> bool:
    """Whether a blend sees the very same in both, to the bit."""
    pairs = (
        (one.material.train, other.material.train),
        (one.material.calibrate, other.material.calibrate),
        (one.test, other.test),
    )
    return all(_equal(a, b) for a, b in pairs)


def _equal(one: LabelledSignals, other: LabelledSignals) -> bool:
    if one.signals.columns != other.signals.columns:
        return False
    told = [
        {**vars(part), **{k: v for k, v in vars(part.signals).items() if k != "columns"}}
        for part in (one, other)
    ]
    return all(
        np.array_equal(array, told[1][key], equal_nan=array.dtype.kind == "f")
        for key, array in told[0].items()
        if key != "signals"
    )


# -- columns ---------------------------------------------------------------------------


def with_chance(block: Block, rng: np.random.Generator) -> Block:
    """With an item column of random numbers."""

    def chance(part: LabelledSignals) -> LabelledSignals:
        return with_column(part, rng.normal(size=part.item_row.shape))

    return _each(block, chance)


def with_answers(block: Block, rng: np.random.Generator) -> Block:
    """With an item column that is 1 at half of what is wanted, else 0."""

    def told(part: LabelledSignals) -> LabelledSignals:
        return with_column(part, part.relevant & (rng.random(part.relevant.shape) < 0.5))

    return _each(block, told)


def with_column(part: LabelledSignals, values: Doubles | Bools) -> LabelledSignals:
    """With one item column more, ``(B, L)``; NaN at padding."""
    signals = part.signals
    assert signals.item is not None
    column = np.where(signals.mask, values, np.nan).astype(np.float32)
    item = np.concatenate([signals.item, column[:, :, None]], axis=2)
    columns = replace(signals.columns, item=(*signals.columns.item, "canary"))
    return replace(part, signals=replace(signals, item=item, columns=columns))


def _each(block: Block, change: Callable[[LabelledSignals], LabelledSignals]) -> Block:
    material = block.material
    material = replace(material, train=change(material.train), calibrate=change(material.calibrate))
    return Block(material, change(block.test))


# -- content ---------------------------------------------------------------------------


def shuffled_content(cut: Cut, rng: np.random.Generator) -> Cut:
    """The same log with whole rows of the catalogue permuted among items."""
    items = cut.dataset.items
    content = items.select(pl.exclude(KEPT_COLUMNS))[rng.permutation(len(items))]
    return Cut.of(replace(cut.dataset, items=items.with_columns(content.get_columns())))


def without_content(cut: Cut) -> Cut:
    """The same log with a catalogue of ids and release dates."""
    items = cut.dataset.items
    kept = [name for name in KEPT_COLUMNS if name in items.columns]
    return Cut.of(replace(cut.dataset, items=items.select(kept)))


def new_items_only(cut: Cut, test: LabelledSignals, score: Floats) -> Doubles:
    """NDCG@10 of lists of new items, for requests that want one that may be listed, ``(n,)``."""
    trial = cut.test
    n_events = np.bincount(trial.train.events["item_row"].to_numpy(), minlength=trial.train.n_items)
    new = n_events <= NEW_ITEM_EVENTS
    if trial.candidates is not None:
        new &= trial.candidates
    wanted = (trial.relevant @ new).astype(np.float64)  # entries are 1
    asking = np.flatnonzero(wanted)
    listed = new[test.item_row[asking]] & test.signals.mask[asking]
    return list_ndcg(
        np.where(listed, score[asking], np.float32(np.nan)),
        test.relevant[asking] & listed,
        wanted[asking],
        10,
    )


# -- gates -----------------------------------------------------------------------------


def random_weights(block: Block, n: int, seed: int) -> Iterator[Floats]:
    """Scores by weights of the bases drawn for each request, evenly over all of them."""
    signals = block.test.signals
    n_requests, _, n_bases = signals.score.shape
    for draw in range(n):
        rng = generator(seed, f"benchmarks.honesty.weights.{draw}")
        pull = rng.dirichlet(np.ones(n_bases), size=n_requests)[:, None, :]
        yield weighted(signals.score, signals.available, pull).score


def random_networks(block: Block, n: int, seed: int) -> Iterator[Floats]:
    """Scores by the network of `meta` without training, with heads that say something."""
    still = GateConfig(residual=False, train=TrainConfig(epochs=1, lr=1e-12))
    model = MetaFusion(still).fit(block.material.train, block.material.calibrate, seed)
    state = model.state()
    state["net.start"] = np.zeros_like(state["net.start"])  # equal weights, not those of static
    for draw in range(n):
        rng = generator(seed, f"benchmarks.honesty.network.{draw}")
        heads = {
            f"net.{head}.weight": rng.normal(size=state[f"net.{head}.weight"].shape)
            for head in ("gate", "confidence")
        }
        drawn = {name: head.astype(np.float32) for name, head in heads.items()}
        random = MetaFusion.restore(still.model_dump(), {**state, **drawn})
        yield random.forward(block.test.signals).score
