"""Learning to blend somebody else's scores from the people whose outcomes are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfade.errors import ConfigError, DataError
from crossfade.fusion.base import Fusion, FusionModel, LabelledSignals
from crossfade.fusion.registry import FUSIONS, make_fusion
from crossfade.fusion.static import StaticBlend, list_ndcg
from crossfade.meta.blending import BlendConfig
from crossfade.meta.outside import OutsideLists
from crossfade.progress import task
from crossfade.rng import generator
from crossfade.types import Doubles, Ints

CONTEXT_FREE = (
    "static",
    "rrf",
    "combsum",
    "confidence_weighted",
    "learned_weights",
    "ridge",
)
"""Fusion models that need nothing but scores."""

SHARES = (0.5, 0.25, 0.25)
"""Of the people who teach, calibrate, and are held out."""

MAX_VALUES = 200_000_000
"""Numbers of signals held at once; 800 MB."""

BATCH_VALUES = 20_000_000


@dataclass(frozen=True, eq=False)
class Split:
    """Requests with an outcome, divided by person.

    Attributes:
        train: To learn from.
        calibrate: For the do-no-harm test.
        test: Held out for the report.
    """

    train: Ints
    calibrate: Ints
    test: Ints


@dataclass(frozen=True, eq=False)
class OutsideBlend:
    """What was learned.

    Attributes:
        fusion: Name of the fusion model that was asked for.
        models: Fitted fusion models by name; none where there was too little to learn from.
        best_base: Best single base on the training requests.
        calibrate_blend: NDCG of the fusion model on the calibrate requests; NaN without one.
        calibrate_base: NDCG of ``best_base`` there.
        serves: Name of what answers: the fusion model, or the best base where that did better.
        server: The same as a model.
        split: Who taught.
        notes: What a reader should know.
    """

    fusion: str
    models: dict[str, FusionModel[Any]]
    best_base: str
    calibrate_blend: float
    calibrate_base: float
    serves: str
    server: Fusion
    split: Split
    notes: tuple[str, ...]


def learn_outside(
    lists: OutsideLists,
    config: BlendConfig,
    compare: Sequence[str] = (),
    shares: tuple[float, float, float] = SHARES,
    seed: int = 0,
) -> OutsideBlend:
    """Fit fusion models on some people's outcomes, and let the chosen one prove itself on others'.

    It serves where it is at least as good as the best base on the calibrate requests, and
    there are enough of them; otherwise that base serves alone.

    Args:
        lists: The scores and outcomes.
        config: Which fusion model serves, its settings, and how many requests are enough.
        compare: More fusion models to fit; those that need context are left out where there is none.
        shares: Of the people with an outcome: to learn from, to calibrate, held out.
        seed: The run's one seed.

    Raises:
        ConfigError: If a base is called as a fusion model is, or settings are wrong.
        DataError: If the chosen model needs context and there is none.
    """
    _check_names(lists, config.fusion)
    names = list(dict.fromkeys((config.fusion, *compare)))
    if lists.context is None:
        names = [name for name in names if name == "auto" or name in CONTEXT_FREE]
    made = {name: make_fusion(name, _settings(name, config, lists)) for name in names}
    split = split_people(lists, shares, seed)
    train, notes = _part(lists, split.train, config, seed, "train")
    calibrate, more = _part(lists, split.calibrate, config, seed, "calibrate")
    best = int(np.argmax([_mean(alone(lists, s), train, config) for s in range(len(lists.bases))]))
    lonely = alone(lists, best)
    base_ndcg, blend_ndcg = _mean(lonely, calibrate, config), float("nan")
    n_fewest = min(len(train), len(calibrate))
    models: dict[str, FusionModel[Any]] = {}
    if n_fewest < config.min_requests:
        more += [
            f"too few requests with an outcome to learn from ({n_fewest}; {config.min_requests} needed)"
        ]
    elif not (train.relevant.any() and calibrate.relevant.any()):
        more += ["nothing that anybody wanted is on a list, so there is nothing to learn"]
    else:
        for name, model in made.items():
            with task(f"learn {name} from {len(train):,} lists"):
                models[name] = model.fit(train, calibrate, seed)
        blend_ndcg = _mean(models[config.fusion], calibrate, config)
    serves = blend_ndcg >= base_ndcg
    return OutsideBlend(
        fusion=config.fusion,
        models=models,
        best_base=lists.bases[best],
        calibrate_blend=blend_ndcg,
        calibrate_base=base_ndcg,
        serves=config.fusion if serves else lists.bases[best],
        server=models[config.fusion] if serves else lonely,
        split=split,
        notes=(*lists.notes, *notes, *more),
    )


def split_people(
    lists: OutsideLists, shares: tuple[float, float, float] = SHARES, seed: int = 0
) -> Split:
    """Requests with an outcome, such that nobody is in two parts; each part has somebody where three can.

    Args:
        lists: The requests.
        shares: Of the people.
        seed: Who goes where.

    Raises:
        ConfigError: If the shares are not above 0 or do not sum to 1.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"shares must be above 0 and sum to 1, got {shares}")
    asking = np.flatnonzero(lists.n_relevant > 0)
    people = np.unique(lists.user_row[asking])
    people = people[generator(seed, "outside.split").permutation(len(people))]
    n = len(people)
    first = min(max(1, round(shares[0] * n)), max(1, n - 2))
    second = min(max(1, round(shares[1] * n)), max(0, n - first - 1))
    parts = np.split(people, [first, first + second])
    train, calibrate, test = (asking[np.isin(lists.user_row[asking], part)] for part in parts)
    return Split(train, calibrate, test)


def batches(lists: OutsideLists, asked: Ints) -> Iterator[Ints]:
    """Pieces of some requests whose signals fit into memory."""
    widest = int(lists.n_candidates[asked].max(initial=1))
    size = max(1, BATCH_VALUES // (widest * _values(lists)))
    for start in range(0, len(asked), size):
        yield asked[start : start + size]


def alone(lists: OutsideLists, base: int) -> StaticBlend:
    """One base as a blend."""
    return StaticBlend(np.eye(len(lists.bases), dtype=np.float32)[base])


def ndcg(fusion: Fusion, labelled: LabelledSignals, depth: int) -> Doubles:
    """Of each request, shape ``(B,)``."""
    score = fusion.forward(labelled.signals).score
    return list_ndcg(score, labelled.relevant, labelled.n_relevant, depth)


def _mean(fusion: Fusion, labelled: LabelledSignals, config: BlendConfig) -> float:
    if not len(labelled):
        return float("nan")
    return float(ndcg(fusion, labelled, config.depth).mean())


def _values(lists: OutsideLists) -> int:
    """Numbers of one candidate."""
    context = 0 if lists.context is None else len(lists.context.item_columns)
    return 2 * len(lists.bases) + context


def _part(
    lists: OutsideLists, asked: Ints, config: BlendConfig, seed: int, name: str
) -> tuple[LabelledSignals, list[str]]:
    """Signals of a part, sampled where there is too much of it."""
    widest = max(1, int(lists.n_candidates[asked].max(initial=1)))
    n_most = max(1, min(config.max_requests, MAX_VALUES // (widest * _values(lists))))
    if len(asked) <= n_most:
        return lists.labelled(asked), []
    drawn = generator(seed, f"outside.{name}").choice(asked, n_most, replace=False)
    note = f"{n_most:,} of {len(asked):,} requests are looked at to {name}"
    return lists.labelled(np.sort(drawn)), [note]


def _settings(name: str, config: BlendConfig, lists: OutsideLists) -> dict[str, Any]:
    settings = dict(config.fusion_settings.get(name, {}))
    if name == "auto" and lists.context is None:
        settings.setdefault("candidates", CONTEXT_FREE)
    return settings


def _check_names(lists: OutsideLists, fusion: str) -> None:
    for base in lists.bases:
        if base in FUSIONS:
            raise ConfigError(f'base "{base}": a fusion model is called so; rename the base')
    if lists.context is None and fusion != "auto" and fusion not in CONTEXT_FREE:
        raise DataError(
            f"{fusion} needs context, and nothing is known from before the scores; say when they were made "
            "(--as-of, or a column timestamp) and give earlier events too, or choose from auto, "
            f"{', '.join(CONTEXT_FREE)}"
        )
