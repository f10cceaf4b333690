"""One fit of one recommender and how its lists were judged; the work behind `benchmarks.content`.

Fits run in two processes of one thread each, so the seconds of a fit are seconds of one core
beside a busy neighbour.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ratios import Ratio, paired_ratio
from crossfade.config import load_toml
from crossfade.data import Dataset, load_dataset
from crossfade.data.importing import ImportMapping, import_table
from crossfade.data.splits import Plan, ProtocolConfig, Trial, make_plan
from crossfade.data.splits.trial import new_items_trial
from crossfade.evaluation import EvaluationConfig
from crossfade.evaluation.judge import judge
from crossfade.evaluation.statistics import bootstrap, unit_means
from crossfade.features.text import item_texts, make_encoder
from crossfade.features.text.cache import encode_cached
from crossfade.recommenders.registry import make
from crossfade.rng import generator
from crossfade.types import Bools, Doubles, Ints

ROOT = Path(__file__).parent.parent
SEED = 0
METRICS = ("ndcg@10", "recall@20")
NDCG, RECALL, ANSWERED = range(3)
RESAMPLES = 1_000
PROTOCOLS: dict[str, ProtocolConfig] = {
    "cold items": ProtocolConfig(name="cold-items"),
    "cold items, share": ProtocolConfig(name="cold-items", cold_items="share", cold_share=0.2),
    "time": ProtocolConfig(name="time"),
    "user": ProtocolConfig(name="user"),
    "cold users": ProtocolConfig(
        name="cold-users", cold_history_min=1, cold_history=4, cold_share=0.5
    ),
}
CALIBRATE = "calibrate"
"""Name of the question of the ablation: cold and warm items of the calibrate block by one fit."""


@dataclass(frozen=True)
class Job:
    """One recommender to be fitted for one question on one set."""

    data: str
    question: str
    label: str
    base: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = SEED

    @property
    def key(self) -> tuple[str, str, str]:
        """What its answers are kept under."""
        return self.data, self.question, self.label


@dataclass(frozen=True)
class Answer:
    """How the lists of one fit were judged.

    Attributes:
        values: NDCG@10, recall@20 and answered of each request, shape ``(n, 3)``.
        unit: Whose each request is, shape ``(n,)``.
        length: Events in its history, shape ``(n,)``.
        fit_s: Seconds of the fit on one core.
        about: What the protocol flags.
    """

    values: Doubles
    unit: Ints
    length: Ints
    fit_s: float
    about: tuple[str, ...]

    def per_unit(self, only: Bools | None = None) -> Doubles:
        """Means per user, of some requests only, shape ``(n_units, 3)``; others are left out."""
        values = self.values if only is None else np.where(only[:, None], self.values, np.nan)
        return unit_means(values, self.unit, int(self.unit.max()) + 1)


def import_set(name: str, data: Path, folder: Path) -> None:
    """A public set as the benchmarks read it."""
    mapping = load_toml(ImportMapping, ROOT / "configs" / f"{name}.toml")
    import_table(mapping, folder / name, root=data / name, now=datetime.now(UTC))


@lru_cache
def dataset_of(folder: Path, name: str) -> Dataset:
    return load_dataset(folder / name)


@lru_cache
def plan_of(folder: Path, name: str, question: str) -> Plan:
    return make_plan(dataset_of(folder, name), PROTOCOLS[question], SEED)


def encoding_seconds(folder: Path, name: str, encoder: str) -> tuple[int, float]:
    """Texts of a set, and the seconds to fit and encode them; MiniLM's vectors are kept."""
    texts = item_texts(dataset_of(folder, name).items)
    made = make_encoder(encoder)
    made.encode(["warm-up"]) if encoder == "minilm" else make_encoder(encoder).fit(texts)
    began = time.perf_counter()
    made.fit(texts)
    encode_cached(made, texts, folder / "text" if encoder == "minilm" else None)
    return len(texts), time.perf_counter() - began


def run(folder: Path, job: Job, keep: Path | None = None) -> dict[str, Answer]:
    """Fit and judge, or take what was kept of an earlier run.

    Several answers where several questions share the training events.
    """
    if keep is None:
        return _fitted(folder, job)
    digest = hashlib.sha256(repr(job).encode()).hexdigest()[:12]
    found = {path.stem.partition("-")[2]: _load(path) for path in keep.glob(f"{digest}-*.npz")}
    if not found:
        found = _fitted(folder, job)
        for name, answer in found.items():
            np.savez(keep / f"{digest}-{name}.npz", **vars(answer))
    return found


def _load(path: Path) -> Answer:
    with np.load(path) as kept:
        about = tuple(kept["about"].tolist())
        return Answer(kept["values"], kept["unit"], kept["length"], float(kept["fit_s"]), about)


def _fitted(folder: Path, job: Job) -> dict[str, Answer]:
    settings = dict(job.settings)
    if settings.get("encoder") == "minilm":
        settings["text_cache"] = str(folder / "text")
    trials = _trials(folder, job)
    model = make(job.base, settings, job.label)
    began = time.perf_counter()
    model.fit(next(iter(trials.values())).train, job.seed)
    seconds = time.perf_counter() - began
    asked = "cold items" if job.question == CALIBRATE else job.question
    about = plan_of(folder, job.data, asked).flags
    config = EvaluationConfig(metrics=METRICS)
    return {
        name: Answer(
            values=judge(trial, [model], config).values[:, 0],
            unit=_units(trial),
            length=np.diff(trial.queries.indptr),
            fit_s=seconds,
            about=about,
        )
        for name, trial in trials.items()
    }


def _trials(folder: Path, job: Job) -> dict[str, Trial]:
    if job.question != CALIBRATE:
        return {job.question: plan_of(folder, job.data, job.question).tests[0]}
    cold = plan_of(folder, job.data, "cold items").calibrate
    warm = plan_of(folder, job.data, "time").calibrate
    # The same training events for both, so late items are no part of the warm question.
    assert cold.candidates is not None
    asks = cold.train.queries(warm.queries.user_row, warm.queries.as_of_us)
    wanted = warm.relevant.copy()
    wanted.data[cold.candidates[wanted.indices]] = 0
    asked = new_items_trial("calibrate, warm", cold.train, asks, wanted)
    return {"cold": cold, "warm": replace(asked, candidates=cold.train.known_items(None))}


def _units(trial: Trial) -> Ints:
    users = trial.queries.user_row.astype(np.int64)
    users[users < 0] = -1 - np.arange((users < 0).sum())
    return np.unique(users, return_inverse=True)[1].astype(np.int64)


def ratio(ours: Answer, theirs: Answer, only: Bools | None = None) -> Ratio:
    """NDCG@10 of one model over that of another on the same requests."""
    one, other = (answer.per_unit(only)[:, NDCG] for answer in (ours, theirs))
    return paired_ratio(one, other, "benchmarks.content", RESAMPLES)


def estimate(answer: Answer, metric: int = NDCG) -> str:
    """A mean with its 95 % interval over users."""
    found = bootstrap(
        answer.per_unit()[:, [metric]], generator(SEED, "benchmarks.content"), resamples=RESAMPLES
    )
    return f"{found.mean[0]:.4f} [{found.low[0]:.4f}, {found.high[0]:.4f}]"


def averaged(answers: Sequence[Answer]) -> Answer:
    """The mean of several seeds, request by request."""
    values = np.mean([answer.values for answer in answers], axis=0)
    seconds = float(np.mean([answer.fit_s for answer in answers]))
    return replace(answers[0], values=values, fit_s=seconds)
