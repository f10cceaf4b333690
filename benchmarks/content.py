"""What content is worth: the two-tower network on new items, known items and new people.

    python -m benchmarks.content [--data ../shared/data] [--only cold,warm,people,text,ablation]

Reads `amazon-cds` and `movielens-100k`, fits two models at a time on one core each, and writes
``benchmarks/content.md`` after every part, so that a run that is stopped leaves what it has
(parts left out keep no table). The ablation looks at the calibrate block alone and trains
``--steps`` steps; everything else is the test block, at the defaults.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.content_fits import (
    CALIBRATE,
    NDCG,
    ROOT,
    Answer,
    Job,
    encoding_seconds,
    import_set,
    run,
)
from benchmarks.content_page import (
    CDS,
    MINILM,
    MOVIES,
    N_SEEDS,
    OTHERS,
    PARTS,
    QUESTIONS,
    SETS,
    TOWER,
    VARIANTS,
    Results,
    page,
    sections,
)


def main() -> None:
    parser = argparse.ArgumentParser(description="What content is worth.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=100, help="training steps in the ablation")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "content.md")
    asked = parser.parse_args()
    parts = [part for part in PARTS if part in asked.only.split(",")]
    os.environ["OMP_NUM_THREADS"] = "1"  # of the two processes
    results, began = Results(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for data in SETS:
            import_set(data, asked.data, folder)
        if {"text", "ablation"} & set(parts):
            for data in SETS:
                for encoder in ("tfidf", "minilm"):
                    seconds = encoding_seconds(folder, data, encoder)
                    results.encoding[data, encoder] = seconds
                    _say(began, f"{encoder} on {data}: {seconds[0]:,} texts in {seconds[1]:.1f} s")
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            for part in parts:
                jobs = list(_jobs(part, asked.steps))
                _run(pool, folder, [job for job in jobs if job.key not in results.answers],
                     results, began)  # fmt: skip
                results.sections += sections(part, results, asked.steps)
                asked.to.write_text(page(results, time.monotonic() - began), encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)


def _run(
    pool: ProcessPoolExecutor, folder: Path, jobs: Sequence[Job], results: Results, began: float
) -> None:
    waiting: dict[Future[dict[str, Answer]], Job] = {
        pool.submit(run, folder, job): job for job in jobs
    }
    for n_done, done in enumerate(as_completed(waiting), 1):
        job, found = waiting[done], done.result()
        results.answers[job.key] = found
        numbers = ", ".join(f"{k} {a.per_unit()[:, NDCG].mean():.4f}" for k, a in found.items())
        seconds = next(iter(found.values())).fit_s
        _say(began, f"{n_done} of {len(jobs)}: {job.data}, {job.label}: {numbers}; {seconds:.0f} s")


def _jobs(part: str, steps: int) -> Iterator[Job]:
    """The slowest first, so that both processes end at about the same time."""
    if part == "text":
        for data in SETS:
            for question in ("cold items", "time"):
                yield Job(data, question, TOWER, "two_tower")
                yield Job(data, question, MINILM, "two_tower", {"encoder": "minilm"})
    elif part == "ablation":
        for data in SETS:
            for label, settings in VARIANTS.items():
                if data == CDS or "audio" not in label:  # movies have no audio
                    yield Job(data, CALIBRATE, label, "two_tower", _shortened(settings, steps))
    else:
        yield from _asked(part)


def _asked(part: str) -> Iterator[Job]:
    """The network and those it is compared with, for every question of a part."""
    for data, question in QUESTIONS[part]:
        yield Job(data, question, TOWER, "two_tower")
        if data == MOVIES and part == "cold":
            for seed in range(1, N_SEEDS):
                yield Job(data, question, f"{TOWER}, seed {seed}", "two_tower", seed=seed)
    for data, question in QUESTIONS[part]:
        for base in OTHERS[part]:
            yield Job(data, question, base, base)


def _shortened(settings: dict[str, Any], steps: int) -> dict[str, Any]:
    """The documented form keeps its own length: 50 epochs."""
    if settings.get("form") == "documented":
        return settings
    examples = {**settings.get("examples", {}), "min_steps": steps}
    return {**settings, "examples": examples, "train": {"epochs": 1}}


if __name__ == "__main__":
    main()
