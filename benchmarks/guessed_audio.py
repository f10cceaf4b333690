"""Whether how far guessed audio values move a score tells of errors what the spread of models does not.

    python -m benchmarks.guessed_audio

Audio values of half the tracks are taken away and guessed; a blend learns from the completed
catalogue. Repeats differ in which tracks these are and in every other drawn number. Two to
three minutes.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import rankdata

from crossfade.audio.config import AudioConfig
from crossfade.audio.predictor import AudioPredictor
from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.data.splits import ProtocolConfig, ProtocolName, make_plan
from crossfade.data.world import WorldConfig, make_world
from crossfade.evaluation import EvaluationConfig
from crossfade.fusion.propagation import together
from crossfade.meta.answers import Answers, answered, doubt_of
from crossfade.meta.blending import Bases, BlendConfig, fit_bases
from crossfade.meta.context import ContextReader
from crossfade.meta.learning import learn
from crossfade.meta.lists import FusedScorer, ListBuilder
from crossfade.rng import generator
from crossfade.types import Bools, Doubles

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
TABLE = Path(__file__).with_suffix(".md")
REPEATS = 5
BASES: Bases = {"popularity": {}, "item_knn": {}, "genre_item_knn": {}}
BLEND = BlendConfig(min_requests=10, max_requests=600)
WORLD = WorldConfig(n_listeners=300, n_tracks=1_000, n_plays=40_000, missing_audio_share=0.0)
RESAMPLES = 1_000


@dataclass(frozen=True)
class Found:
    """One error on one repeat; rank correlations of it with the uncertainties, NaN where constant.

    Attributes:
        n: Candidates, of ``n_requests`` requests.
        size: Mean spread from guesses of guessed tracks, over the mean spread of models.
        difference: Correlation of both less that of models alone, with a paired bootstrap
            interval over requests.
    """

    seed: int
    error: str
    n: int
    n_requests: int
    size: float
    models: float
    guesses: float
    both: float
    difference: tuple[float, float, float]


def situnes(folder: Path) -> Dataset:
    mapping = load_toml(ImportMapping, ROOT / "configs" / "situnes.toml")
    import_table(mapping, folder / "situnes", root=DATA / "situnes", now=datetime.now(UTC))
    return load_dataset(folder / "situnes")


def completed(data: Dataset, seed: int) -> Dataset:
    """The data set with guesses in the place of the audio values of half the tracks."""
    away = pl.Series(generator(seed, "benchmark.away").random(data.n_items) < 0.5)
    names = [name for name in AUDIO_FEATURES if name in data.items.columns]
    items = data.items.with_columns(pl.when(~away).then(pl.col(name)).alias(name) for name in names)
    predictor = AudioPredictor(AudioConfig(min_examples=5_000))
    predictor.fit(items, seed)
    return replace(data, items=predictor.complete(items))


def answers_of(data: Dataset, protocol: ProtocolName, seed: int) -> Answers:
    plan = make_plan(data, ProtocolConfig(name=protocol), seed)
    learned = learn(plan, BASES, BLEND, ["auto"], seed)
    trial = plan.tests[0]
    bases = fit_bases(BASES, trial.train, seed)
    reader = ContextReader(trial.train, tuple(BASES), learned.track, learned.environment)
    lists = ListBuilder(bases, reader, trial.exclude_seen, trial.candidates, BLEND.n_candidates)
    scorer = FusedScorer("auto", learned.models["auto"], lists)
    doubt = doubt_of(scorer, EvaluationConfig().guess_draws, seed)
    # Per user, blocks are shares of everybody's history; see `Probability.predict`.
    blocks = plan.protocol.test / plan.protocol.calibrate if protocol == "user" else 1.0
    return Answers.of(answered(scorer, trial), learned.calibrators["auto"], blocks, doubt)


def judged(answers: Answers, seed: int) -> Iterator[Found]:
    models, guesses = (x.astype(np.float64) for x in (answers.spread, answers.guess_spread))
    both = together([models, guesses])
    missed = (~answers.wanted).astype(np.float64)
    squared = (answers.probability - answers.wanted) ** 2
    for error, wrong, which in (
        ("shown and not wanted", missed, answers.shown),
        ("squared error of all", squared, np.ones_like(answers.shown)),
    ):
        use: Bools = which & ~np.isnan(both)
        if not use.any():
            continue
        y, owner = rankdata(wrong[use]), np.unique(answers.request[use], return_inverse=True)[1]
        ranks = [rankdata(values[use]) for values in (models, guesses, both)]
        of_models, of_guesses, of_both = (correlation(x, y, np.ones(len(y))) for x in ranks)
        rng, n = generator(seed, f"benchmark.{error}"), int(owner.max()) + 1
        draws = []
        for _ in range(RESAMPLES):
            weight = np.bincount(rng.integers(0, n, n), minlength=n)[owner].astype(np.float64)
            draws.append(correlation(ranks[2], y, weight) - correlation(ranks[0], y, weight))
        low, high = np.quantile(draws, [0.025, 0.975])
        moved = use & (guesses > 0)
        size = guesses[moved].mean() / models[use].mean() if models[use].any() else np.nan
        difference = (of_both - of_models, float(low), float(high))
        yield Found(seed, error, len(y), n, float(size), of_models, of_guesses, of_both, difference)


def correlation(x: Doubles, y: Doubles, weight: Doubles) -> float:
    """Pearson's, weighted; NaN where one is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    away_x, away_y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    scale = np.sqrt((weight * away_x**2).sum() * (weight * away_y**2).sum())
    return float((weight * away_x * away_y).sum() / scale)


def page(found: dict[str, list[Found]]) -> str:
    lines = [
        "# Guessed audio values and errors",
        "",
        "`python -m benchmarks.guessed_audio`. Audio values of half the tracks are taken away and guessed by the "
        "audio predictor; `auto` with default settings learns to blend `popularity`, `item_knn` and "
        "`genre_item_knn` and is judged on the test block. Numbers are rank correlations of an uncertainty with an "
        "error, larger is better: how far the models differ, how far guesses move the score (16 draws), and the "
        "root of the summed squares of both. The difference is of both less models alone, with a paired 95 % "
        f"bootstrap interval over requests ({RESAMPLES:,} resamples). Size is the mean spread from guesses, of "
        "tracks that have some, over the mean spread of models. On SiTunes repeats share the people, so they "
        "are no independent samples; worlds are new each time. A repeat where a single model speaks has no spread "
        "of models (—). Bar: an interval wholly above 0.",
        "",
    ]
    for name, rows in found.items():
        lines += [
            f"## {name}",
            "",
            "| repeat | error | candidates | requests | size | models | guesses | both | difference |",
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        ]
        for row in sorted(rows, key=lambda row: (row.error, row.seed)):
            middle, low, high = row.difference
            told = "—" if np.isnan(middle) else f"{middle:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells = (*map(number, (row.models, row.guesses, row.both)), told)
            size = "—" if np.isnan(row.size) else f"{row.size:.0%}"
            lines.append(
                f"| {row.seed} | {row.error} | {row.n:,} | {row.n_requests:,} | {size} | {' | '.join(cells)} |"
            )
        lines.append("")
    return "\n".join(lines)


def number(value: float) -> str:
    return "—" if np.isnan(value) else f"{value:+.3f}"


def main() -> None:
    found: dict[str, list[Found]] = {"situnes, user": [], "the synthetic world, time": []}
    protocols: tuple[ProtocolName, ...] = ("user", "time")
    with tempfile.TemporaryDirectory() as folder:
        real = situnes(Path(folder))
    for seed in range(REPEATS):
        world = make_world(WORLD, seed=seed).dataset
        for name, data, protocol in zip(found, (real, world), protocols, strict=True):
            answers = answers_of(completed(data, seed), protocol, seed)
            found[name] += judged(answers, seed)
            print(name, *found[name][-2:], sep="\n", flush=True)
    TABLE.write_text(page(found), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
