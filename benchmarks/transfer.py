"""Whether a new domain should begin with what another one taught, and whether the decision knows.

    python -m benchmarks.transfer [--data ../shared/data] [--draws 20] [--only SOURCE>TARGET] [--keep FILE]

From each target small domains of 50 to 1,000 people with 1 to 10 events each are drawn. What those people,
and up to 400 strangers who show as many events, wanted afterwards is asked for with every option and with
what the decision chose on the small domain alone. *Regret* is what the chosen option loses against the best
one in hindsight, *negative* how often it is more than 2 % worse than starting from nothing; both count
draws. ``--keep`` names a file of draws, so that a run that was stopped goes on. Writes ``benchmarks/transfer.md``.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.signals import ROOT, SEED, read_set
from crossfade.data import Dataset
from crossfade.errors import DataError
from crossfade.evaluation.statistics import bootstrap
from crossfade.fusion.few_shot.model import FewShotGate
from crossfade.fusion.static import tune_static
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.transfer.case import Case
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.decision import decide
from crossfade.transfer.drawing import draw, lists_of
from crossfade.transfer.facts import DEPTH, quality
from crossfade.transfer.knowledge import Knowledge
from crossfade.transfer.options import OPTIONS
from crossfade.transfer.tasks import Support

PAGE = Path(__file__).with_suffix(".md")
PAIRS = (
    ("douban-music", "douban-book"),
    ("movielens-1m", "amazon-cds"),
    ("movielens-1m", "lastfm-hetrec2011"),
    ("amazon-cds", "movielens-100k"),
    ("book-crossing", "movielens-100k"),
)
PEOPLE, SHOTS, N_REQUESTS = (50, 200, 1_000), (1, 3, 5, 10), 400
WORSE, REGRET_BAR, NEGATIVE_BAR, GAIN_BAR = 0.02, 0.02, 0.05, 0.10
CONFIG = TransferConfig()
FOLDERS = {"douban-music": "douban-music-book", "douban-book": "douban-music-book"}

Draw = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description="Carrying a blend into a new domain.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--only", help="One pair, such as amazon-cds>movielens-100k.")
    parser.add_argument("--keep", type=Path, help="File of draws that are done.")
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.transfer", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    done: list[Draw] = []
    if asked.keep is not None and asked.keep.exists():
        done = [json.loads(line) for line in asked.keep.read_text().splitlines()]
    for source, target in PAIRS:
        pair = f"{source}>{target}"
        if asked.only in {None, pair}:
            for one in _draws(source, target, asked.data, asked.draws, done):
                done.append(one)
                if asked.keep is not None:
                    with asked.keep.open("a") as file:
                        file.write(json.dumps(one) + "\n")
    PAGE.write_text("\n".join([*_page(done), ""]), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _draws(source: str, target: str, data: Path, n: int, done: list[Draw]) -> Iterator[Draw]:
    pair = f"{source}>{target}"
    known = {(one["people"], one["shots"], one["number"]) for one in done if one["pair"] == pair}
    left = [cell for cell in product(PEOPLE, SHOTS, range(n)) if cell not in known]
    if not left:
        return
    knowledge = Knowledge.of(_read(data, source), CONFIG, SEED)
    whole = _read(data, target)
    with task(f"draw from {target}", len(left)) as running:
        for people, shots, number in left:
            rng = generator(SEED, f"benchmarks.transfer.{pair}.{people}.{shots}.{number}")
            try:
                found = _one(knowledge, whole, people, shots, rng)
            except DataError:  # nobody there has so many events
                found = None
            if found is not None:
                yield {"pair": pair, "people": people, "shots": shots, "number": number, **found}
            running.advance(1)


def _read(data: Path, name: str) -> Dataset:
    return read_set(data, name, part_of=FOLDERS.get(name))


def _one(
    knowledge: Knowledge, whole: Dataset, people: int, shots: int, rng: np.random.Generator
) -> Draw | None:
    small = draw(whole, people, shots, N_REQUESTS, rng)
    support = Support.of(small.log, CONFIG, rng, SEED)
    query = lists_of([small.test], CONFIG.bases, CONFIG.n_candidates, SEED)
    if support is None or query is None:
        return None
    decision = decide([knowledge], support, CONFIG, rng)
    case = Case.of([knowledge], support, CONFIG)
    reached: dict[str, float | None] = {}
    for option in OPTIONS:
        gate = option.settle(case)
        score = None
        if gate is not None:
            score = FewShotGate.carried(gate, query.signals.columns).forward(query.signals).score
        reached[option.name] = None if score is None else float(quality(score, query).mean())
    own = support.lists
    fixed = tune_static(own.signals, own.relevant, own.n_relevant, DEPTH).forward(query.signals)
    return {
        "reached": reached,
        "fixed": float(quality(fixed.score, query).mean()),
        "option": decision.option,
        "verdict": decision.verdict,
        "requests": len(query),
        "lists": decision.n,
    }


def _page(done: list[Draw]) -> list[str]:
    lines = [
        "# Carrying a blend into a new domain",
        "",
        "`python -m benchmarks.transfer`: from each target small domains are drawn; every option and the decision, "
        f"made on the small domain alone, are asked what its people and strangers (up to {N_REQUESTS} requests) "
        "wanted afterwards. NDCG@10, ratios to starting from nothing with 95 % bootstrap intervals over draws. "
        "*fixed* is the static blend tuned on the small domain. Bars: regret of the decision at most 2 %, more "
        "than 2 % worse than starting from nothing in at most 5 % of draws. That a target of one event per person "
        "starts from nothing was decided after eight draws of the first three pairs had been seen.",
        "",
        "| pair | draws | regret | negative | carried in | both bars |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    pairs = list(dict.fromkeys(str(one["pair"]) for one in done))
    for pair in pairs:
        own = [one for one in done if one["pair"] == pair]
        regret = _estimate([_regret(one) for one in own])
        negative = np.mean([_gain(one, str(one["option"])) < -WORSE for one in own])
        carried = np.mean([one["verdict"] != "not" for one in own])
        held = (
            float(np.mean([_regret(one) for one in own])) <= REGRET_BAR and negative <= NEGATIVE_BAR
        )
        lines.append(
            f"| {pair} | {len(own)} | {regret} | {negative:.1%} | {carried:.0%} | {'yes' if held else '**no**'} |"
        )
    names = [option.name for option in OPTIONS[1:]]
    for pair in pairs:
        lines += ["", f"## {pair}", ""]
        lines += [f"| people | shots | draws | scratch | fixed | chosen | {' | '.join(names)} |"]
        lines += ["| ---: | ---: | ---: | ---: | ---: | ---: |" + " ---: |" * len(names)]
        for people, shots in product(PEOPLE, SHOTS):
            cell = [
                one
                for one in done
                if (one["pair"], one["people"], one["shots"]) == (pair, people, shots)
            ]
            if cell:
                lines.append(_row(cell, names))
    return lines


def _row(cell: list[Draw], names: list[str]) -> str:
    first = cell[0]
    level = np.mean([_reached(one, "scratch") for one in cell])
    told = [
        _estimate(
            [float(str(one["fixed"])) / (_reached(one, "scratch") or np.nan) - 1 for one in cell]
        ),
        _estimate([_gain(one, str(one["option"])) for one in cell]),
        *(_estimate([_gain(one, name) for one in cell]) for name in names),
    ]
    return (
        f"| {first['people']} | {first['shots']} | {len(cell)} | {level:.4f} | {' | '.join(told)} |"
    )


def _reached(one: Draw, name: str) -> float:
    reached = one["reached"]
    assert isinstance(reached, dict)
    value = reached[name]
    return float("nan") if value is None else float(value)


def _gain(one: Draw, name: str) -> float:
    return _reached(one, name) / (_reached(one, "scratch") or float("nan")) - 1


def _regret(one: Draw) -> float:
    best = max(
        _reached(one, option.name) for option in OPTIONS if not np.isnan(_reached(one, option.name))
    )
    return 1 - _reached(one, str(one["option"])) / (best or float("nan"))


def _estimate(values: list[float]) -> str:
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return "-"
    if len(known) < 2:
        return f"{known[0]:+.1%}"
    found = bootstrap(known[:, None], generator(SEED, "benchmarks.transfer.interval"))
    return f"{found.mean[0]:+.1%} [{found.low[0]:+.1%}, {found.high[0]:+.1%}]"


if __name__ == "__main__":
    main()
