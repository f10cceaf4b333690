"""Lists of many users by crossfade and by a RecTools two-stage pipeline, timed by turns.

    python -m benchmarks.two_stage --peer-python PEER/bin/python [--data ../shared/data]
        [--only amazon-cds] [--keep FOLDER] [--bundle BUNDLE]

Both learn from what is before the test block, answer everybody who asks in it as of its first moment, all
in one call, with 20 items known then and not seen by who asks, and are judged by crossfade's metric. A
made-up log over 100,000 items is for times only. ``--keep`` keeps what was fitted for another run,
``--bundle`` is a system that `batch` fitted on the made-up log. Writes ``benchmarks/two_stage.md``.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import batch
from benchmarks.serving_log import make_log
from benchmarks.signals import ROOT, SEED
from benchmarks.turns import Player, play
from benchmarks.two_stage_page import Found, Side, page
from crossfade.batch import recommend_all
from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.dataset import to_us
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import Plan, ProtocolConfig, make_plan
from crossfade.evaluation.metrics import locate, ndcg
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.learning import learn
from crossfade.types import Csr, Doubles, Rows

MADE_UP = "made-up log"
SETS = ("amazon-cds", "movielens-100k", MADE_UP)
K, DEPTH, N_MADE_UP_USERS = 20, 10, 2_048
PEER = ROOT / ".venv-rectools" / "bin" / "python"


@dataclass(frozen=True, eq=False)
class Question:
    """What both are asked.

    Attributes:
        train: All they may learn from.
        user_rows: Who asks, each once.
        relevant: What was wanted, shape ``(n, n_items)``; None where times alone count.
        plan: Whose test block it is; None likewise.
        cuts: Where the last two blocks of ``train`` begin.
    """

    train: Dataset
    user_rows: Rows
    relevant: Csr | None
    plan: Plan | None
    cuts: tuple[datetime, ...]


def question(name: str, data: Path, folder: Path) -> Question:
    """That of a set; imported into a folder where it is not there yet."""
    if name == MADE_UP:
        return made_up(make_log(batch.N_ITEMS, batch.N_LOG_USERS, SEED), N_MADE_UP_USERS)
    if not folder.exists():
        mapping = load_toml(ImportMapping, ROOT / "configs" / f"{name}.toml")
        import_table(mapping, folder, root=data / name, now=datetime.now(UTC))
    return of_plan(make_plan(load_dataset(folder), ProtocolConfig(), SEED))


def of_plan(plan: Plan) -> Question:
    """The test block of a plan, as a question."""
    test = plan.tests[0]
    *cuts, end = (datetime.fromisoformat(cut) for cut in plan.cuts)
    # Cuts are told to the peer, events are what it is judged by: none of those may be among these.
    assert test.train.time_us is not None
    assert test.train.time_us[-1] < to_us(end)
    return Question(test.train, test.queries.user_row, test.relevant, plan, tuple(cuts))


def made_up(log: Dataset, n_users: int) -> Question:
    """The first users of a log; its last two blocks are an eighth of the events each, as above."""
    times = log.events["timestamp"]
    cuts = tuple(times[len(log.events) * eighths // 8] for eighths in (6, 7))
    return Question(log, np.arange(n_users, dtype=np.int32), None, None, cuts)


def tell(asked: Question, folder: Path) -> None:
    """Write what the peer may know, with rows in place of ids."""
    folder.mkdir(parents=True, exist_ok=True)
    train = asked.train
    train.events.select(
        user_id="user_row",
        item_id="item_row",
        weight="strength",
        datetime=pl.col("timestamp").dt.replace_time_zone(None),
    ).write_parquet(folder / "events.parquet")
    blank = {"creator": None, "release_date": None}
    items = train.items.with_columns(
        **{name: pl.lit(value) for name, value in blank.items() if name not in train.items.columns}
    )
    items.select(
        creator=(pl.col("creator").cast(pl.String).rank("dense").cast(pl.Int64) - 1).fill_null(-1),
        released=pl.col("release_date").cast(pl.Datetime("us")),
    ).write_parquet(folder / "items.parquet")
    pl.DataFrame({"user_id": asked.user_rows}).write_parquet(folder / "users.parquet")
    facts = {
        "cuts": [cut.replace(tzinfo=None).isoformat() for cut in asked.cuts],
        "n_users": train.n_users,
        "tune": asked.plan is not None,
        "k": K,
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def answer(asked: Question, folder: Path, bundle: Path) -> None:
    """Crossfade's side; for a process of its own."""
    told = folder / "fit.json"
    if not bundle.exists():
        began = time.perf_counter()
        fitted(asked).save(bundle)
        told.write_text(json.dumps({"fit_s": time.perf_counter() - began}), encoding="utf-8")
    facts = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {"fit_s": None}
    model = HybridModel.load(bundle)
    users = asked.train.user_ids.decode(asked.user_rows)

    def lists() -> None:
        recommend_all(model, folder / "lists", k=K, users=users, chunk=len(users), fresh=True)

    lists()
    play({**facts, "bases": len(model.bases), "blend": model.blend.name}, lists)


def fitted(asked: Question) -> HybridModel:
    """With default settings, and a blend learned on the blocks before the test block."""
    if asked.plan is None:
        return HybridModel.fit(asked.train, batch.SETTINGS, SEED)
    config = HybridConfig()
    name = config.blend.fusion
    learned = learn(asked.plan, config.bases, config.blend, (name,), SEED)
    return HybridModel.fit(asked.train, config, SEED, learned.choice, learned.blend(name))


def lists_of(table: pl.DataFrame, user_rows: Rows) -> Rows:
    """Item rows of each user, best first, -1 where a list is short, shape ``(n, K)``.

    Args:
        table: ``user_row``, ``item_row`` and ``rank`` from 1, in any order.
        user_rows: Whose lists they are.
    """
    lists: Rows = np.full((len(user_rows), K), -1, dtype=np.int32)
    order = np.argsort(user_rows)
    place = order[np.searchsorted(user_rows, table["user_row"].to_numpy(), sorter=order)]
    lists[place, table["rank"].to_numpy() - 1] = table["item_row"].to_numpy()
    return lists


def judged(asked: Question, lists: Rows) -> Doubles | None:
    """NDCG@10 of each user; None where nobody knows what was wanted."""
    seen = Csr(asked.train.queries(asked.user_rows).seen)
    seen.sort_indices()
    assert not locate(lists, seen)[0].any()
    if asked.relevant is None:
        return None
    relevant = Csr(asked.relevant)
    relevant.sort_indices()
    hits, _ = locate(lists[:, :DEPTH], relevant)
    return ndcg(hits, np.diff(relevant.indptr).astype(np.int64))


def measured(name: str, options: argparse.Namespace, keep: Path) -> Found:
    """Both sides on one set."""
    folder = keep / name.replace(" ", "-")
    asked = question(name, options.data, folder / "data")
    tell(asked, folder / "peer")
    threads = str(options.threads)
    command = [sys.executable, "-m", "benchmarks.two_stage", "--child", name]
    command += ["--data", str(options.data), "--keep", str(keep)]
    if options.bundle and name == MADE_UP:
        command += ["--bundle", str(options.bundle)]
    peer = [
        str(options.peer_python),
        "-m",
        "benchmarks.two_stage_peer",
        str(folder / "peer"),
        threads,
    ]
    one = {"OMP_NUM_THREADS": threads}
    # implicit asks for that: it has threads of its own.
    other = {**one, "OPENBLAS_NUM_THREADS": "1"}
    with Player(command, one) as ours, Player(peer, other) as theirs:
        turns = [(ours.turn(), theirs.turn()) for _ in range(options.rounds)]
    train = asked.train
    made = pl.read_parquet(folder / "lists" / "part-*.parquet")
    made = made.select(
        "rank",
        item_row=train.item_ids.encode(made["item_id"]),
        user_row=train.user_ids.encode(made["user_id"]),
    )
    heard = pl.read_parquet(folder / "peer" / "lists.parquet")
    heard = heard.select("rank", item_row="item_id", user_row="user_id")
    sides = [
        Side(player.facts, list(taken), judged(asked, lists_of(table, asked.user_rows)))
        for player, taken, table in zip(
            (ours, theirs), zip(*turns, strict=True), (made, heard), strict=True
        )
    ]
    n_items = int(train.known_items(None).sum())
    return Found(name, len(asked.user_rows), n_items, *sides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--peer-python", type=Path, default=PEER, help="interpreter with RecTools")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="some of the sets, with commas")
    parser.add_argument("--keep", type=Path, help="folder for what was fitted")
    parser.add_argument("--bundle", type=Path, help="a system fitted on the made-up log")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "two_stage.md")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder = options.keep / options.child.replace(" ", "-")
        asked = question(options.child, options.data, folder / "data")
        answer(asked, folder, options.bundle or folder / "bundle")
        return
    if not options.peer_python.exists():
        print(f"skipped: no {options.peer_python}; benchmarks/two_stage.md says how to make it")
        return
    only = SETS if options.only is None else options.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        found = [
            measured(name, options, options.keep or Path(folder)) for name in SETS if name in only
        ]
    options.to.write_text(page(found, options.threads), encoding="utf-8")
    print(options.to.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
