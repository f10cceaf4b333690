"""What content is worth: the two-tower network on new items, known items and new people.

    python -m benchmarks.content [--data ../shared/data] [--only cold,warm] [--keep FOLDER]

Reads `amazon-cds` and `movielens-100k`, fits two models at a time on one core each, and writes
``benchmarks/content.md`` whenever a part is done, the bars first; parts left out have no table.
``--keep`` saves what each fit answered there and takes it from there, so that a run that was
stopped goes on. The ablation looks at the calibrate block alone and trains ``--steps`` steps;
everything else is the test block, at the defaults.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
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
    ablation_section,
    cold_section,
    page,
    people_section,
    seeds_section,
    text_section,
    warm_section,
)

MAKE = {"cold": cold_section, "warm": warm_section, "people": people_section}


@dataclass(frozen=True)
class Block:
    """A section of the page, and the fits it needs."""

    name: str
    jobs: Sequence[Job]
    make: Callable[[Results], str]


def main() -> None:
    parser = argparse.ArgumentParser(description="What content is worth.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=100, help="training steps in the ablation")
    parser.add_argument("--keep", type=Path, help="folder for the answers of each fit")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "content.md")
    asked = parser.parse_args()
    parts = [part for part in PARTS if part in asked.only.split(",")]
    blocks = [block for part in parts for block in _blocks(part, asked.steps)]
    os.environ["OMP_NUM_THREADS"] = "1"  # of the two processes
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
    results, began = Results(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for data in SETS:
            import_set(data, asked.data, folder)
            for encoder in ("tfidf", "minilm"):
                found = encoding_seconds(folder, data, encoder)
                results.encoding[data, encoder] = found
                _say(began, f"{encoder} on {data}: {found[0]:,} texts in {found[1]:.1f} s")
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            work = {job.key: job for block in blocks for job in block.jobs}
            waiting = {pool.submit(run, folder, job, asked.keep): job for job in work.values()}
            for _ in _answered(waiting, results, began):
                if _finish(blocks, results):
                    missing = [b.name for b in blocks if b.name not in results.sections]
                    text = page(results, time.monotonic() - began, missing)
                    asked.to.write_text(text, encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)


def _answered(
    waiting: dict[Future[dict[str, Answer]], Job], results: Results, began: float
) -> Iterator[None]:
    """Take answers as they come."""
    for n_done, done in enumerate(as_completed(waiting), 1):
        job, found = waiting[done], done.result()
        results.answers[job.key] = found
        numbers = ", ".join(f"{k} {a.per_unit()[:, NDCG].mean():.4f}" for k, a in found.items())
        seconds = next(iter(found.values())).fit_s
        _say(
            began,
            f"{n_done} of {len(waiting)}: {job.data}, {job.label}: {numbers}; {seconds:.0f} s",
        )
        yield


def _finish(blocks: Sequence[Block], results: Results) -> bool:
    """Write the sections whose fits are all there; whether there is a new one."""
    ready = [
        block
        for block in blocks
        if block.name not in results.sections
        and all(job.key in results.answers for job in block.jobs)
    ]
    for block in ready:
        results.sections[block.name] = block.make(results)
    return bool(ready)


def _blocks(part: str, steps: int) -> Iterator[Block]:
    """The sections of a part; what they share is fitted once."""
    if part == "text":
        jobs = []
        for data in SETS:
            for question in ("cold items", "time"):
                jobs.append(Job(data, question, MINILM, "two_tower", {"encoder": "minilm"}))
                jobs.append(Job(data, question, TOWER, "two_tower"))
        yield Block("text", jobs, text_section)
    elif part == "ablation":
        for data in SETS:
            jobs = [
                Job(data, CALIBRATE, label, "two_tower", _shortened(settings, steps))
                for label, settings in VARIANTS.items()
                if data == CDS or "audio" not in label  # movies have no audio
            ]
            yield Block(
                f"{data}, ablation", jobs, partial(ablation_section, data=data, steps=steps)
            )
    elif part == "seeds":
        for data, question in QUESTIONS["cold"]:
            if data == MOVIES:
                jobs = _asked("cold", data, question)
                for seed in range(1, N_SEEDS):
                    jobs.append(
                        Job(data, question, f"{TOWER}, seed {seed}", "two_tower", seed=seed)
                    )
                make = partial(seeds_section, data=data, question=question)
                yield Block(f"{data}, {question}, seeds", jobs, make)
    else:
        for data, question in QUESTIONS[part]:
            make = partial(MAKE[part], data=data, question=question)
            yield Block(f"{data}, {question}", _asked(part, data, question), make)


def _asked(part: str, data: str, question: str) -> list[Job]:
    """The network and those it is compared with."""
    bases = OTHERS[part]
    return [Job(data, question, TOWER, "two_tower"), *(Job(data, question, b, b) for b in bases)]


def _shortened(settings: dict[str, Any], steps: int) -> dict[str, Any]:
    """One network, unless that is the question; the documented form keeps its length: 50 epochs."""
    if settings.get("form") == "documented":
        return settings
    examples = {**settings.get("examples", {}), "min_steps": steps}
    return {"n_networks": 1, **settings, "examples": examples, "train": {"epochs": 1}}


if __name__ == "__main__":
    main()
