"""The page of `two_stage`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.ratios import Ratio, paired_ratio
from benchmarks.turns import Facts
from crossfade.types import Doubles

BAR = 3.0


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two on one set.

    Attributes:
        facts: What it says of itself.
        turns: What each answer took.
        ndcg: NDCG@10 of each user; None where nobody knows what was wanted.
    """

    facts: Facts
    turns: list[Facts]
    ndcg: Doubles | None


@dataclass(frozen=True, eq=False)
class Found:
    """Both on one set."""

    name: str
    n_users: int
    n_items: int
    ours: Side
    theirs: Side

    def rate(self, side: Side, clock: str = "seconds") -> float:
        """Users per second, the median of the rounds."""
        return self.n_users / float(median(turn[clock] for turn in side.turns))

    def times(self, clock: str = "seconds") -> float:
        """Our rate over theirs."""
        return self.rate(self.ours, clock) / self.rate(self.theirs, clock)

    @property
    def ratio(self) -> Ratio | None:
        """Of NDCG@10."""
        if self.ours.ndcg is None or self.theirs.ndcg is None:
            return None
        return paired_ratio(self.ours.ndcg, self.theirs.ndcg, "benchmarks.two_stage")

    @property
    def losses(self) -> list[str]:
        """Parts of the bar that are not met."""
        lost = []
        if self.times() < BAR:
            lost.append(f"{self.times():.2f} × the users/s, bar {BAR:g} ×")
        if self.ratio is not None and self.ratio.value < 1:
            lost.append(f"NDCG@10 {self.ratio} × the peer's, bar 1 ×")
        return lost


PEER = """\
## The peer

RecTools {version}, `CandidateRankingModel`, in an environment of its own:

```sh
python -m venv .venv-rectools
.venv-rectools/bin/pip install -r benchmarks/two_stage_requirements.txt
python -m benchmarks.two_stage   # or with --peer-python and another interpreter
```

Its shape (`benchmarks/two_stage_peer.py`):

- Candidates: 100 each of popularity in the last 30 days, the last 180 and ever, item-kNN (BM25, 100
  neighbours), PureSVD (32 factors), ALS (64 factors) and, up to 6,000 items, EASE. Their settings were picked on
  the calibrate blocks of the two public sets. It has no counterpart of crossfade's `session_knn`, `content_knn`
  and `genre_item_knn`; crossfade proposes as many items per base.
- Re-ranker: LightGBM with the loss of LambdaMART on score and rank of each generator; events, share of wanted
  ones, first and last event of user and item; how often the item was wanted in 7, 30 and 90 days; its age; how
  often the user wanted its creator. It learns from the last block before the test block, with 50 negatives a user,
  by generators that have not seen it. Leaves, trees and learning rate are those of 18 settings that serve
  best on the calibrate block when they have learned on the fuse block; on the made-up log nothing is tuned.
- Tried on the calibrate blocks and left out, for they did not help: a longer last block, more or fewer negatives,
  training without people who have no history, genres shared with the history, ALS with genres and creators.

In its favour: users and items are numbers (pandas joins text more slowly); features are computed once and
looked up instead of joined; the best of each user come from one sort, where the library sorts user by user;
it keeps its lists in memory, crossfade writes them to disk; it learns to serve people without a history,
whom the library leaves out of training; it has fewer generators than crossfade has bases.

`OMP_NUM_THREADS={threads}` for both, `n_jobs` and `num_threads` of the peer likewise, and `OPENBLAS_NUM_THREADS=1`
for it, as its ALS asks.
"""


def page(found: Sequence[Found], threads: int) -> str:
    """The page, worst set first."""
    found = sorted(found, key=lambda one: one.times())
    lost = [f"- {one.name}: {loss}" for one in found for loss in one.losses]
    version = found[0].theirs.facts["version"]
    lines = [
        "# Lists of many users, against a two-stage pipeline",
        "",
        f"`python -m benchmarks.two_stage` on {os.cpu_count()} cores, load average {os.getloadavg()[1]:.1f} over "
        f"the last five minutes (1 per busy core, this benchmark among them). Peer: RecTools {version}, candidate "
        f"generators and a gradient-boosted re-ranker. Medians of {len(found[0].ours.turns)} rounds by turns, "
        f"{threads} threads, 20 items for all users in one call.",
        "",
        f"Bar: at least {BAR:g} × the users/s of the peer at equal or better NDCG@10: "
        f"**{'fail' if lost else 'pass'}**.",
        "",
        "## Where crossfade loses",
        "",
        *(lost or ["Nowhere."]),
        "",
        "## Times",
        "",
        "| set | users | items | users/s | peer | ratio | worst and best round | users per processor second | "
        "peer | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *map(_times, found),
        "",
        "Users per processor second do not depend on what else the machine does, but for caches and memory that "
        "are shared.",
        "",
        "## Quality",
        "",
        "Everybody who wants something new in the test block is asked as of its first moment, people without a "
        "history too; 95 % paired bootstrap intervals over users.",
        "",
        "| set | n | NDCG@10 | peer | ratio [95 %] |",
        "| --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {one.name} | {ratio.n:,} | {ratio.ours:.4f} | {ratio.theirs:.4f} | {ratio} |"
            for one in found
            if (ratio := one.ratio)
        ),
        "",
        "## Fits",
        "",
        "Crossfade's fit learns its blend on the blocks before the test block and fits every base; the peer's fits "
        "generators twice and the re-ranker once, after tuning.",
        "",
        "| set | bases, blend | fit (s) | peer's generators | peer's tuning (s) | peer's fit (s) | "
        "leaves, trees, rate |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        *map(_fits, found),
        "",
    ]
    return "\n".join([*lines, PEER.format(version=version, threads=threads)])


def _times(one: Found) -> str:
    rounds = [
        theirs["seconds"] / ours["seconds"]
        for ours, theirs in zip(one.ours.turns, one.theirs.turns, strict=True)
    ]
    cells = [one.name, f"{one.n_users:,}", f"{one.n_items:,}"]
    cells += [f"{one.rate(side):,.0f}" for side in (one.ours, one.theirs)]
    cells += [f"{one.times():.2f}", f"{min(rounds):.2f} – {max(rounds):.2f}"]
    cells += [f"{one.rate(side, 'cpu'):,.0f}" for side in (one.ours, one.theirs)]
    cells += [f"{one.times('cpu'):.2f}"]
    return f"| {' | '.join(cells)} |"


def _fits(one: Found) -> str:
    ours, theirs = one.ours.facts, one.theirs.facts
    cells = [one.name, f"{ours['bases']}, {ours['blend']}"]
    cells += ["kept" if ours["fit_s"] is None else f"{ours['fit_s']:.0f}"]
    cells += [f"{theirs['generators']}", f"{theirs['tune_s']:.0f}", f"{theirs['fit_s']:.0f}"]
    cells += [", ".join(f"{value:g}" for value in theirs["settings"].values())]
    return f"| {' | '.join(cells)} |"
