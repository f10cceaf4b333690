"""The table of slices: every model on every part of the requests and wanted items."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from crossfade.evaluation.compare import best_other
from crossfade.evaluation.config import EvaluationConfig
from crossfade.evaluation.judge import Answers
from crossfade.evaluation.result import SLICE_SCHEMA
from crossfade.evaluation.slices import pair_families, request_families, restricted_recall
from crossfade.evaluation.statistics import intervals, resampled_means, unit_means
from crossfade.rng import generator
from crossfade.types import Csr, Doubles, Ints


@dataclass(frozen=True)
class _Slice:
    family: str
    label: str
    metrics: tuple[str, ...]
    leading: str
    values: Doubles
    """One row per user, shape ``(n_users, n_models, n_metrics)``."""


def slice_table(answers: Answers, config: EvaluationConfig, seed: int) -> pl.DataFrame:
    """All slices that anybody falls into, in printing order.

    Returns:
        The columns of `SLICE_SCHEMA`.
    """
    slices = [*_request_slices(answers, config), *_pair_slices(answers, config)]
    rows = [row for part in slices for row in _rows(part, answers.models, config, seed)]
    return pl.DataFrame(rows, schema=SLICE_SCHEMA, orient="row")


def _request_slices(answers: Answers, config: EvaluationConfig) -> list[_Slice]:
    slices = []
    for parts in zip(*(request_families(trial, config) for trial in answers.trials), strict=True):
        code = np.concatenate([part.code for part in parts])
        for c, label in enumerate(parts[0].labels):
            inside = code == c
            if inside.any():
                slices.append(
                    _Slice(
                        parts[0].name,
                        label,
                        config.per_request,
                        config.primary,
                        _per_unit(answers.values[inside], answers.unit[inside]),
                    )
                )
    return slices


def _pair_slices(answers: Answers, config: EvaluationConfig) -> list[_Slice]:
    metric = f"recall@{config.slice_recall_k}"
    wanted = [_sorted(trial.relevant) for trial in answers.trials]
    families = [pair_families(t, r, config) for t, r in zip(answers.trials, wanted, strict=True)]
    slices = []
    for parts in zip(*families, strict=True):
        recalls = [
            restricted_recall(f, r, part)
            for f, r, part in zip(answers.found, wanted, parts, strict=True)
        ]
        recall = np.concatenate(recalls)
        for c, label in enumerate(parts[0].labels):
            inside = ~np.isnan(recall[:, c, 0])
            if inside.any():
                per_unit = _per_unit(recall[inside, c, :, None], answers.unit[inside])
                slices.append(_Slice(parts[0].name, label, (metric,), metric, per_unit))
    return slices


def _rows(
    part: _Slice, models: tuple[str, ...], config: EvaluationConfig, seed: int
) -> list[tuple[object, ...]]:
    n, n_models, n_metrics = part.values.shape
    flat = part.values.reshape(n, n_models * n_metrics)
    # A stream per slice: one slice more or less leaves the others' numbers alone.
    rng = generator(seed, f"evaluation.slice.{part.family}.{part.label}")
    draws = resampled_means(flat, config.resamples, rng)
    estimates = intervals(flat, draws, config.level, config.interval)
    leading = np.arange(n_models) * n_metrics + part.metrics.index(part.leading)
    rows: list[tuple[object, ...]] = []
    for m, model in enumerate(models):
        for j, metric in enumerate(part.metrics):
            c = m * n_metrics + j
            versus: tuple[object, ...] = (None, None, None, None)
            if n_models > 1 and metric == part.leading:
                other = best_other(estimates.mean[leading], m)
                columns = ([c], [int(leading[other])])
                difference = intervals(
                    flat[:, columns[0]] - flat[:, columns[1]],
                    draws[:, columns[0]] - draws[:, columns[1]],
                    config.level,
                    config.interval,
                )
                versus = (
                    models[other],
                    difference.mean[0],
                    difference.low[0],
                    difference.high[0],
                )
            bounds = (estimates.mean[c], estimates.low[c], estimates.high[c], int(estimates.n[c]))
            rows.append((part.family, part.label, model, metric, *bounds, *versus))
    return rows


def _per_unit(values: Doubles, unit: Ints) -> Doubles:
    """Mean per user among some requests, shape ``(n_users there, n_models, n_metrics)``."""
    present, place = np.unique(unit, return_inverse=True)
    n_models, n_metrics = values.shape[1:]
    means = unit_means(values.reshape(len(values), -1), place.astype(np.int64), len(present))
    return means.reshape(len(present), n_models, n_metrics)


def _sorted(relevant: Csr) -> Csr:
    out = Csr(relevant)
    out.sort_indices()
    return out
