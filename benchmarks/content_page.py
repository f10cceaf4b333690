"""The bars and tables of `benchmarks.content`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.content_fits import (
    ANSWERED,
    CALIBRATE,
    NDCG,
    RECALL,
    Answer,
    averaged,
    estimate,
    ratio,
)
from benchmarks.ratios import Ratio

CDS, MOVIES = "amazon-cds", "movielens-100k"
SETS = (CDS, MOVIES)
PARTS = ("cold", "warm", "people", "seeds", "text", "ablation")
TOWER, MINILM = "two_tower", "two_tower, MiniLM"
CF_BASES = ("item_knn", "ease", "nmf", "ials", "session_knn")
N_SEEDS = 3
QUESTIONS = {
    "cold": [(CDS, "cold items"), (MOVIES, "cold items"), (MOVIES, "cold items, share")],
    "people": [(CDS, "cold users"), (MOVIES, "cold users")],
    "warm": [(CDS, "time"), (MOVIES, "time"), (MOVIES, "user")],
}
OTHERS = {
    "cold": ("content_knn", "genre_item_knn", "genre_popularity"),
    "people": (*CF_BASES, "content_knn", "popularity"),
    "warm": ("ease", "content_knn", "popularity"),
}
SOFTMAX = {"form": "documented", "loss": {"kind": "softmax"}}
ONE = "one network"
VARIANTS: dict[str, dict[str, Any]] = {
    ONE: {},
    "three networks, the default (`n_networks`)": {"n_networks": 3},
    "`form = documented`": {"form": "documented"},
    "`form = documented`, softmax loss": SOFTMAX,
    "no vector per item (`item.id_residual`)": {"item": {"id_residual": False}},
    "no text skip (`item.text_skip`)": {"item": {"text_skip": False}},
    "no creator skip (`item.creator_skip`)": {"item": {"creator_skip": False}},
    "no steps by content alone (`item.step_dropout`)": {"item": {"step_dropout": 0.0}},
    "no audio (`item.audio_dim`)": {"item": {"audio_dim": 0}},
    "no history (`user.history`)": {"user": {"history": False}},
    '`examples.order = "future"`': {"examples": {"order": "future"}},
    "future, and time and trends as of the request": {
        "examples": {"order": "future"},
        "user": {"time": True, "trends": True},
    },
    '`encoder = "minilm"`': {"encoder": "minilm"},
    "`output_dim = 32`": {"output_dim": 32},
    "`output_dim = 64`": {"output_dim": 64},
}


@dataclass(frozen=True)
class Bar:
    """What is asked of the network, and what came out."""

    what: str
    data: str
    against: str
    found: Ratio
    least: float

    @property
    def passed(self) -> bool:
        """Whether the ratio reaches the bar."""
        return self.found.value >= self.least


@dataclass
class Results:
    """All that was found so far."""

    answers: dict[tuple[str, str, str], dict[str, Answer]] = field(default_factory=dict)
    encoding: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    sections: dict[str, str] = field(default_factory=dict)

    def of(self, data: str, question: str, kind: str = "") -> dict[str, Answer]:
        """Answers to one question on the test block by label; ``seed``: those of other seeds."""
        return {
            label: found[question]
            for (d, q, label), found in self.answers.items()
            if (d, q) == (data, question) and label != MINILM and ("seed" in label) == bool(kind)
        }


def cold_section(results: Results, data: str, question: str) -> str:
    """New items."""
    found = results.of(data, question)
    _cold_bars(results, data, question, found, TOWER)
    return _section(data, question, found, [])


def seeds_section(results: Results, data: str, question: str) -> str:
    """New items, the network trained with several seeds."""
    found = {**results.of(data, question), **results.of(data, question, "seed")}
    seeds = [answer for label, answer in found.items() if label.startswith(TOWER)]
    label = f"{TOWER}, mean of {len(seeds)} seeds"
    found[label] = averaged(seeds)
    _cold_bars(results, data, question, found, label)
    means = np.array([seed.per_unit()[:, NDCG].mean() for seed in seeds])
    lines = [
        f"NDCG@10 over {len(seeds)} seeds of the network: mean {means.mean():.4f}, standard deviation "
        f"{means.std(ddof=1):.4f}, lowest {means.min():.4f}, highest {means.max():.4f}."
    ]
    return _section(data, f"{question}, several seeds", found, lines)


def _cold_bars(
    results: Results, data: str, question: str, found: dict[str, Answer], label: str
) -> None:
    what = f"{question}{label.removeprefix(TOWER)}"
    for other, least in (("content_knn", 1.2), ("genre_popularity", 1.0)):
        results.bars.append(Bar(what, data, other, ratio(found[label], found[other]), least))


def people_section(results: Results, data: str, question: str) -> str:
    """People with few events."""
    found = results.of(data, question)
    best = max(CF_BASES, key=lambda base: found[base].per_unit()[:, NDCG].mean())
    results.bars.append(
        Bar("people with 1 – 4 events", data, best, ratio(found[TOWER], found[best]), 1.1)
    )
    lines = [
        f"The best CF base, picked on these very requests, is {best}.",
        "",
        f"| events shown | n | {TOWER} | {best} | ratio [95 %] | popularity |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for length in range(1, 5):
        only = found[TOWER].length == length
        if only.any():
            one = ratio(found[TOWER], found[best], only)
            plain = ratio(found["popularity"], found[best], only).ours
            lines.append(
                f"| {length} | {one.n:,} | {one.ours:.4f} | {one.theirs:.4f} | {_ratio(one)} | {plain:.4f} |"
            )
    return _section(data, question, found, lines)


def warm_section(results: Results, data: str, question: str) -> str:
    """Known items."""
    found = results.of(data, question)
    ours, ease = found[TOWER], found["ease"]
    what = f"known items, protocol {question}"
    results.bars.append(Bar(what, data, "ease", ratio(ours, ease), 0.9))
    answered = ease.values[:, ANSWERED] > 0
    lines: list[str] = []
    if not answered.all():
        one = ratio(ours, ease, answered)
        results.bars.append(Bar(f"{what}, requests EASE answers", data, "ease", one, 0.9))
    return _section(data, question, found, lines)


def _section(data: str, question: str, found: dict[str, Answer], lines: Sequence[str]) -> str:
    first = next(iter(found.values()))
    order = sorted(found, key=lambda label: -found[label].per_unit()[:, NDCG].mean())
    return "\n".join(
        [
            f"## {data}, {question}",
            "",
            f"{int(first.unit.max()) + 1:,} users, {len(first.unit):,} requests.",
            "",
            *(f"- {flag}" for flag in first.about),
            "" if first.about else "- nothing to flag\n",
            "| model | NDCG@10 | recall@20 | answered | fit (s) |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(
                f"| {label} | {estimate(found[label])} | {estimate(found[label], RECALL)} | "
                f"{found[label].per_unit()[:, ANSWERED].mean():.0%} | {found[label].fit_s:.1f} |"
                for label in order
            ),
            "",
            *lines,
            *([""] if lines else []),
        ]
    )


def text_section(results: Results) -> str:
    """One text encoder against the other."""
    lines = [
        "## MiniLM against TF-IDF + SVD",
        "",
        "The same network at its defaults on the test block, with one or the other text vector. Encoding is "
        "for the whole catalogue, with the fit, on two cores.",
        "",
        "| set | question | n | TF-IDF + SVD | MiniLM | ratio [95 %] | encoding (s) | MiniLM (s) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for data in SETS:
        plain, costly = (results.encoding[data, name][1] for name in ("tfidf", "minilm"))
        for question in ("cold items", "time"):
            costlier = results.answers[data, question, MINILM][question]
            one = ratio(costlier, results.of(data, question)[TOWER])
            lines.append(
                f"| {data} | {question} | {one.n:,} | {one.theirs:.4f} | {one.ours:.4f} | {_ratio(one)} | "
                f"{plain:.2f} | {costly:.1f} |"
            )
    return "\n".join([*lines, ""])


def ablation_section(results: Results, data: str, steps: int) -> str:
    """What each part of the network is worth."""
    found = {
        label: answers
        for (d, question, label), answers in results.answers.items()
        if (d, question) == (data, CALIBRATE)
    }
    base = found[ONE]
    lines = [
        f"## Ablation on {data}, calibrate block",
        "",
        f"The defaults but for what a row says, one network instead of three, {steps} training steps "
        "(the documented form its 50 epochs), seed 0, on all events "
        "before the block but those on items first seen after the base block. Cold: those items among "
        "themselves. Warm: the others. Ratios to the first row with 95 % paired intervals.",
        "",
        f"| variant | warm NDCG@10 (n = {_n(base['warm']):,}) | ratio | "
        f"cold NDCG@10 (n = {_n(base['cold']):,}) | ratio | fit (s) |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label in VARIANTS:
        if label in found:
            cells = []
            for name in ("warm", "cold"):
                one = found[label][name]
                compared = "1" if label == ONE else _ratio(ratio(one, base[name]))
                cells.append(f"{one.per_unit()[:, NDCG].mean():.4f} | {compared}")
            lines.append(f"| {label} | {' | '.join(cells)} | {one.fit_s:.0f} |")
    costs = [f"{name} {results.encoding[data, name][1]:.1f} s" for name in ("tfidf", "minilm")]
    return "\n".join([*lines, "", f"Encoding the catalogue once: {', '.join(costs)}.", ""])


def _n(answer: Answer) -> int:
    return int(answer.unit.max()) + 1


def _ratio(one: Ratio) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]"


def _verdict(bar: Bar) -> str:
    if not bar.passed:
        return "**fail**" if bar.found.high < bar.least else "**fail**, within the interval"
    return "pass" if bar.found.low >= bar.least else "pass, within the interval"


def _losses(results: Results) -> list[str]:
    lost = []
    for (data, question, label), found in results.answers.items():
        ours = results.answers.get((data, question, TOWER))
        if ours is not None and not label.startswith(TOWER):
            one = ratio(ours[question], found[question]) if found[question].values.any() else None
            if one is not None and one.value < 1:
                cells = f"{one.ours:.4f} | {one.theirs:.4f} | {_ratio(one)} | {one.n:,}"
                lost.append((one.value, f"| {question} | {data} | {label} | {cells} |"))
    return [line for _, line in sorted(lost)] or ["| nowhere | | | | | | |"]


def page(results: Results, seconds: float, missing: Sequence[str]) -> str:
    ordered = sorted(results.bars, key=lambda bar: bar.found.value / bar.least)
    lines = [
        "# What content is worth",
        "",
        f"`python -m benchmarks.content`, {seconds / 60:.0f} minutes on {os.cpu_count()} cores, default settings, "
        "seed 0. Each bar is a ratio of mean NDCG@10 over users on the same requests, with a 95 % paired bootstrap "
        "interval over users; pass or fail goes by the ratio, and the verdict says where the interval holds "
        "the bar. Failed bars come first. Models are fitted on everything before the test block. Fits run two at a "
        f"time on one core each; the load average of the last quarter of an hour was {os.getloadavg()[2]:.1f}, so "
        "above 2 the seconds of a fit hold waiting for other work.",
        "",
        *([f"Not measured in this run: {'; '.join(missing)}.", ""] if missing else []),
        "| bar | set | against | two towers | other | ratio [95 %] | n | at least | verdict |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
        *(
            f"| {bar.what} | {bar.data} | {bar.against} | {bar.found.ours:.4f} | {bar.found.theirs:.4f} | "
            f"{_ratio(bar.found)} | {bar.found.n:,} | {bar.least:g} | {_verdict(bar)} |"
            for bar in ordered
        ),
        "",
        "Where another model shown below does better than the network, largest loss first:",
        "",
        "| question | set | who wins | two towers | other | ratio [95 %] | n |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        *_losses(results),
        "",
        *results.sections.values(),
    ]
    return "\n".join(lines)
