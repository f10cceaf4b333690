"""What synthetic features are worth: the two towers with and without a companion network.

    python -m benchmarks.synthesis [--data ../shared/data] [--draws 20] [--tried 4] [--keep FILE]

Each draw keeps another fifth of the wanted items of `amazon-cds` and `movielens-100k` out of training
(protocol `cold-items`, a random share) and trains from a seed of its own; every form of the network is
asked about the same cold items, and about the warm ones by the requests of protocol `time`. Forms
beside the default of the companion are fitted for the first ``--tried`` draws only. ``--keep`` names a
file that holds what each fit answered, so that a run that was stopped goes on. Writes
``benchmarks/synthesis.md`` after each draw, two fits at a time on one core each.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.content_fits import METRICS, NDCG, PROTOCOLS, ROOT, dataset_of, import_set
from benchmarks.ratios import Ratio, paired_ratio
from crossfade.data.splits import Trial, make_plan
from crossfade.data.splits.trial import new_items_trial
from crossfade.evaluation import EvaluationConfig
from crossfade.evaluation.judge import judge
from crossfade.recommenders.registry import make
from crossfade.recommenders.two_tower.recommender import TwoTower

SETS = ("amazon-cds", "movielens-100k")
WITHOUT, WITH = "without", "attention, the default"
FORMS: dict[str, dict[str, Any]] = {
    WITHOUT: {},
    WITH: {"on": True},
    "gated sum": {"on": True, "combine": "gated_sum"},
    "gated sum, transformer": {"on": True, "combine": "gated_sum", "network": "transformer"},
    "gated sum, `pace_limit = 4`": {"on": True, "combine": "gated_sum", "pace_limit": 4.0},
    "gated sum, `l1 = 1`": {"on": True, "combine": "gated_sum", "l1": 1.0},
}
COLD_BAR, WARM_BAR = 1.10, 0.995


@dataclass(frozen=True)
class Fit:
    """One fit and what it answered: NDCG@10 on cold and warm items, mean over requests."""

    data: str
    draw: int
    form: str
    cold: float = np.nan
    warm: float = np.nan
    fit_s: float = np.nan
    shares: dict[str, float] | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """What it is kept under."""
        return self.data, self.draw, self.form


def main() -> None:
    parser = argparse.ArgumentParser(description="What synthetic features are worth.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--tried", type=int, default=2, help="draws for the other forms")
    parser.add_argument("--steps", type=int, default=100, help="training steps")
    parser.add_argument("--keep", type=Path, help="file for the answers of each fit")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "synthesis.md")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the two processes
    began = time.monotonic()
    found = {fit.key: fit for fit in _kept(asked.keep)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for data in SETS:
            import_set(data, asked.data, folder)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            for draw in range(asked.draws):
                forms = list(FORMS) if draw < asked.tried else [WITHOUT, WITH]
                work = [Fit(data, draw, form) for form in forms for data in SETS]
                waiting = [
                    pool.submit(fitted, folder, one, asked.steps)
                    for one in work
                    if one.key not in found
                ]
                for done in as_completed(waiting):
                    fit = done.result()
                    found[fit.key] = fit
                    print(f"{time.monotonic() - began:6.0f} s  {fit}", file=sys.stderr, flush=True)
                    if asked.keep is not None:
                        with asked.keep.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(asdict(fit)) + "\n")
                asked.to.write_text(page(found.values(), asked.steps), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _kept(path: Path | None) -> Iterator[Fit]:
    if path is not None and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Fit(**json.loads(line))


def fitted(folder: Path, asked: Fit, steps: int) -> Fit:
    """Fit one network and ask it."""
    trials = _trials(folder, asked.data, asked.draw)
    settings = {
        "n_networks": 1,
        "item": {"synthesis": FORMS[asked.form]},
        "examples": {"min_steps": steps},
        "train": {"epochs": 1},
    }
    model = make("two_tower", settings, asked.form)
    assert isinstance(model, TwoTower)
    began = time.process_time()
    model.fit(trials["cold"].train, asked.draw)
    seconds = time.process_time() - began
    cold, warm = (_ndcg(trials[name], model) for name in ("cold", "warm"))
    made = model.health.get("synthesis")
    shares = made[0]["shares"] if made else None
    return replace(asked, cold=cold, warm=warm, fit_s=seconds, shares=shares)


def _trials(folder: Path, data: str, draw: int) -> dict[str, Trial]:
    """Cold and warm items by one training log, without the cold items."""
    dataset = dataset_of(folder, data)
    cold = make_plan(dataset, PROTOCOLS["cold items, share"], draw).tests[0]
    warm = make_plan(dataset, PROTOCOLS["time"], draw).tests[0]
    assert cold.candidates is not None
    asks = cold.train.queries(warm.queries.user_row, warm.queries.as_of_us)
    wanted = warm.relevant.copy()
    wanted.data[np.isin(wanted.indices, cold.candidates)] = 0
    asked = new_items_trial("warm", cold.train, asks, wanted)
    return {"cold": cold, "warm": replace(asked, candidates=cold.train.known_items(None))}


def _ndcg(trial: Trial, model: TwoTower) -> float:
    judged = judge(trial, [model], EvaluationConfig(metrics=METRICS)).values[:, 0, NDCG]
    return float(np.nanmean(judged))


def page(fits: Iterable[Fit], steps: int) -> str:
    """The tables, the bars first."""
    found = {fit.key: fit for fit in fits}
    lines = [
        "# What synthetic features are worth",
        "",
        f"`python -m benchmarks.synthesis --draws {1 + max(fit.draw for fit in found.values())}`: "
        f"one network, {steps} training steps, without and with a companion "
        "(`item.synthesis`). A draw keeps another fifth of the wanted items out of training and has a seed of its "
        "own. NDCG@10 is the mean over requests and then over draws; ratios have 95 % paired bootstrap intervals "
        "over draws, and pass or fail goes by the ratio. Attention became the default after the first two draws of "
        "both forms had been seen; they count here.",
        "",
        "| bar | set | with | without | ratio [95 %] | draws | at least | verdict |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for what, least in (("cold", COLD_BAR), ("warm", WARM_BAR)):
        for data in SETS:
            one = _compared(found, data, WITH, what)
            cells = f"{one.ours:.4f} | {one.theirs:.4f} | {one} | {one.n} | {least:g}"
            lines.append(f"| {what} items | {data} | {cells} | {_verdict(one, least)} |")
    lines += [
        "",
        "## Forms of the companion",
        "",
        "Ratios to the towers without it on the same draws; seconds of a core. Rows of two draws are a "
        "look at the form and no verdict.",
        "",
        "| set | form | draws | cold | warm | seconds of a fit |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for data in SETS:
        for form in FORMS:
            fit_s = [fit.fit_s for fit in found.values() if (fit.data, fit.form) == (data, form)]
            if fit_s:
                cold, warm = (_compared(found, data, form, what) for what in ("cold", "warm"))
                lines.append(
                    f"| {data} | {form} | {cold.n} | {cold} | {warm} | {np.mean(fit_s):.1f} |"
                )
    lines += [
        "",
        "## What the groups bring",
        "",
        "Share of each group in what is added, mean over the catalogue and the draws.",
        "",
    ]
    for data in SETS:
        shares = [f.shares for f in found.values() if (f.data, f.form) == (data, WITH) and f.shares]
        told = [f"{name} {np.mean([one[name] for one in shares]):.2f}" for name in shares[0]]
        lines.append(f"- {data}: {', '.join(told)}")
    return "\n".join([*lines, ""])


def _verdict(one: Ratio, least: float) -> str:
    verdict = "pass" if one.value >= least else "**fail**"
    return f"{verdict}, within the interval" if one.low < least <= one.high else verdict


def _compared(found: dict[tuple[str, int, str], Fit], data: str, form: str, what: str) -> Ratio:
    """One form beside none, on the draws that both were fitted for."""
    draws = sorted(
        draw for d, draw, f in found if (d, f) == (data, form) and (data, draw, WITHOUT) in found
    )
    ours, theirs = (
        np.array([getattr(found[data, draw, one], what) for draw in draws])
        for one in (form, WITHOUT)
    )
    return paired_ratio(ours, theirs, "benchmarks.synthesis")


if __name__ == "__main__":
    main()
