"""Which model is better, by how much, and could it be luck."""

import numpy as np
import polars as pl

from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.result import COMPARISON_SCHEMA
from crossfade.evaluation.statistics import bootstrap, holm, randomisation_test
from crossfade.rng import generator
from crossfade.types import Doubles

REFERENCES = ("popularity", "genre_popularity")
"""Models to compare with where no reference is set: the first that answers anything."""

BEST_OTHER, REFERENCE = "best other", "reference"


def compare(
    models: tuple[str, ...], per_unit: Doubles, config: EvaluationConfig, seed: int
) -> pl.DataFrame:
    """Paired comparisons on the primary metric.

    Every model is set against the best other model and against the reference. The p
    values are corrected together, each pair of models counted once.

    Args:
        models: Names.
        per_unit: One row per user, shape ``(n_users, n_models, n_metrics)``.
        config: Names the metric and the reference.
        seed: The run's seed.

    Returns:
        The columns of `COMPARISON_SCHEMA`; no row where there is one model only.
    """
    values = per_unit[:, :, config.per_request.index(config.primary)]
    n_answered = np.nansum(per_unit[:, :, config.per_request.index("answered")], axis=0)
    values = values[~np.isnan(values).any(axis=1)]
    pairs = _pairs(models, values, n_answered, config)
    unique = list(dict.fromkeys(tuple(sorted((a, b))) for a, b, _ in pairs))
    if not unique:
        return pl.DataFrame(schema=COMPARISON_SCHEMA)
    differences = np.stack([values[:, a] - values[:, b] for a, b in unique], axis=1)
    p = randomisation_test(differences, config.flips, generator(seed, "evaluation.flips"))
    estimates = bootstrap(
        differences,
        generator(seed, "evaluation.compare"),
        resamples=config.resamples,
        level=config.level,
        kind=config.interval,
    )
    p_holm = holm(p)
    rows = []
    for a, b, against in pairs:
        c = unique.index((min(a, b), max(a, b)))
        bounds = (estimates.low[c], estimates.high[c])
        # Each pair is estimated once; seen from the other side the interval turns over.
        low, high = bounds if a < b else (-bounds[1], -bounds[0])
        rows.append(
            (
                models[a],
                models[b],
                against,
                config.primary,
                estimates.mean[c] if a < b else -estimates.mean[c],
                low,
                high,
                p[c],
                p_holm[c],
                int(estimates.n[c]),
            )
        )
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA, orient="row")


def best_other(means: Doubles, model: int) -> int:
    """The model with the highest mean among the others; the first of equals."""
    others = np.where(np.isnan(means), -np.inf, means)
    others[model] = -np.inf
    candidates = np.delete(np.arange(len(means)), model)
    return int(candidates[np.argmax(others[candidates])])


def _pairs(
    models: tuple[str, ...], values: Doubles, n_answered: Doubles, config: EvaluationConfig
) -> list[tuple[int, int, str]]:
    if len(models) < 2 or len(values) == 0:
        return []
    means = values.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    pairs = [(int(a), best_other(means, int(a)), BEST_OTHER) for a in order]
    name = config.reference
    if name is None:
        # Popularity has no list of items nobody played: being above its 0 says nothing.
        name = next(
            (n for n in REFERENCES if n in models and n_answered[models.index(n)] > 0), None
        )
    if name is not None:
        reference = models.index(name)
        pairs += [(int(a), reference, REFERENCE) for a in order if a != reference]
    return pairs
