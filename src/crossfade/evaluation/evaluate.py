"""`evaluate`: judge models on trials and say how sure the numbers are."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from crossfade.data.splits import Plan, Trial
from crossfade.errors import ConfigError
from crossfade.evaluation.beyond import OVERALL_METRICS
from crossfade.evaluation.compare import compare
from crossfade.evaluation.config import EvaluationConfig, split
from crossfade.evaluation.judge import Answers, Judged, Scorer, judge, units
from crossfade.evaluation.outside import OutsideScores
from crossfade.evaluation.result import SUMMARY_SCHEMA, About, Evaluation
from crossfade.evaluation.sliced import slice_table
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.progress import measured
from crossfade.rng import generator
from crossfade.types import Doubles

TIES_WORTH_A_FLAG = 0.25
"""Share of requests; catalogues are often numbered by fame or age, so ties can leak it."""


def evaluate(
    trials: Sequence[Trial],
    scorers_per_trial: Iterable[Sequence[Scorer]],
    config: EvaluationConfig | None = None,
    *,
    plan: Plan | None = None,
    seed: int = 0,
) -> Evaluation:
    """Judge models on every request of some trials.

    Args:
        trials: Usually ``plan.tests``; all of one data set.
        scorers_per_trial: For each trial the models fitted on its ``train``; the same
            names each time. A generator may fit them one trial at a time.
        config: What is measured.
        plan: Where the trials come from, for the report.
        seed: The run's seed; equal seeds give equal intervals.

    Raises:
        ConfigError: If there is no model, names differ between trials or occur twice, or
            the reference is none of the models.
    """
    config = config if config is not None else EvaluationConfig()
    names: list[tuple[str, ...]] = []
    judged: list[Judged] = []
    outside: list[str] = []
    for trial, scorers in zip(trials, scorers_per_trial, strict=True):
        names.append(tuple(scorer.name for scorer in scorers))
        outside = [scorer.name for scorer in scorers if isinstance(scorer, OutsideScores)]
        _check_names(names, config)
        judged.append(judge(trial, scorers, config))
    unit, n_units = units(trials)
    answers = Answers(
        trials=tuple(trials),
        models=names[0],
        values=np.concatenate([part.values for part in judged]),
        found=tuple(part.found.astype(np.float64) for part in judged),
        exposure=np.sum([part.exposure for part in judged], axis=0),
        unit=unit,
        n_units=n_units,
    )
    about = About.of(answers.trials, plan, seed)
    about = replace(about, flags=(*about.flags, *_warnings(answers, judged, outside)))
    n_models, n_metrics = answers.values.shape[1:]
    per_unit = unit_means(answers.values.reshape(-1, n_models * n_metrics), unit, n_units)
    per_unit = per_unit.reshape(n_units, n_models, n_metrics)
    with measured("intervals and tests"):
        return Evaluation(
            about=about,
            config=config,
            models=answers.models,
            requests=_request_frame(answers, config),
            users=_user_frame(answers, per_unit, config),
            summary=_summary(answers, per_unit, config, seed),
            slices=slice_table(answers, config, seed),
            comparisons=compare(answers.models, per_unit, config, seed),
        )


def _check_names(names: list[tuple[str, ...]], config: EvaluationConfig) -> None:
    first, last = names[0], names[-1]
    if not last:
        raise ConfigError("nothing to evaluate; give at least one recommender")
    if len(set(last)) < len(last):
        twice = sorted({name for name in last if last.count(name) > 1})
        raise ConfigError(f"two models are called {', '.join(twice)}; rename one with Named")
    if first != last:
        raise ConfigError(
            f"the first trial has {', '.join(first)}, a later one {', '.join(last)}; "
            "give each trial the same models"
        )
    if config.reference is not None and config.reference not in last:
        raise ConfigError(
            f'reference "{config.reference}" is none of {", ".join(last)}; name one of them'
        )


def _warnings(answers: Answers, judged: list[Judged], outside: list[str]) -> list[str]:
    flags = []
    if outside:
        flags.append(
            f"scores from files ({', '.join(outside)}): nobody checked what they were trained on"
        )
    silent = ~answers.values[:, :, -1].any(axis=0)
    if silent.any():
        names = ", ".join(np.array(answers.models)[silent])
        flags.append(f"{names}: no request was answered, so 0 is the number of an empty list")
    shares = np.sum([part.n_tied for part in judged], axis=0) / len(answers.values)
    flags += [
        f"{model}: equal scores decide who is listed in {share:.0%} of requests; ties go by item id, "
        "which can carry information"
        for model, share in zip(answers.models, shares, strict=True)
        if share >= TIES_WORTH_A_FLAG
    ]
    return flags


def _request_frame(answers: Answers, config: EvaluationConfig) -> pl.DataFrame:
    sizes = [len(trial.queries) for trial in answers.trials]
    shared = pl.DataFrame(
        {
            "trial": np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            "request": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
            "unit": answers.unit,
            "user_row": np.concatenate([t.queries.user_row for t in answers.trials]),
            "history_length": np.concatenate([np.diff(t.queries.indptr) for t in answers.trials]),
            "n_relevant": np.concatenate([np.diff(t.relevant.indptr) for t in answers.trials]),
        }
    )
    parts = [
        shared.with_columns(
            pl.lit(model).alias("model"),
            *(
                pl.Series(metric, answers.values[:, m, j], dtype=pl.Float32)
                for j, metric in enumerate(config.per_request)
            ),
        )
        for m, model in enumerate(answers.models)
    ]
    return pl.concat(parts).select("model", pl.exclude("model"))


def _user_frame(answers: Answers, per_unit: Doubles, config: EvaluationConfig) -> pl.DataFrame:
    rows = np.full(answers.n_units, -1, dtype=np.int64)
    rows[answers.unit] = np.concatenate([t.queries.user_row for t in answers.trials])
    ids = answers.trials[0].train.user_ids.ids
    shared = pl.DataFrame(
        {
            "unit": np.arange(answers.n_units),
            "user_id": ids.gather(pl.Series(rows).replace(-1, None)).rename("user_id"),
            "n_requests": np.bincount(answers.unit, minlength=answers.n_units),
        }
    )
    parts = [
        shared.with_columns(
            pl.lit(model).alias("model"),
            *(
                pl.Series(metric, per_unit[:, m, j]).fill_nan(None)
                for j, metric in enumerate(config.per_request)
            ),
        )
        for m, model in enumerate(answers.models)
    ]
    return pl.concat(parts).select("model", pl.exclude("model"))


def _summary(
    answers: Answers, per_unit: Doubles, config: EvaluationConfig, seed: int
) -> pl.DataFrame:
    n_units, n_models, n_metrics = per_unit.shape
    estimates = bootstrap(
        per_unit.reshape(n_units, n_models * n_metrics),
        generator(seed, "evaluation.summary"),
        resamples=config.resamples,
        level=config.level,
        kind=config.interval,
    )
    candidates = np.zeros(answers.exposure.shape[2], dtype=np.bool_)
    for trial in answers.trials:
        candidates |= True if trial.candidates is None else trial.candidates
    rows: list[tuple[object, ...]] = []
    for m, model in enumerate(answers.models):
        at = {
            metric: (
                model,
                metric,
                estimates.mean[m * n_metrics + j],
                estimates.low[m * n_metrics + j],
                estimates.high[m * n_metrics + j],
                int(estimates.n[m * n_metrics + j]),
            )
            for j, metric in enumerate(config.per_request)
        }
        for o, metric in enumerate(config.overall):
            value = OVERALL_METRICS[split(metric)[0]](answers.exposure[m, o][candidates])
            at[metric] = (model, metric, value, np.nan, np.nan, n_units)
        rows += [at[metric] for metric in (*config.metrics, "answered")]
    return pl.DataFrame(rows, schema=SUMMARY_SCHEMA, orient="row")
