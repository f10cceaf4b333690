"""How fast the built-in text encoder is, and whether its vectors are as good as plain scikit-learn's.

    python -m benchmarks.text_speed

Reads the catalogue of `../shared/data/spotify-tracks`: title, artist, album and genres of each
track. Every encoder fits and encodes the same texts in the same process, one after the other and
round by round, so that other work on the machine meets all alike.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Normalizer

from crossfade.features.text import N_DIMS, item_texts, make_encoder
from crossfade.features.text.tfidf import TfidfSvdConfig
from crossfade.rng import generator
from crossfade.types import Floats

TRACKS = Path(__file__).parents[2] / "shared" / "data" / "spotify-tracks" / "tracks.parquet"
TABLE = Path(__file__).with_suffix(".md")
ROUNDS = 2
N_JUDGED, N_NEIGHBOURS, N_RESAMPLES = 4_000, 10, 2_000
BAR = 20_000


@dataclass(frozen=True)
class Timed:
    """What something costs by the clock and in processor time, in seconds."""

    clock: float
    cpu: float


@dataclass(frozen=True)
class Costs:
    """What was measured; lists are one entry per round, by ``"ours"`` and ``"plain"``."""

    n_texts: int
    assembled: Timed
    fits: dict[str, list[Timed]]
    encodes: dict[str, list[Timed]]
    minilm: Timed


@dataclass(frozen=True)
class Judged:
    """Tracks with at least three listeners' tags, which no encoder sees.

    Attributes:
        row: Their rows in the catalogue, shape ``(n,)``.
        alike: Jaccard index of the tags of each pair, NaN for tracks of the same artist.
    """

    row: np.ndarray[Any, np.dtype[np.int64]]
    alike: Floats


def timed(work: Callable[[], Any]) -> tuple[Any, Timed]:
    clock, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Timed(time.perf_counter() - clock, time.process_time() - cpu)


def plain_pipeline() -> Pipeline:
    """The same n-grams, weights, width and power iterations by scikit-learn alone."""
    config = TfidfSvdConfig()
    each: dict[str, Any] = {
        "sublinear_tf": True,
        "min_df": config.min_texts,
        "max_features": config.max_ngrams // 2,
        "dtype": np.float32,
    }
    words = TfidfVectorizer(
        token_pattern=r"\w+",  # noqa: S106  (of words)
        ngram_range=(1, config.longest_word_ngram),
        **each,
    )
    windows = TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(config.shortest_character_ngram, config.longest_character_ngram),
        **each,
    )
    return Pipeline(
        [
            (
                "n-grams",
                FeatureUnion(
                    [("words", words), ("windows", windows)],
                    transformer_weights={
                        "words": config.word_weight,
                        "windows": config.character_weight,
                    },
                ),
            ),
            ("svd", TruncatedSVD(N_DIMS, n_iter=config.svd_passes, random_state=0)),
            ("length", Normalizer()),
        ]
    )


def judged_tracks(tracks: pl.DataFrame) -> Judged:
    tagged = (
        tracks.with_row_index("row")
        .filter(pl.col("lastfm_tags").list.len() >= 3)
        .sample(N_JUDGED, seed=1)
    )
    pairs = tagged.with_row_index("place").select("place", "lastfm_tags").explode("lastfm_tags")
    tags = pairs["lastfm_tags"].unique().sort()
    held = np.zeros((N_JUDGED, len(tags)), dtype=np.float32)
    columns = pairs["lastfm_tags"].cast(pl.Enum(tags)).to_physical().to_numpy()
    held[pairs["place"].to_numpy(), columns] = 1
    both, size = held @ held.T, held.sum(axis=1)
    alike = both / (size[:, None] + size - both)
    artist = tagged["artist_key"].to_numpy()
    alike[artist[:, None] == artist] = np.nan
    return Judged(tagged["row"].to_numpy().astype(np.int64), alike)


def agreement(vectors: Floats, judged: Judged) -> Floats:
    """Mean Jaccard index of each judged track's tags and its nearest neighbours', other artists only."""
    cosine = np.nan_to_num(vectors @ vectors.T, nan=-1.0)
    cosine[np.isnan(judged.alike)] = -np.inf
    nearest = np.argpartition(-cosine, N_NEIGHBOURS, axis=1)[:, :N_NEIGHBOURS]
    mean: Floats = np.take_along_axis(judged.alike, nearest, axis=1).mean(axis=1)
    return mean


def ratio_interval(ours: Floats, theirs: Floats) -> str:
    """Ratio of means with a paired bootstrap interval over tracks."""
    draw = generator(0, "benchmarks.text").integers(len(ours), size=(N_RESAMPLES, len(ours)))
    ratios = ours[draw].mean(axis=1) / theirs[draw].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return f"{ours.mean() / theirs.mean():.3f} ({low:.3f} to {high:.3f})"


def best(runs: list[Timed]) -> Timed:
    return Timed(min(run.clock for run in runs), min(run.cpu for run in runs))


def spread(theirs: list[Timed], ours: list[Timed]) -> str:
    ratios = [a.clock / b.clock for a, b in zip(theirs, ours, strict=True)]
    by_best = best(theirs).clock / best(ours).clock
    return f"{by_best:.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def main() -> None:
    tracks = pl.read_parquet(TRACKS)
    items = tracks.select(title="title", creator="artist", collection="album", genres="genres")
    texts, assembled = timed(partial(item_texts, items))
    judged = judged_tracks(tracks)
    make_encoder("tfidf").fit(texts[:2_000]).encode(texts[:100])  # compiles
    fits: dict[str, list[Timed]] = {"ours": [], "plain": []}
    encodes: dict[str, list[Timed]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS):
        encoder, pipeline = make_encoder("tfidf"), plain_pipeline()
        fits["ours"].append(timed(partial(encoder.fit, texts))[1])
        ours, cost = timed(partial(encoder.encode, texts))
        encodes["ours"].append(cost)
        fits["plain"].append(timed(partial(pipeline.fit, texts))[1])
        plain, cost = timed(partial(pipeline.transform, texts))
        encodes["plain"].append(cost)
    few = [texts[row] for row in judged.row.tolist()]
    sentences, minilm = timed(partial(make_encoder("minilm").encode, few))
    found = {
        "crossfade `tfidf`": agreement(ours[judged.row], judged),
        "scikit-learn pipeline": agreement(plain[judged.row], judged),
        "MiniLM (`minilm`)": agreement(sentences, judged),
    }
    costs = Costs(len(texts), assembled, fits, encodes, minilm)
    TABLE.write_text(page(costs, found, judged), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))


def page(costs: Costs, found: dict[str, Floats], judged: Judged) -> str:
    n, fits, encodes, minilm = costs.n_texts, costs.fits, costs.encodes, costs.minilm
    ours = found["crossfade `tfidf`"]
    rate = n / best(encodes["ours"]).clock
    both = [a.clock + b.clock for a, b in zip(fits["ours"], encodes["ours"], strict=True)]
    lines = [
        "# Text encoders: speed, and what the vectors are worth",
        "",
        f"`python -m benchmarks.text_speed` on {os.cpu_count()} cores. Bar: the built-in encoder encodes at "
        f"least {BAR:,} items/s. It reached {rate:,.0f} items/s, and {n / min(both):,.0f} items/s with the fit "
        "counted in.",
        "",
        f"{n:,} tracks with title, artist, album and genres; {N_DIMS} dimensions; best of {ROUNDS} rounds. "
        "Other work runs on the machine, so processor time stands beside the clock. Making the texts from the "
        f"catalogue takes {costs.assembled.clock:.2f} s once. The fit of crossfade learns n-grams and weights from "
        f"all texts and the directions of the SVD from {TfidfSvdConfig().svd_texts:,} of them; scikit-learn "
        "uses all. MiniLM is measured on the judged tracks only.",
        "",
        "| encoder | fit (s) | fit (CPU s) | encode (s) | encode (CPU s) | items/s |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, key in (("crossfade `tfidf`", "ours"), ("scikit-learn pipeline", "plain")):
        fit, encode = best(fits[key]), best(encodes[key])
        lines.append(
            f"| {name} | {fit.clock:.1f} | {fit.cpu:.1f} | {encode.clock:.2f} | {encode.cpu:.2f} | "
            f"{n / encode.clock:,.0f} |"
        )
    lines += [
        f"| MiniLM (`minilm`) | none | none | {minilm.clock:.1f} | {minilm.cpu:.1f} | "
        f"{N_JUDGED / minilm.clock:,.0f} |",
        "",
        "Times faster than the pipeline (range over rounds): "
        f"fit {spread(fits['plain'], fits['ours'])}, encode {spread(encodes['plain'], encodes['ours'])}.",
        "",
        "## What the vectors are worth",
        "",
        f"{N_JUDGED:,} tracks with at least three Last.fm tags, which no encoder sees: the mean Jaccard index "
        f"between a track's tags and those of its {N_NEIGHBOURS} nearest neighbours by other artists. "
        f"Any two tracks by different artists have {np.nanmean(judged.alike):.4f}. Ratios with 95 % paired "
        "bootstrap intervals over tracks.",
        "",
        "| encoder | agreement | crossfade `tfidf` over it |",
        "| --- | ---: | ---: |",
    ]
    for name, theirs in found.items():
        ratio = "1" if theirs is ours else ratio_interval(ours, theirs)
        lines.append(f"| {name} | {theirs.mean():.4f} | {ratio} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
