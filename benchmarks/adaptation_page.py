"""The page of `benchmarks.adaptation`: what was found, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from benchmarks.signals import SEED
from crossfade.fusion.maml.config import Algorithm, MamlConfig
from crossfade.meta.prequential import COUNTS, Gain, Step, gain_of
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Ints

TITLES = {
    "all": "Everybody",
    "1–5": "People with 1–5 events in their history",
    "0–5": "People with at most 5 events in their history",
}
SLICES = tuple(TITLES)
HEAD = (
    "| set | reactions | people | shadow | adapted | gain [95 %] | harmed | helped | adapted at all |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
RETENTION = (
    "Everybody of the test block adapts to their first 5 reactions (seed 0). Then the requests of the calibrate "
    "block, which are older, are answered again: those of people who now have weights of their own with these, "
    "all others as before.",
    "",
    "| set | others' requests | NDCG@10 before | after | largest change | own older requests | before | after | "
    "change [95 %] |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


@dataclass(frozen=True)
class Runs:
    """A step of several seeds: the same people, one column per seed."""

    n_known: int
    place: Ints
    shadow: Doubles
    adapted: Doubles
    kept: Bools

    @classmethod
    def of(cls, steps: Sequence[Step]) -> "Runs":
        """From one step per seed."""
        columns = (np.stack([getattr(s, n) for s in steps], axis=1) for n in NAMES)
        return cls(steps[0].n_known, steps[0].place, *columns)

    def among(self, inside: Bools) -> tuple[Doubles, Doubles, Bools]:
        """NDCG without and with adaptation, and who adapted, of some of the block's people."""
        here = inside[self.place]
        return self.shadow[here], self.adapted[here], self.kept[here]


NAMES = ("shadow", "adapted", "kept")


@dataclass(frozen=True)
class Found:
    """What one set gave.

    Attributes:
        name: Of the set.
        test: Steps on the test block, default settings.
        inside: Slice → who of the test block is in it.
        retained: A row of the table of retention.
        calibrate: Label of a configuration → steps on the calibrate block, seconds of a fit.
        n_calibrate: People of the calibrate block.
    """

    name: str
    test: list[Runs]
    inside: dict[str, Bools]
    retained: str
    calibrate: dict[str, tuple[list[Runs], float]]
    n_calibrate: int


# -- the test block --------------------------------------------------------------------


def test_page(found: Sequence[Found], n_seeds: int) -> list[str]:
    """What the test block says, and retention."""
    lines = [
        "NDCG@10 on what people wanted after their first reactions, with weights adapted to those reactions "
        "and without (the shadow: the same gate on the same lists). A reaction is a wanted item among the "
        "candidates; whoever wanted more of them than the row says is in it. What will be wanted later stays in "
        "the lists that people adapt to, as it does in real life. Gains are means over people with a 95 % "
        f"bootstrap interval over people, each person the mean of {n_seeds} seeds; harmed and helped are shares of "
        "people and seeds that lost or won more than 0.02. The order of reactions is that of their times, and "
        "drawn for lastfm-hetrec2011, which knows no times.",
        "",
        "Bar: after 5 reactions people with 1–5 events in their history gain (interval above 0), and at most 10 % "
        "are harmed.",
    ]
    for part in SLICES:
        lines += ["", f"## {TITLES[part]}", "", *HEAD]
        lines += [
            _cells(one.name, runs.n_known, _gain(*runs.among(one.inside[part])))
            for one in found
            for runs in one.test
        ]
        lines += _pooled(found, part)
    return [*lines, "", "## Retention", "", *RETENTION, *(one.retained for one in found)]


def _gain(shadow: Doubles, adapted: Doubles, kept: Bools) -> Gain:
    return gain_of(shadow, adapted, kept, generator(SEED, "benchmarks.adaptation.interval"))


def _cells(label: str, n_known: int, found: Gain) -> str:
    if not found.n:
        return f"| {label} | {n_known} | 0 | | | | | | |"
    between = f" [{found.low:+.4f}, {found.high:+.4f}]" if found.n > 1 else ""
    return (
        f"| {label} | {n_known} | {found.n:,} | {found.shadow:.4f} | {found.adapted:.4f} | "
        f"{found.gain:+.4f}{between} | {found.harmed:.1%} | {found.helped:.1%} | {found.kept:.0%} |"
    )


def _pooled(found: Sequence[Found], part: str) -> list[str]:
    """The people of all sets together."""
    rows = []
    for place, n_known in enumerate(COUNTS):
        each = [one.test[place].among(one.inside[part]) for one in found]
        shadow, adapted, kept = (np.concatenate(of) for of in zip(*each, strict=True))
        rows.append(_cells("together", n_known, _gain(shadow, adapted, kept)))
    return rows


# -- the calibrate block ---------------------------------------------------------------


def calibrate_page(found: Sequence[Found], n_seeds: int) -> list[str]:
    """What the calibrate block says of algorithms and of the curriculum."""
    default = MamlConfig()
    algorithms = {name: name for name in get_args(Algorithm)}
    return [
        "",
        "## Algorithms, on the calibrate block",
        "",
        f"Everybody, {n_seeds} seeds. This block also chose the epoch of each model. lastfm-hetrec2011 is left "
        "out: nobody there wanted more than 5 candidates.",
        *_table("algorithm", algorithms, found),
        "",
        "## Curriculum, on the calibrate block",
        "",
        f"On: training begins with the {default.sampling.easy_share:.0%} of the episodes that the static blend "
        f"ranks best, and has let in all of them after {default.sampling.ramp:.0%} of it.",
        *_table("curriculum", {"off": default.algorithm, "on": "curriculum"}, found),
    ]


def _table(title: str, labels: Mapping[str, str], found: Sequence[Found]) -> list[str]:
    """One row per set and configuration."""
    lines = [
        "",
        f"| set | {title} | shadow after 5 | adapted | gain after 3 | after 5 [95 %] | after 10 | harmed after 5 "
        "| fit (s) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in found:
        for shown, label in labels.items() if one.calibrate else ():
            runs, seconds = one.calibrate[label]
            everybody = np.ones(one.n_calibrate, dtype=np.bool_)
            gain = {r.n_known: _gain(*r.among(everybody)) for r in runs}
            five = gain[5]
            lines.append(
                f"| {one.name} | {shown} | {five.shadow:.4f} | {five.adapted:.4f} | {gain[3].gain:+.4f} | "
                f"{five.gain:+.4f} [{five.low:+.4f}, {five.high:+.4f}] | {gain[10].gain:+.4f} | "
                f"{five.harmed:.1%} | {seconds:.0f} |"
            )
    return lines
