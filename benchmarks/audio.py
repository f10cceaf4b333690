"""The audio-feature predictor against LightGBM and genre means, whole creators held out.

All three get the same columns of the same items; LightGBM gets the same words, labels and
numbers as sparse columns, early stopping on a tenth of the training creators, one model per
feature. (Creator means are no input here: every creator in the test is unknown.) On
`spotify-tracks` one creator in five is held out, and one track in twenty of the others; the
two small sets are cut into five folds and every track is guessed once.
Intervals: 95 %, percentile bootstrap over creators. Run from the repository's root:

    .venv/bin/python -m benchmarks.audio
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
from scipy.sparse import csr_matrix, hstack
from threadpoolctl import threadpool_limits

from crossfade.audio.folds import creator_folds
from crossfade.audio.inputs import Words, creator_keys
from crossfade.audio.predictor import AudioPredictor
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Ints

DATA = Path(__file__).parents[1] / "../shared/data"
RESAMPLES = 200
SETTINGS = {
    "objective": "l2", "learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 20,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "verbose": -1,
    "num_threads": 1, "seed": 0, "deterministic": True,
}  # fmt: skip
MODELS = ("crossfade", "LightGBM", "genre mean")


@dataclass
class Guesses:
    """Truth and guesses of the held-out tracks, shape ``(n, 8)`` each."""

    creator: list[str] = field(default_factory=list)
    truth: list[Doubles] = field(default_factory=list)
    by_model: dict[str, list[Doubles]] = field(default_factory=lambda: {m: [] for m in MODELS})
    sigma: list[Doubles] = field(default_factory=list)
    inside: list[Doubles] = field(default_factory=list)


def year(column: str) -> pl.Expr:
    return pl.date(pl.col(column), 1, 1)


def tempo() -> pl.Expr:
    """Tempo, empty where it is no tempo (below 30 beats per minute, 0 for unknown)."""
    return pl.when(pl.col("tempo").is_between(30, 300)).then(pl.col("tempo"))


def spotify() -> pl.DataFrame:
    """Last.fm tags and the curated mood are moods; nothing of charts or popularity is kept."""
    mood = pl.when(pl.col("mood").is_not_null()).then(pl.concat_list("mood"))
    return pl.read_parquet(DATA / "spotify-tracks/tracks.parquet").select(
        pl.col("title", "genres", *AUDIO_FEATURES[:-1]),
        tempo(),
        item_id="spotify_id",
        creator="artist",
        creator_id="artist_key",
        collection="album",
        moods=pl.concat_list(pl.col("lastfm_tags").fill_null([]), mood.fill_null([])),
        duration_ms=pl.col("duration_ms").cast(pl.Int64),
        release_date=year("release_year"),
    )


def situnes() -> pl.DataFrame:
    """Title, artist, one genre and duration; no liveness, no year, no moods."""
    return pl.read_parquet(DATA / "situnes/tracks.parquet").select(
        pl.col("title", *(name for name in AUDIO_FEATURES[:-1] if name != "liveness")),
        tempo(),
        item_id=pl.col("item_id").cast(pl.String),
        creator="artist",
        creator_id="artist_key",
        genres=pl.concat_list(pl.col("genre")).list.drop_nulls(),
        duration_ms=pl.col("duration_ms").cast(pl.Int64),
    )


def fma() -> pl.DataFrame:
    """Title, genre and its ids, tags, duration; no artist is named, so each track is its own."""
    ids = pl.col("genre_ids_all").list.eval(pl.element().cast(pl.String))
    tracks = pl.read_parquet(DATA / "fma-echonest/tracks.parquet").select(
        "track_id",
        "title",
        genres=pl.concat_list(pl.concat_list("genre_top"), ids),
        moods="tags",
        duration_ms=pl.col("duration_s").cast(pl.Int64) * 1_000,
    )
    audio = pl.read_parquet(DATA / "fma-echonest/audio_features.parquet").with_columns(tempo())
    joined = tracks.join(audio, on="track_id", how="inner")
    return joined.with_columns(item_id=pl.col("track_id").cast(pl.String)).drop("track_id")


def truth_of(items: pl.DataFrame) -> Doubles:
    columns = [
        (pl.col(name) if name in items.columns else pl.lit(None)).cast(pl.Float64).alias(name)
        for name in AUDIO_FEATURES
    ]
    return items.with_columns(columns).select(AUDIO_FEATURES).fill_null(np.nan).to_numpy()


def hidden(items: pl.DataFrame) -> pl.DataFrame:
    return items.drop(*AUDIO_FEATURES, strict=False)


def boosted(train: pl.DataFrame, test: pl.DataFrame) -> Doubles:
    words = Words.of(train, 3)
    tables = []
    for items in (train, test):
        inputs = words.inputs(items)
        tables.append(csr_matrix(hstack([csr_matrix(inputs.numbers), inputs.tokens])))
    early, truth = creator_folds(creator_keys(train), 10, 1) == 0, truth_of(train)
    out = np.full((test.height, len(AUDIO_FEATURES)), np.nan)
    for column in range(len(AUDIO_FEATURES)):
        known = ~np.isnan(truth[:, column])
        if known.any():
            fit, stop = (
                lightgbm.Dataset(tables[0][part], truth[part, column])
                for part in (known & ~early, known & early)
            )
            stopping = lightgbm.early_stopping(50, verbose=False)
            model = lightgbm.train(SETTINGS, fit, 1_500, valid_sets=[stop], callbacks=[stopping])
            out[:, column] = model.predict(tables[1], num_threads=1)
    return out


def genre_means(train: pl.DataFrame, test: pl.DataFrame) -> Doubles:
    """Mean over an item's genres of their training means; no genre is a genre of its own."""

    def long(items: pl.DataFrame) -> pl.DataFrame:
        none = pl.col("genres").list.len().fill_null(0) == 0
        genres = pl.when(none).then(pl.lit(["none"])).otherwise("genres")
        return items.with_row_index("row").select("row", genres=genres).explode("genres")

    named = long(train)
    truth = pl.DataFrame(truth_of(train), schema=list(AUDIO_FEATURES)).fill_nan(None)
    rows = truth[named["row"].to_list()]
    means = pl.concat([named.select("genres"), rows], how="horizontal").group_by("genres").mean()
    found = long(test).join(means, on="genres", how="left")
    guess = found.group_by("row").agg(pl.col(AUDIO_FEATURES).mean()).sort("row")
    filled = guess.with_columns(
        pl.col(name).fill_null(pl.lit(truth[name].mean(), dtype=pl.Float64))
        for name in AUDIO_FEATURES
    )
    return filled.select(AUDIO_FEATURES).cast(pl.Float64).fill_null(np.nan).to_numpy()


def take(
    kept: Guesses, predictor: AudioPredictor, test: pl.DataFrame, others: dict[str, Doubles]
) -> None:
    bare, truth = hidden(test), truth_of(test)
    guess, (low, high) = predictor.predict(bare), predictor.interval(bare)
    keys = creator_keys(test)
    kept.creator += [key or f"item {i}" for i, key in zip(test["item_id"], keys, strict=True)]
    kept.truth.append(truth)
    kept.sigma.append(guess.sigma.astype(np.float64))
    kept.inside.append(((truth >= low) & (truth <= high)).astype(np.float64))
    for model, values in {"crossfade": guess.mean.astype(np.float64), **others}.items():
        kept.by_model[model].append(values)


def resampled(creator: Ints, rng: np.random.Generator) -> Iterator[Ints]:
    """Rows of creators drawn with replacement."""
    order = np.argsort(creator, kind="stable")
    sizes = np.bincount(creator)
    starts = np.cumsum(sizes) - sizes
    for _ in range(RESAMPLES):
        drawn = rng.integers(len(sizes), size=len(sizes))
        n = sizes[drawn]
        yield order[np.repeat(starts[drawn] - (np.cumsum(n) - n), n) + np.arange(n.sum())]


def rms(error: Doubles) -> float:
    return float(np.sqrt(np.square(error).mean()))


def fifths(error: Doubles, sigma: Doubles) -> float:
    order, fifth = np.argsort(sigma, kind="stable"), len(error) // 5
    return rms(error[order[:fifth]]) / rms(error[order[-fifth:]])


def span(values: list[float], form: str) -> str:
    low, high = np.quantile(values, (0.025, 0.975))
    return f"{low:{form}} – {high:{form}}"


def table(kept: Guesses) -> None:
    """Print every measure of every feature."""
    rng = generator(0, "benchmarks.audio")
    creators = np.unique(np.array(kept.creator), return_inverse=True)[1].astype(np.int64)
    truth, sigma, inside = (np.concatenate(x) for x in (kept.truth, kept.sigma, kept.inside))
    guess = {model: np.concatenate(parts) for model, parts in kept.by_model.items() if parts}
    rivals = [model for model in MODELS[1:] if model in guess]
    print(
        "| feature | n | RMSE | "
        + "".join(f"{model} | ours / {model} | 95 % | " for model in rivals)
        + "90 % covers | 95 % | surest / least sure | 95 % |"
    )
    print("| --- " * (8 + 3 * len(rivals) - 1) + "|")
    for column, name in enumerate(AUDIO_FEATURES):
        known = ~np.isnan(truth[:, column])
        if not known.any():
            continue
        y, s, covered = truth[known, column], sigma[known, column], inside[known, column]
        error = {model: y - values[known, column] for model, values in guess.items()}
        ours = error["crossfade"]
        cells = [name, f"{len(y):,}", f"{rms(ours):.4g}"]
        draws = list(resampled(np.unique(creators[known], return_inverse=True)[1], rng))
        for model in rivals:
            ratios = [rms(ours[d]) / rms(error[model][d]) for d in draws]
            cells += [f"{rms(error[model]):.4g}", f"{rms(ours) / rms(error[model]):.3f}"]
            cells += [span(ratios, ".3f")]
        cells += [f"{covered.mean():.1%}", span([float(covered[d].mean()) for d in draws], ".1%")]
        cells += [f"{fifths(ours, s):.2f}", span([fifths(ours[d], s[d]) for d in draws], ".2f")]
        print(f"| {' | '.join(cells)} |", flush=True)


def large() -> None:
    """One creator in five held out, and one track in twenty of the others."""
    items = spotify()
    stranger = creator_folds(creator_keys(items), 5, 0) == 0
    spare: Bools = generator(0, "benchmarks.audio.tracks").random(items.height) < 0.05
    train = items.filter(pl.Series(~stranger & ~spare))
    begin, cpu = time.perf_counter(), time.process_time()
    predictor = AudioPredictor()
    predictor.fit(train, seed=0)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(
        f"## spotify-tracks\n\n{train.height:,} training tracks of {train['creator_id'].n_unique():,} creators; "
        f"fit {seconds:.0f} s, {cpu:.0f} s of processor time\n\nUnknown creators:\n"
    )
    test = items.filter(pl.Series(stranger))
    kept = Guesses()
    with threadpool_limits(1):
        others = {"LightGBM": boosted(train, test), "genre mean": genre_means(train, test)}
    take(kept, predictor, test, others)
    table(kept)
    known = items.filter(pl.Series(~stranger & spare))
    known = known.filter(pl.col("creator_id").is_in(train["creator_id"].unique().implode()))
    print("\nOther tracks of known creators:\n")
    kept = Guesses()
    take(kept, predictor, known, {"genre mean": genre_means(train, known)})
    table(kept)


def small(name: str, items: pl.DataFrame) -> None:
    """Five folds, every track guessed once."""
    fold, kept = creator_folds(creator_keys(items), 5, 0), Guesses()
    for number in range(5):
        train, test = (
            items.filter(pl.Series(fold != number)),
            items.filter(pl.Series(fold == number)),
        )
        others = {"LightGBM": boosted(train, test), "genre mean": genre_means(train, test)}
        predictor = AudioPredictor()
        predictor.fit(train, seed=0)
        take(kept, predictor, test, others)
    print(f"\n## {name}\n")
    table(kept)


def main() -> None:
    small("situnes", situnes())
    small("fma-echonest (a track is a creator: no artist is named)", fma())
    large()


if __name__ == "__main__":
    main()
