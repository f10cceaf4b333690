"""Three checks that a learned blend is honest, on public sets.

    python -m benchmarks.honesty [--data ../shared/data] [--only amazon-cds]

A future that nobody may know must change nothing; content that is shuffled among items must
be worth no more than none; a gate that weighs bases by chance must lose. Writes
``benchmarks/honesty.md``.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.honesty_worlds import (
    Cut,
    another_future,
    equal,
    new_items_only,
    plan_of,
    random_networks,
    random_weights,
    shuffled_content,
    signals_of,
    with_answers,
    with_chance,
    without_content,
)
from benchmarks.signals import ROOT, SEED, Block
from crossfade.cli.progress import reporter
from crossfade.evaluation.statistics import intervals, resampled_means
from crossfade.fusion.auto import AutoConfig
from crossfade.fusion.base import LabelledSignals
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.static import list_ndcg
from crossfade.meta.config import DEFAULT_BASES
from crossfade.progress import reporting_to
from crossfade.rng import generator
from crossfade.types import Doubles, Floats

SETS = {"movielens-100k": 3, "amazon-cds": 1}
"""How many fits each model is the mean of; more where there is little to learn from and to judge by."""

FUSE_ONLY = ("amazon-cds",)
"""Sets whose fuse block alone teaches, so that everything can be made anew many times."""

MODELS = ("auto", "meta", "lambdamart")
CONTENT_BASES = ("content_knn", "genre_item_knn")
SETTINGS = {
    "auto": {"n_folds": 2},
    "lambdamart": AutoConfig().settings["lambdamart"],
}
"""Half the folds, and trees as `auto` makes them, without a search: most of the time would go there."""

RESAMPLES = 2_000
N_DRAWS = 5
"""Random gates of each kind; a request's NDCG is the mean over them."""


@dataclass(frozen=True)
class Row:
    """Two lists of every request compared.

    Attributes:
        check: Which of `CHECKS`.
        about: Set and model, as the page says it.
        ours: NDCG@10 of each request by each fit, ``(n_fits, B)``.
        theirs: Of the same requests; as many fits or others.
    """

    check: str
    about: tuple[str, str]
    ours: Doubles
    theirs: Doubles

    def line(self) -> tuple[str, str]:
        """Row of the table, and whether the difference is above, below or across 0."""
        rng = generator(SEED, "benchmarks.honesty")
        both = np.concatenate([self.ours, self.theirs])
        means = resampled_means(both.T, RESAMPLES, rng)
        # Fits are drawn too: of two that differ by their seed alone one is better by luck.
        n_ours, every = len(self.ours), np.arange(RESAMPLES)[:, None]
        ours = rng.integers(n_ours, size=(RESAMPLES, n_ours))
        theirs = rng.integers(n_ours, len(both), size=(RESAMPLES, len(self.theirs)))
        drawn = means[every, ours].mean(axis=1) - means[every, theirs].mean(axis=1)
        difference = self.ours.mean(axis=0) - self.theirs.mean(axis=0)
        found = intervals(difference[:, None], drawn[:, None])
        mean, low, high = (float(x[0]) for x in (found.mean, found.low, found.high))
        where = "above 0" if low > 0 else "below 0" if high < 0 else "across 0"
        cells = (
            *self.about,
            f"{self.ours.shape[1]:,}",
            f"{self.ours.mean():.4f}",
            f"{self.theirs.mean():.4f}",
            f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]",
        )
        return f"| {' | '.join(cells)} | {where} |", where


CHECKS = {
    "future": (
        "Another future changes nothing",
        "Events of the test block are dealt anew among the people in it; requests and what is judged stay. The "
        "whole chain runs again on that log. Differences must be 0 exactly.",
        ("model", "another future", "the real one"),
        ("across 0",),
    ),
    "chance": (
        "A column of pure chance gives no lift",
        "One more item column of random numbers, in training and test alike. Intervals must not lie above 0.",
        ("model", "with chance", "without"),
        ("across 0", "below 0"),
    ),
    "answers": (
        "A column of answers would be seen",
        "The check of the check above: one more item column that marks half of the wanted candidates. Intervals "
        "must lie above 0, or the rows above prove nothing.",
        ("model", "with answers", "without"),
        ("above 0",),
    ),
    "content": (
        "What content is worth",
        "Real content against no content at all: no content bases, and a catalogue of ids and release dates. No "
        "bar; where it is not above 0 there was no lift to remove.",
        ("model", "real content", "no content"),
        ("above 0", "across 0", "below 0"),
    ),
    "shuffled": (
        "Shuffled content is worth nothing",
        "Whole rows of the catalogue are permuted among items, except release dates, which say what may be listed; "
        "all bases, columns and blends are made anew. Intervals must not lie above 0.",
        ("model", "shuffled content", "no content"),
        ("across 0", "below 0"),
    ),
    "removed": (
        "Shuffling takes away what content gave",
        "Real content against shuffled content; among new items in lists of new items alone (at most 5 events so "
        "far, requests that want one). What is left there is chance: shuffled content still gets new items listed.",
        ("model", "real content", "shuffled content"),
        ("above 0", "across 0"),
    ),
    "gate": (
        "A random gate loses",
        f"Means over {N_DRAWS} draws. *Dirichlet*: weights of the bases drawn evenly for each request, over "
        "z scores. *Network*: the network of `meta` with random heads over equal weights, no training and no "
        "residual. Intervals must lie above 0.",
        ("model", "honest", "random"),
        ("above 0",),
    ),
}
"""Title, what is done and its bar, heads of the table, and where intervals may lie."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Three checks that a learned blend is honest.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="some of the sets, with commas")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "honesty.md")
    asked = parser.parse_args()
    began, rows, notes = time.monotonic(), [], []
    with tempfile.TemporaryDirectory() as folder, reporting_to(reporter()):
        for name in SETS:
            if asked.only is not None and name not in asked.only.split(","):
                continue
            for found in _checked(name, asked.data, Path(folder)):
                if isinstance(found, str):
                    notes.append(f"{name}: {found}")
                else:
                    rows.append(found)
                _say(f"{name}: {found if isinstance(found, str) else found.line()[0]}")
                text = _page(rows, notes, time.monotonic() - began, asked.only)
                asked.to.write_text(text, encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _checked(name: str, data: Path, folder: Path) -> Iterator[Row | str]:
    cut, seeds, few = plan_of(name, data, folder), range(SETS[name]), name in FUSE_ONLY
    block = signals_of(cut, DEFAULT_BASES, fuse_only=few)
    honest = {model: _fused(model, block, seeds) for model in MODELS}
    yield from _gates(name, block, honest["auto"])
    yield from _futures(name, cut, block, honest)
    yield from _columns(name, block, honest, seeds)
    yield from _contents(name, cut, block, honest["auto"], seeds)


def _futures(name: str, cut: Cut, block: Block, honest: dict[str, Floats]) -> Iterator[Row | str]:
    other, share = another_future(cut, generator(SEED, "benchmarks.honesty.future"))
    again = signals_of(other, DEFAULT_BASES, fuse_only=name in FUSE_ONLY)
    same = "bit-identical" if equal(again, block) else "DIFFERENT"
    yield (
        f"another future has {share:.0%} other items in the events of the test block; all signals of "
        f"all blocks are {same}"
    )
    for model in MODELS:
        score, expected = _fused(model, again, [SEED]), honest[model][:1]
        told = model if np.array_equal(score, expected, equal_nan=True) else f"{model} (DIFFERENT)"
        test = block.test
        yield Row("future", (name, told), _ndcg(test, score), _ndcg(test, expected))


def _columns(
    name: str, block: Block, honest: dict[str, Floats], seeds: Sequence[int]
) -> Iterator[Row]:
    test = block.test
    changed: dict[str, Callable[[Block, np.random.Generator], Block]] = {
        "chance": with_chance,
        "answers": with_answers,
    }
    for check, change in changed.items():
        # Every fit has a column of its own: what one of them is worth by luck, the mean is not.
        drawn = [change(block, generator(seed, f"benchmarks.honesty.{check}")) for seed in seeds]
        for model in MODELS:
            pairs = zip(drawn, seeds, strict=True)
            score = np.concatenate([_fused(model, one, [seed]) for one, seed in pairs])
            yield Row(check, (name, model), _ndcg(test, score), _ndcg(test, honest[model]))


def _contents(
    name: str, cut: Cut, block: Block, honest: Floats, seeds: Sequence[int]
) -> Iterator[Row]:
    rng = generator(SEED, "benchmarks.honesty.content")
    few = name in FUSE_ONLY
    shuffled = signals_of(shuffled_content(cut, rng), DEFAULT_BASES, fuse_only=few)
    bare_bases = {k: v for k, v in DEFAULT_BASES.items() if k not in CONTENT_BASES}
    bare = signals_of(without_content(cut), bare_bases, fuse_only=few)
    blends = (
        (block.test, honest),
        (shuffled.test, _fused("auto", shuffled, seeds)),
        (bare.test, _fused("auto", bare, seeds)),
    )

    def of_new(test: LabelledSignals, score: Floats) -> Doubles:
        return np.stack([new_items_only(cut, test, one) for one in score])

    for told, judged in (("auto", _ndcg), ("auto, new items", of_new)):
        real, mixed, without = (judged(test, score) for test, score in blends)
        yield Row("content", (name, told), real, without)
        if judged is _ndcg:  # without content bases nobody proposes new items
            yield Row("shuffled", (name, told), mixed, without)
        yield Row("removed", (name, told), real, mixed)
    for base in CONTENT_BASES:
        place = block.test.signals.columns.bases.index(base)
        tests = [
            (part.test, part.test.signals.score[None, :, :, place]) for part in (block, shuffled)
        ]
        for told, judged in ((base, _ndcg), (f"{base}, new items", of_new)):
            real, mixed = (judged(test, score) for test, score in tests)
            yield Row("removed", (name, told), real, mixed)


def _gates(name: str, block: Block, auto: Floats) -> Iterator[Row]:
    test = block.test
    static = _fused("static", block, [SEED])
    for told, scores in (
        ("Dirichlet", random_weights(block, N_DRAWS, SEED)),
        ("network", random_networks(block, N_DRAWS, SEED)),
    ):
        drawn = _ndcg(test, np.stack(list(scores)))
        yield Row("gate", (name, f"static against {told}"), _ndcg(test, static), drawn)
        yield Row("gate", (name, f"auto against {told}"), _ndcg(test, auto), drawn)


def _fused(model: str, block: Block, seeds: Sequence[int]) -> Floats:
    """What a model fitted on the blocks before says of the test block, ``(n_seeds, B, L)``."""
    train, calibrate = block.material.train, block.material.calibrate
    fits = (make_fusion(model, SETTINGS.get(model)).fit(train, calibrate, seed) for seed in seeds)
    return np.stack([fitted.forward(block.test.signals).score for fitted in fits])


def _ndcg(test: LabelledSignals, score: Floats) -> Doubles:
    """NDCG@10 of each request by scores ``(n, B, L)``, ``(n, B)``."""
    return np.stack([list_ndcg(one, test.relevant, test.n_relevant, 10) for one in score])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _page(rows: list[Row], notes: list[str], seconds: float, only: str | None) -> str:
    shown = {name: n for name, n in SETS.items() if only is None or name in only.split(",")}
    command = "python -m benchmarks.honesty" + ("" if only is None else f" --only {only}")
    lines = [
        "# Honesty of the learned blend",
        "",
        f"`{command}`, {seconds / 60:.0f} minutes. NDCG@10 on the test block, protocol time; "
        f"means over fits ({', '.join(f'{n} of {name}' for name, n in shown.items())}); {', '.join(FUSE_ONLY)} "
        "teaches with its fuse block alone. Intervals are 95 % paired bootstrap over requests, one per person, and "
        "over fits. `auto` has two folds and `lambdamart` the settings it has within `auto`, so that everything "
        "can be made anew many times.",
        "",
        *(f"- {note}" for note in notes),
        "",
    ]
    for check, (title, done, heads, may) in CHECKS.items():
        found = [row.line() for row in rows if row.check == check]
        if not found:
            continue
        held = sum(where in may for _, where in found)
        lines += [
            f"## {title}",
            "",
            f"{done} Holds in {held} of {len(found)} rows.",
            "",
            f"| set | {heads[0]} | n | {heads[1]} | {heads[2]} | difference [95 %] | interval |",
            "| --- | --- | ---: | ---: | ---: | ---: | --- |",
            *(line for line, _ in found),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
