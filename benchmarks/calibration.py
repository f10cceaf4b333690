"""Does the blend keep its word? Probabilities, conformal sets and uncertainty on five public sets.

    python -m benchmarks.calibration [--data ../shared/data] [--only amazon-cds] [--keep FOLDER]

`auto` is fitted as in `benchmarks.fusion`, its probabilities on the calibrate block, and the test
block judges. ``--keep`` keeps the signals of each set there and takes them from there. Writes
``benchmarks/calibration.md``, anew after each set.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.signals import SETS, Block, block_of
from crossfade.cli.progress import reporter
from crossfade.data.splits import ProtocolConfig
from crossfade.evaluation.trust import ProbabilityRow, Trust
from crossfade.fusion.base import Fused, LabelledSignals
from crossfade.fusion.registry import make_fusion
from crossfade.fusion.static import list_ndcg
from crossfade.meta.answers import Answers
from crossfade.meta.probability import probability_of
from crossfade.meta.trust import trust_of
from crossfade.progress import reporting_to

ROOT = Path(__file__).parent.parent
SEED = 0
BAR, SLICE_BAR, COVERAGE_BAR = 0.02, 0.04, 0.01
LARGE = 500
"""Candidates from which the bar of a slice counts."""
N_BASES = 3


@dataclass(frozen=True)
class Found:
    """One set.

    Attributes:
        name: With its protocol.
        trust: Of the blend, over the length of the test block.
        one_block: Its probabilities as they are, over the length of the calibrate block; None where
            no difference is known.
        before: Share of candidates wanted in the calibrate block.
        bases: The best bases, judged in the same way.
        seconds: Calibrating the blend took.
    """

    name: str
    trust: Trust
    one_block: ProbabilityRow | None
    before: float
    bases: dict[str, Trust]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibration of the blend on five public sets.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="some of the sets, with commas")
    parser.add_argument("--keep", type=Path, help="folder for the signals of each set")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "calibration.md")
    asked = parser.parse_args()
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder, reporting_to(reporter()):
        for name, protocol in SETS:
            if asked.only is None or name in asked.only.split(","):
                block = block_of(name, protocol, asked.data, Path(folder), asked.keep)
                found.append(_judged(name, protocol, block))
                text = _page(found)
                asked.to.write_text(text, encoding="utf-8")
    print(asked.to.read_text(encoding="utf-8"))


def _judged(name: str, protocol: str, block: Block) -> Found:
    calibrate, test = block.material.calibrate, block.test
    blend = make_fusion("auto").fit(block.material.train, calibrate, SEED)
    labels, began = test.signals.columns.bases, time.monotonic()
    probability = probability_of(blend.forward(calibrate.signals).score, calibrate, SEED)
    seconds = time.monotonic() - began
    assert probability is not None
    blocks, fused = _blocks(protocol), blend.forward(test.signals)

    def over(length: float) -> Trust:
        answers = Answers.of([(test, fused)], probability, length)
        return trust_of("auto", answers, probability, labels, SEED)

    scored = np.isfinite(blend.forward(calibrate.signals).score)
    return Found(
        name=f"{name}, {protocol}",
        trust=over(blocks),
        one_block=None if blocks == 1 else over(1.0).rows[0],
        before=float(calibrate.relevant[scored].mean()),
        bases=_bases(calibrate, test, blocks),
        seconds=seconds,
    )


def _blocks(protocol: str) -> float:
    """Length of the test block in calibrate blocks, where it is a share of everybody's history."""
    shares = ProtocolConfig()
    return shares.test / shares.calibrate if protocol == "user" else 1.0


def _bases(calibrate: LabelledSignals, test: LabelledSignals, blocks: float) -> dict[str, Trust]:
    """The bases that were best on the calibrate block, each with a calibrator of its own."""
    labels = test.signals.columns.bases
    quality = [
        list_ndcg(calibrate.signals.score[:, :, at], calibrate.relevant, calibrate.n_relevant, 10)
        for at in range(len(labels))
    ]
    found = {}
    for at in np.argsort([-one.mean() for one in quality])[:N_BASES].tolist():
        probability = probability_of(calibrate.signals.score[:, :, at], calibrate, SEED)
        if probability is not None:
            fused = Fused(test.signals.score[:, :, at], np.full_like(test.signals.score, np.nan))
            answers = Answers.of([(test, fused)], probability, blocks)
            found[labels[at]] = trust_of(labels[at], answers, probability, labels, SEED)
    return found


def _error(row: ProbabilityRow) -> float:
    return np.nan if row.calibration_error is None else abs(row.calibration_error["debiased"])


def _worst(trust: Trust) -> ProbabilityRow | None:
    """The slice that holds least, of those large enough."""
    large = [row for row in trust.rows[1:] if row.n >= LARGE and not np.isnan(_error(row))]
    return max(large, key=_error, default=None)


def _page(found: Sequence[Found]) -> str:
    lines = [
        "# Calibration of the blend",
        "",
        f"`python -m benchmarks.calibration`, default settings, seed {SEED}. `auto` is "
        "fitted on the fuse block and the blocks before it; calibrator, kinds and conformal sets on the calibrate "
        "block, out of fold; the test block is judged once. The calibration error is the debiased one over 15 "
        "bins of equal mass, with its 95 % interval over requests; less than nothing means less than chance "
        "makes. Candidates are the union of the bases' best 100.",
        "",
        f"Bars: calibration error at most {BAR} on every set and {SLICE_BAR} on every slice of {LARGE} candidates "
        f"and more; conformal coverage within {COVERAGE_BAR:.0%} of 90 %. A miss is in bold.",
        "",
        "| set | candidates | requests | wanted, calibrate → test | calibrator | calibration error | worst slice | "
        "coverage |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- | ---: |",
    ]
    for one in found:
        trust, row, worst = one.trust, one.trust.rows[0], _worst(one.trust)
        slice_text = "none is large enough"
        if worst is not None:
            told = f"{worst.title}, n = {worst.n:,}: {worst.error_text}"
            slice_text = _marked(told, _error(worst) <= SLICE_BAR)
        lines.append(
            f"| {one.name} | {row.n:,} | {row.n_requests:,} | {one.before:.2%} → {row.share:.2%} | "
            f"{trust.calibrator} | {_marked(row.error_text, _error(row) <= BAR)} | {slice_text} | "
            f"{_covered(trust)} |"
        )
    return "\n".join([*lines, "", *(line for one in found for line in _section(one))])


def _marked(text: str, held: bool) -> str:
    return text if held else f"**{text}**"


def _covered(trust: Trust) -> str:
    row = trust.coverage[0]
    return _marked(row.text, abs(row.share - row.nominal) <= COVERAGE_BAR)


def _section(one: Found) -> list[str]:
    trust = one.trust
    lines = [
        f"## {one.name}",
        "",
        f"Calibrator {trust.calibrator}, fitted in {one.seconds:.0f} s.",
    ]
    if one.one_block is not None:
        lines.append(
            "The test block is twice as long a share of everybody's history as the calibrate block, which is made "
            f"good; taken as equally long, the calibration error is {one.one_block.error_text}."
        )
    lines += [
        "",
        "| of | candidates | requests | wanted | calibration error | log-loss | Brier |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_row(row.title, row) for row in trust.rows),
        *(_row(f"{label} alone", base.rows[0]) for label, base in one.bases.items()),
        "",
        "| conformal sets, promise to | users | wanted candidates | inside [95 %] | mean over requests | size |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.promise} | {row.name} | {row.n_wanted:,} | {row.text} | {row.by_request:.1%} | "
        f"{row.mean_size:.0f} of {row.mean_candidates:.0f} |"
        for row in trust.coverage
    ]
    return [*lines, "", *(f"- {row.text}" for row in trust.sorting), ""]


def _row(title: str, row: ProbabilityRow) -> str:
    error = _marked(row.error_text, _error(row) <= SLICE_BAR or row.n < LARGE)
    return (
        f"| {title} | {row.n:,} | {row.n_requests:,} | {row.share:.2%} | {error} | {row.log_loss:.4f} | "
        f"{row.brier:.4f} |"
    )


if __name__ == "__main__":
    main()
