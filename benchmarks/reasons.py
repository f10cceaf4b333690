"""Whether the reasons of a whole system hold: delete the evidence they cite, and list again.

    python -m benchmarks.reasons [--data ../shared/data] [--only amazon-cds] [--fusion auto] [--keep FOLDER]

Fits the system on each set, lists ten items for people drawn at random, and takes one place of each
list. Of every item of the history that its reasons cite all events are deleted from the request, and
of as many drawn at random; each time the list is made again with the item among the candidates.
``--keep`` keeps the fitted systems there and takes them from there. In `EAR` nothing is known of tracks
but how they sound and when they came out, and those are listed that nobody has played. Writes
``benchmarks/reasons.md``.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.signals import ROOT, SEED
from crossfade.cli.progress import reporter
from crossfade.config import load_toml
from crossfade.data import Queries, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.data.splits import ProtocolConfig
from crossfade.data.world import WorldConfig, make_world
from crossfade.explain.fidelity import Fidelity, Measured, measure_fidelity
from crossfade.explain.reasons import cited_rows
from crossfade.explain.sentences import Explanation, SentenceConfig
from crossfade.hybrid import HybridConfig, HybridModel
from crossfade.meta.blending import BlendChoice, BlendConfig
from crossfade.meta.serving import Filters, Served
from crossfade.progress import reporting_to
from crossfade.recommenders.attribution import without
from crossfade.rng import generator
from crossfade.types import Doubles, Rows

SETS = (("movielens-100k", "time"), ("amazon-cds", "time"), ("lastfm-hetrec2011", "user"))
EAR = "world-by-ear"
OPENINGS = ("very_sure", "sure", "fairly_sure")
BAR = 0.8
K = 10


@dataclass
class Asked:
    """One place of the list of each request, and how long explaining the lists took.

    Attributes:
        queries: The requests.
        explained: The place.
        seconds: Of explaining the whole list.
        probability: Of all items listed; NaN where no calibrated model spoke.
        relative: That of the item and the average candidate, if one is wanted, it is the item.
    """

    queries: list[Queries] = field(default_factory=list)
    explained: list[Explanation] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)
    relative: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What a set showed."""

    name: str
    served_by: str
    asked: Asked
    fidelity: Fidelity

    @property
    def holds(self) -> bool:
        """Whether the bar is met; a set without anything to test misses it."""
        return self.fidelity.falls_more.mean >= BAR


def main() -> None:
    parser = argparse.ArgumentParser(description="Do the reasons of a whole system hold?")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", help="some of the sets, with commas")
    parser.add_argument("--fusion", default="auto", help="which fusion model serves")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--keep", type=Path, help="folder for the fitted systems")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "reasons.md")
    wanted = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder, reporting_to(reporter()):
        for name, protocol in SETS:
            if wanted.only is None or name in wanted.only.split(","):
                keep = wanted.keep or Path(folder)
                model = _system(wanted.data / name, protocol, wanted.fusion, Path(folder), keep)
                found.append(_found(name, model, wanted.requests))
                print(_row(found[-1]), file=sys.stderr, flush=True)
        if wanted.only is None or EAR in wanted.only.split(","):
            model, new = _by_ear()
            found.append(_found(EAR, model, wanted.requests, Filters(allow=new)))
            print(_row(found[-1]), file=sys.stderr, flush=True)
    wanted.to.write_text(_page(found, wanted.fusion), encoding="utf-8")
    print(wanted.to.read_text(encoding="utf-8"))


def _system(source: Path, protocol: str, fusion: str, folder: Path, keep: Path) -> HybridModel:
    """The system of a set, fitted on all of its log."""
    bundle = keep / f"{source.name}-{fusion}-bundle"
    if not bundle.exists():
        mapping = load_toml(ImportMapping, ROOT / "configs" / f"{source.name}.toml")
        import_table(mapping, folder / source.name, root=source, now=datetime.now(UTC))
        config = HybridConfig(
            protocol=ProtocolConfig(name=protocol),
            blend=BlendConfig(fusion=fusion),
        )
        HybridModel.fit(load_dataset(folder / source.name), config, SEED).save(bundle)
    return HybridModel.load(bundle)


def _by_ear() -> tuple[HybridModel, list[str]]:
    """The towers alone on a world without words, and its tracks that nobody has played."""
    world = make_world(WorldConfig(n_listeners=400, n_tracks=1_000, n_plays=40_000), seed=SEED)
    new = generator(SEED, "benchmarks.reasons.new").random(world.dataset.n_items) < 0.2
    log = world.dataset.without_items(np.flatnonzero(new).astype(np.int32))
    log = replace(log, items=log.items.select("item_id", "release_date", *AUDIO_FEATURES))
    choice = BlendChoice("zscore", {"two_tower": 1.0}, True, "two_tower", 0.0, 0.0)
    config = HybridConfig(bases={"two_tower": {}})
    model = HybridModel.fit(log, config, SEED, choice=choice)
    return model, log.item_ids.decode(np.flatnonzero(new).tolist())


def _found(name: str, model: HybridModel, n_requests: int, filters: Filters | None = None) -> Found:
    rng = generator(SEED, f"benchmarks.reasons.{name}")
    asked = _asked(model, n_requests, rng, filters)

    def rescore(place: int, deleted: Rows) -> tuple[float, float]:
        one = model.lists.one(
            without(asked.queries[place], deleted), asked.explained[place].item_row
        )
        return (np.nan, np.nan) if one is None else (float(one[0].score[0]), float(one[1]))

    fidelity = measure_fidelity(
        [cited_rows(why.reasons) for why in asked.explained],
        # What somebody did not want is no evidence of anything: random evidence would be worth less.
        [query.positives.indices.astype(np.int32) for query in asked.queries],
        rescore,
        rng,
    )
    served_by = " and ".join(model.blend.used) if model.learned is None else model.learned.name
    return Found(name, served_by, asked, fidelity)


def _asked(
    model: HybridModel, n_requests: int, rng: np.random.Generator, filters: Filters | None
) -> Asked:
    """People with a history in random order, until there are enough; one place of each list."""
    asked = Asked()
    for user in rng.permutation(model.dataset.n_users):
        query = model.dataset.queries([int(user)])
        (served,) = model.lists.serve(query, K, model.config.ranking, filters)
        if not query.positives.nnz or len(served.score) < K:
            continue
        began = time.process_time()
        why = model.explainer.explain(query, served)
        asked.seconds.append(time.process_time() - began)
        asked.queries.append(query)
        asked.explained.append(why[int(rng.integers(K))])
        asked.probability += served.probability.tolist()
        asked.relative += _relative(model, served).tolist()
        if len(asked.queries) == n_requests:
            break
    return asked


def _relative(model: HybridModel, served: Served) -> Doubles:
    """See `Asked.relative`; by Bayes, had the two nothing to do with one another."""
    if served.told is None or model.lists.probability is None:
        return np.full(len(served.score), np.nan)
    signals, fused = served.told
    average = np.nanmean(model.lists.probability.predict(fused.score, signals))
    mine, other = served.probability * (1 - average), average * (1 - served.probability)
    return np.asarray(mine / (mine + other))


def _page(found: Sequence[Found], fusion: str) -> str:
    ordered = sorted(found, key=lambda one: one.holds)
    every = [why for one in found for why in one.asked.explained]
    kinds = [
        kind for kind, _ in Counter(r.type for why in every for r in why.reasons).most_common()
    ]
    return "\n".join(
        [
            "# Do reasons hold?",
            "",
            f"`python -m benchmarks.reasons --fusion {fusion}`: default bases, seed {SEED}, fitted on all of each",
            f"log. One place of the {K} items listed for each of n people, drawn at random among those with a",
            "history. All events on the items of the history that its reasons cite are deleted from the request",
            "(not from what the bases learned), and those on as many wanted items drawn at random from the same",
            "history, cited ones included, five times. Each time candidates, context and fused score are made",
            "anew, with the item among the candidates. 95 % bootstrap intervals over people. A set that misses",
            "the bar comes first.",
            "",
            f"## Bar: the score falls more without what is cited in {BAR:.0%} of the requests that can be tested",
            "",
            "| set | served by | n | tested | falls more [95 %] | bar | rank falls more [95 %] |",
            "| --- | --- | ---: | ---: | ---: | --- | ---: |",
            *(_row(one) for one in ordered),
            "",
            "Not tested are requests whose item has no reason, or whose reasons cite no item of the history, so",
            "that nothing can be deleted (popularity), or all of it, so that random evidence would be the same.",
            "",
            "| set | no reason at all | cites no history | cites all of it |",
            "| --- | ---: | ---: | ---: |",
            *(_untested(one) for one in ordered),
            "",
            "## How far items fall",
            "",
            "In units of the fused score, and in places among all candidates.",
            "",
            "| set | score, cited | score, random | places, cited | places, random |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(_falls(one) for one in ordered),
            "",
            "## Reasons by type",
            "",
            "Share of the n items with at least one reason of the type.",
            "",
            f"| set | {' | '.join(kinds)} |",
            f"| --- |{' ---: |' * len(kinds)}",
            *(_types(one, kinds) for one in ordered),
            "",
            "## How sure sentences open",
            "",
            "Calibrated probability of all items listed that the person wants them within the horizon, and",
            "how many sentences would open how. Last, how many would be *highly recommended* by another",
            "measure: if one of the item and the average candidate is wanted, the probability that it is the",
            "item.",
            "",
            "| set | 10% | median | 90% | most | highly | plainly | suggested | might like | highly, relative |",
            "| --- |" + " ---: |" * 9,
            *(_sureness(one) for one in ordered if not np.isnan(one.asked.probability).all()),
            "",
            "## By ear",
            "",
            f"*{EAR}* is a synthetic catalogue of which nothing is known but the release date and, for 70 %",
            "of the tracks, audio features. The towers alone serve, and only the fifth of its tracks is listed",
            "that nobody has played: there sound is a reason. On the other sets serve the default bases, none",
            "of which reads audio.",
            "",
            f"## Milliseconds of explaining {K} items",
            "",
            "Of the processor, beside listing them, on one thread.",
            "",
            "| set | items in the catalogue | median | 95th percentile |",
            "| --- | ---: | ---: | ---: |",
            *(_times(one) for one in ordered),
            "",
        ]
    )


def _row(one: Found) -> str:
    fidelity = one.fidelity
    return (
        f"| {one.name} | {one.served_by} | {fidelity.n_explanations:,} | {fidelity.n_tested:,} | "
        f"{_share(fidelity.falls_more)} | {'met' if one.holds else 'missed'} | "
        f"{_share(fidelity.rank_falls_more)} |"
    )


def _untested(one: Found) -> str:
    fidelity = one.fidelity
    n = fidelity.n_explanations
    shares = (
        fidelity.share_without_reason,
        fidelity.n_other_evidence / n,
        fidelity.n_whole_history / n,
    )
    return f"| {one.name} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def _sureness(one: Found) -> str:
    probability, relative = np.array(one.asked.probability), np.array(one.asked.relative)
    config = SentenceConfig()
    bounds = [getattr(config, name) for name in OPENINGS]
    above = np.array([0.0, *((probability > bound).mean() for bound in bounds), 1.0])
    spread = (f"{q:.3f}" for q in np.nanquantile(probability, [0.1, 0.5, 0.9, 1.0]))
    shares = (f"{share:.1%}" for share in [*np.diff(above), (relative > bounds[0]).mean()])
    return f"| {one.name} | {' | '.join([*spread, *shares])} |"


def _falls(one: Found) -> str:
    fidelity = one.fidelity
    parts = (
        *(f"{m.mean:.3f} [{m.low:.3f}, {m.high:.3f}]" for m in (fidelity.cited_drop, fidelity.random_drop)),
        *(f"{m.mean:.1f} [{m.low:.1f}, {m.high:.1f}]" for m in (fidelity.cited_places, fidelity.random_places)),
    )  # fmt: skip
    return f"| {one.name} | {' | '.join(parts)} |"


def _types(one: Found, kinds: Sequence[str]) -> str:
    explained = one.asked.explained
    has: Counter[str] = Counter(
        kind for why in explained for kind in {reason.type for reason in why.reasons}
    )
    return f"| {one.name} | {' | '.join(f'{has[kind] / len(explained):.1%}' for kind in kinds)} |"


def _times(one: Found) -> str:
    median, late = np.quantile(one.asked.seconds, [0.5, 0.95]) * 1e3
    return f"| {one.name} | {one.asked.queries[0].n_items:,} | {median:.1f} | {late:.1f} |"


def _share(measured: Measured) -> str:
    return f"{measured.mean:.1%} [{measured.low:.1%}, {measured.high:.1%}]"


if __name__ == "__main__":
    main()
