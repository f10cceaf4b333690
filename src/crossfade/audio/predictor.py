"""`AudioPredictor`: the eight audio features of items that have none, with an honest spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from crossfade.audio import network as net
from crossfade.audio.calibration import Calibration
from crossfade.audio.config import AudioConfig
from crossfade.audio.creators import CreatorMeans
from crossfade.audio.folds import creator_folds
from crossfade.audio.inputs import Inputs, Words, creator_keys
from crossfade.audio.report import AudioReport, judge
from crossfade.config import validate
from crossfade.data.schema import AUDIO_FEATURES
from crossfade.errors import BundleError, DataError, NotFittedError
from crossfade.features.audio import RANGES, AudioFeatures, Source
from crossfade.progress import track
from crossfade.store import Bundle, load_bundle, save_bundle
from crossfade.types import Arrays, Bools, Doubles, Floats, Ints

KIND = "audio_predictor"
_LOW, _HIGH = (np.array(ends, dtype=np.float64) for ends in zip(*RANGES.values(), strict=True))
_MIN_KNOWN_ROWS = 100


@dataclass(frozen=True)
class _Fitted:
    """All that was learned; values are standardised by ``centre`` and ``scale``."""

    words: Words
    creators: CreatorMeans
    centre: Doubles  # (8,), NaN for features that stay missing
    scale: Doubles  # (8,)
    values: Doubles  # (n, 8), sorted training values, for the prior's interval
    networks: tuple[net.AudioNetwork, ...]
    strangers: Calibration  # for items of creators nobody knows
    known: Calibration  # for items of creators with training tracks


class AudioPredictor:
    """Guesses audio features from words, labels, creator, duration and year, and says how surely.

    A few networks per group of creators are trained on all other groups and then guess the
    group they left out. Those guesses, all on creators unseen in training, tell how
    far guesses go wrong: they set the spread and the intervals. What is served is the mean of
    all networks. The guess is made in the feature's own unit, where its error is judged; a
    likelihood in logit space would spend its effort on telling 0.0001 from 0.001.

    Attributes:
        config: How it learns.
        report: How the held-out guesses compare with the truth; None before `fit`.
    """

    def __init__(self, config: AudioConfig | None = None) -> None:
        self.config = config or AudioConfig()
        self.report: AudioReport | None = None
        self._fitted: _Fitted | None = None

    def fit(self, items: pl.DataFrame, seed: int) -> AudioReport:
        """Learn from the items whose features are actual.

        Args:
            items: A catalogue with the columns of ``ITEM_COLUMNS``, any of them absent.
                Features that were guessed before (``<feature>_source``) are not learned from.
            seed: The run's one seed; equal seeds give equal results.

        Returns:
            How guesses on held-out creators compare with the truth; also kept as ``report``.

        Raises:
            DataError: If values are outside their range, or too few creators have any.
        """
        config = self.config
        features = AudioFeatures.from_items(items)
        truth = np.where(features.source == Source.ACTUAL, features.mean, np.nan).astype(np.float64)
        truth[:, _rare(truth, creator_keys(items), config.min_creators)] = np.nan
        rows = np.flatnonzero(~np.isnan(truth).all(axis=1))
        if len(rows) == 0:
            raise DataError(
                f"items: no audio feature is known for tracks of {config.min_creators} creators or more, "
                "too few to learn from; give a catalogue with audio features, or lower min_creators"
            )
        chosen, truth = items[rows], truth[rows]
        centre, scale = _moments(truth)
        target = (truth - centre) / scale
        words = Words.of(chosen, config.min_token_creators)
        inputs = words.inputs(chosen)
        creators = CreatorMeans.of(inputs.creator, target, config.creator_shrinkage)
        table = _table(inputs, creators.numbers(inputs.creator, own=target), target)
        fold = creator_folds(inputs.creator, config.folds, seed)

        networks, guessed = [], _Guesses.empty(target.shape)
        # The kernels are small: with more threads they wait for one another, four times as long.
        with threadpool_limits(1):
            for number in track(range(config.folds), "fit audio"):
                rows, left_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
                names = [
                    f"fit audio, network {number + 1}.{repeat + 1}"
                    for repeat in range(config.networks_per_fold)
                ]
                group = [net.train_network(table, rows, config, seed, name) for name in names]
                guessed.take(group, table, left_out)
                networks += group
        has_others = table.creator[:, -1] > 0
        known = (
            has_others
            if has_others.sum() >= _MIN_KNOWN_ROWS
            else np.ones(len(truth), dtype=np.bool_)
        )
        self._fitted = _Fitted(
            words,
            creators,
            centre,
            scale,
            np.sort(truth, axis=0),
            tuple(networks),
            Calibration.of(target, *guessed.as_strangers),
            Calibration.of(target[known], *(part[known] for part in guessed.as_known)),
        )
        self.report = judge(target, *guessed.as_strangers, fold, scale)
        return self.report

    def predict(self, items: pl.DataFrame) -> AudioFeatures:
        """A guess for every feature of every item, also where the catalogue knows it.

        An item about which nothing useful is known gets the training mean and spread as its
        prior. A feature without training values stays missing.

        Args:
            items: As for `fit`; features among the columns are not looked at.

        Raises:
            NotFittedError: Before `fit` or `load`.
        """
        fitted = self._ready()
        mean, sigma, source = self._guess(fitted, items)
        missing = np.isnan(fitted.centre)
        real = np.clip(fitted.centre + fitted.scale * mean, _LOW, _HIGH)
        spread = fitted.scale * sigma
        real[:, missing] = spread[:, missing] = np.nan
        sources = np.repeat(source[:, None], len(missing), axis=1)
        sources[:, missing] = Source.MISSING
        return AudioFeatures(real.astype(np.float32), spread.astype(np.float32), sources)

    def interval(self, items: pl.DataFrame, level: float = 0.9) -> tuple[Floats, Floats]:
        """Where each feature lies with probability ``level``, low and high, both ``(n, 8)``.

        Split-conformal: holds on average over tracks of creators drawn like those of training,
        whatever the network is worth. NaN where a feature stays missing.

        Raises:
            ValueError: If the level is not between 0 and 1.
            NotFittedError: Before `fit` or `load`.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {level}")
        fitted = self._ready()
        mean, sigma, source = self._guess(fitted, items)
        known = self._known_creator(fitted, items)
        low, high = np.empty_like(mean), np.empty_like(mean)
        for group, calibration in ((~known, fitted.strangers), (known, fitted.known)):
            down, up = calibration.bounds(level)
            low[group], high[group] = (mean[group] + end * sigma[group] for end in (down, up))
        low, high = (fitted.centre + fitted.scale * end for end in (low, high))
        prior = source == Source.PRIOR
        tails = np.full((2, len(AUDIO_FEATURES)), np.nan)
        has = ~np.isnan(fitted.centre)
        tails[:, has] = np.nanquantile(
            fitted.values[:, has], ((1 - level) / 2, (1 + level) / 2), axis=0
        )
        low[prior], high[prior] = tails
        ends = (np.clip(end, _LOW, _HIGH).astype(np.float32) for end in (low, high))
        low32, high32 = ends
        return low32, high32

    def features(self, items: pl.DataFrame) -> AudioFeatures:
        """Actual values where the catalogue has them, guesses everywhere else.

        Raises:
            DataError: If values of the catalogue are outside their range.
            NotFittedError: Before `fit` or `load`.
        """
        said, guess = AudioFeatures.from_items(items), self.predict(items)
        actual = said.source == Source.ACTUAL
        return AudioFeatures(
            np.where(actual, said.mean, guess.mean),
            np.where(actual, said.sigma, guess.sigma),
            np.where(actual, said.source, guess.source),
        )

    def complete(self, items: pl.DataFrame) -> pl.DataFrame:
        """The catalogue with `features` as ``<feature>``, ``<feature>_sigma``, ``<feature>_source``."""
        return self.features(items).to_items(items)

    def save(self, directory: Path) -> str:
        """Write everything to a bundle and return its version id.

        Raises:
            NotFittedError: Before `fit` or `load`.
            BundleError: If the place holds something else or the disk refuses.
        """
        fitted = self._ready()
        arrays: dict[str, Arrays] = {
            "words": fitted.words.to_arrays(),
            "creators": fitted.creators.to_arrays(),
            "values": {
                "centre": fitted.centre,
                "scale": fitted.scale,
                "sorted": fitted.values.astype(np.float32),
            },
            "calibration": {
                **fitted.strangers.to_arrays("strangers"),
                **fitted.known.to_arrays("known"),
            },
        }
        for number, network in enumerate(fitted.networks):
            arrays[f"network_{number}"] = net.to_arrays(network)
        header: dict[str, Any] = {
            "model": KIND,
            "config": self.config.model_dump(mode="json"),
            "report": self.report.to_json() if self.report is not None else None,
        }
        return save_bundle(Bundle(header, arrays, {}), directory)

    @classmethod
    def load(cls, directory: Path) -> "AudioPredictor":
        """Read a saved predictor.

        Raises:
            BundleError: If it is missing, damaged, or holds another model.
        """
        bundle = load_bundle(directory)
        if bundle.header.get("model") != KIND:
            raise BundleError(
                f"{directory}: holds no audio predictor; give the directory of `crossfade audio fit`"
            )
        try:
            config = validate(AudioConfig, bundle.header["config"], str(directory))
            predictor = cls(config)
            predictor._fitted = _read(bundle, config)
            predictor.report = AudioReport.from_json(bundle.header["report"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise BundleError(f"{directory}: damaged ({error}); fit it again") from None
        return predictor

    def _ready(self) -> _Fitted:
        if self._fitted is None:
            raise NotFittedError(
                "the audio predictor has learned nothing yet; call fit(items, seed) or load one"
            )
        return self._fitted

    @staticmethod
    def _known_creator(fitted: _Fitted, items: pl.DataFrame) -> Bools:
        return np.asarray(fitted.creators.numbers(creator_keys(items))[:, -1] > 0)

    def _guess(
        self, fitted: _Fitted, items: pl.DataFrame
    ) -> tuple[Doubles, Doubles, np.ndarray[tuple[int], np.dtype[np.int8]]]:
        """Calibrated standardised mean and spread ``(n, 8)``, and where each row's come from."""
        inputs = fitted.words.inputs(items)
        numbers = fitted.creators.numbers(inputs.creator)
        table = _table(inputs, numbers, np.full((items.height, len(AUDIO_FEATURES)), np.nan))
        rows = np.arange(items.height)
        with threadpool_limits(1):  # as in training
            mean, sigma = _together(fitted.networks, table, rows)
        known = numbers[:, -1] > 0
        for group, calibration in ((~known, fitted.strangers), (known, fitted.known)):
            mean[group], sigma[group] = calibration.apply(mean[group], sigma[group])
        nothing = ~inputs.informed & ~known
        mean[nothing], sigma[nothing] = 0.0, 1.0
        source = np.where(nothing, np.int8(Source.PRIOR), np.int8(Source.PREDICTED))
        return mean, sigma, source


class _Guesses:
    """Guesses on held-out items, as if nobody knew their creator, and with the creator's other tracks."""

    def __init__(
        self, as_strangers: tuple[Doubles, Doubles], as_known: tuple[Doubles, Doubles]
    ) -> None:
        self.as_strangers, self.as_known = as_strangers, as_known

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "_Guesses":
        return cls((np.zeros(shape), np.ones(shape)), (np.zeros(shape), np.ones(shape)))

    def take(self, networks: Sequence[net.AudioNetwork], table: net.Table, rows: Ints) -> None:
        blind = net.Table(table.tokens, table.numbers, np.zeros_like(table.creator), table.target)
        for kept, seen in ((self.as_strangers, blind), (self.as_known, table)):
            kept[0][rows], kept[1][rows] = _together(networks, seen, rows)


def _together(
    networks: Sequence[net.AudioNetwork], table: net.Table, rows: Ints
) -> tuple[Doubles, Doubles]:
    """Mean of some networks' guesses, and the root of their mean variance, both ``(n, 8)``."""
    parts = [net.predict(network, table, rows) for network in networks]
    means, sigmas = (np.array(part) for part in zip(*parts, strict=True))
    return means.mean(axis=0), np.sqrt(np.square(sigmas).mean(axis=0))


def _table(inputs: Inputs, creator: Floats, target: Doubles) -> net.Table:
    return net.Table(inputs.tokens, inputs.numbers, creator, target.astype(np.float32))


def _rare(truth: Doubles, creator: pl.Series, min_creators: int) -> Bools:
    """Features that tracks of too few creators have, shape ``(8,)``; the nameless are one each."""
    counts = []
    for column in range(truth.shape[1]):
        having = creator.filter(pl.Series(~np.isnan(truth[:, column])))
        counts.append(having.drop_nulls().n_unique() + having.null_count())
    return np.array(counts) < min_creators


def _moments(truth: Doubles) -> tuple[Doubles, Doubles]:
    """Mean and spread of each feature: NaN and 1 where it has no values, spread 1 where it is constant."""
    centre, scale = np.full(truth.shape[1], np.nan), np.ones(truth.shape[1])
    has = ~np.isnan(truth).all(axis=0)
    centre[has] = np.nanmean(truth[:, has], axis=0)
    spread = np.nanstd(truth[:, has], axis=0)
    scale[has] = np.where(spread > 1e-6, spread, 1.0)
    return centre, scale


def _read(bundle: Bundle, config: AudioConfig) -> _Fitted:
    values, calibration = bundle.arrays["values"], bundle.arrays["calibration"]
    networks = tuple(
        net.from_arrays(bundle.arrays[f"network_{number}"], config)
        for number in range(config.folds * config.networks_per_fold)
    )
    return _Fitted(
        Words.from_arrays(bundle.arrays["words"]),
        CreatorMeans.from_arrays(bundle.arrays["creators"], config.creator_shrinkage),
        values["centre"].astype(np.float64),
        values["scale"].astype(np.float64),
        values["sorted"].astype(np.float64),
        networks,
        Calibration.from_arrays("strangers", calibration),
        Calibration.from_arrays("known", calibration),
    )
