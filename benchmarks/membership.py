"""Whether what a source exports tells who was in it.

    python -m benchmarks.membership [--data ../shared/data]

Runs `crossfade.transfer.membership` on the sources of `benchmarks.transfer`. Writes ``benchmarks/membership.md``.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.signals import ROOT, SEED, read_set
from crossfade.transfer.config import TransferConfig
from crossfade.transfer.membership import membership

PAGE = Path(__file__).with_suffix(".md")
SOURCES = {"amazon-cds": None, "movielens-100k": None, "douban-music": "douban-music-book"}
CONFIG = TransferConfig(users=(50, 200))
BAR = 0.55


def main() -> None:
    parser = argparse.ArgumentParser(description="Who was in a source.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    asked = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":  # which libraries read when they are loaded
        command = [sys.executable, "-m", "benchmarks.membership", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S606
    lines = [
        "# Whether an export tells who was in the source",
        "",
        "`python -m benchmarks.membership`: a third of the people make a source; the attacker has what it "
        "exported, whole records, and a third of the people to make an export like it from. 0.5 is guessing. The "
        "attack reads the gate that is carried as it is, not yet the other parts of an export.",
        "",
        f"| source | members | others | AUC [95 %] | at most {BAR:g} |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for name, part_of in SOURCES.items():
        found = membership(read_set(asked.data, name, part_of=part_of), CONFIG, SEED)
        held = (
            "**no**"
            if found.auc > BAR
            else "yes"
            if found.high <= BAR
            else "yes, within the interval"
        )
        area = f"{found.auc:.3f} [{found.low:.3f}, {found.high:.3f}]"
        lines.append(f"| {name} | {found.n_members} | {found.n_others} | {area} | {held} |")
    PAGE.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
