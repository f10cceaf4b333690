"""`monitor`: one report on a stretch of time."""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from crossfade.errors import ConfigError, StoreError
from crossfade.hybrid import HybridModel
from crossfade.monitoring.adaptation import adaptation
from crossfade.monitoring.alerts import Alert, broken
from crossfade.monitoring.config import MonitorConfig
from crossfade.monitoring.embedding import neighbour_overlap
from crossfade.monitoring.facts import Facts
from crossfade.monitoring.inputs import drift, normalisation, pooled, samples
from crossfade.monitoring.losses import Concept, follow
from crossfade.monitoring.means import means
from crossfade.monitoring.measure import Measure, mean_over_people
from crossfade.monitoring.outcomes import candidate_recall, outcomes
from crossfade.monitoring.reference import reference_windows
from crossfade.monitoring.traffic import traffic
from crossfade.monitoring.usual import with_usual
from crossfade.monitoring.window import Lists, People, Window, acts_of, lists_of
from crossfade.online import Ask, LiveSystem, as_event
from crossfade.rng import generator
from crossfade.store.log import Impression, Log

MIN_EARLIER = 3
"""Reports of a version before anything is called usual for outcomes."""


class MonitorReport(BaseModel):
    """What a version met and did in a stretch of time; nobody is named in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    since_us: int
    until_us: int
    n_lists: int
    """Lists that were shown."""
    n_looked_at: int
    """Of these, the ones that the measures rest on."""
    n_with_features: int
    n_people: int
    n_events: int
    methods: dict[str, int]
    """Lists by what answered."""
    measures: tuple[Measure, ...]
    missing: dict[str, str]
    """What could not be measured, and why."""
    alerts: tuple[Alert, ...]
    concept: Concept | None = None
    """Losses by day; None in reports from before these were told."""

    @classmethod
    def read(cls, text: str) -> Self:
        """From JSON, as it was stored.

        Raises:
            StoreError: If it is none.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise StoreError(
                f"a stored monitoring report cannot be read ({error.error_count()} faults); store a new one"
            ) from None


def monitor(
    log: Log,
    model: HybridModel,
    since_us: int,
    until_us: int,
    *,
    config: MonitorConfig | None = None,
    previous: HybridModel | None = None,
    seed: int = 0,
) -> MonitorReport:
    """Compare what a version met and did with what was usual at the end of its own log.

    Args:
        log: What was shown and done.
        model: The version.
        since_us: Beginning of the stretch, microseconds since 1970.
        until_us: Its end, which is not in it; outcomes are known up to here.
        config: Settings; the defaults if None.
        previous: The version before, for the neighbours of items; None leaves them out.
        seed: Of samples and intervals.

    Raises:
        ConfigError: If the stretch is empty.
        StoreError: If the log cannot be read.
    """
    if until_us <= since_us:
        raise ConfigError(f"the stretch ends at {until_us}, before {since_us}; give a later end")
    config = config or MonitorConfig()
    facts, live = Facts.of(model), LiveSystem(model)
    people = People()
    shown = log.monitoring.impressions(model.version, since_us, until_us, config.max_lists)
    events = [one.event for one in log.monitoring.events(since_us, until_us)]
    lists = lists_of(shown, model.dataset, facts.labels, people)
    acts = acts_of(events, model.dataset, people)
    now = Window(lists, acts, since_us)
    usual = reference_windows(
        live,
        facts,
        length_us=until_us - since_us,
        n=config.reference_windows,
        n_lists=config.reference_lists,
        rng=generator(seed, "monitoring.reference"),
    )
    earlier = [
        MonitorReport.read(one.report).measures
        for one in log.monitoring.reports(model.version)
        if one.time_us < until_us
    ]
    compared, each = _compared(now, usual, facts, config, seed)
    came = _outcomes(now, until_us, live, _asks(log, shown), facts=facts, config=config, seed=seed)
    came += traffic(log.traffic.between(since_us, until_us))
    concept, loss, change = follow(log, facts, since_us, until_us, config=config, seed=seed)
    came += loss
    if previous is not None:
        came += _overlap(previous, model, config, generator(seed, "monitoring.overlap"))
    judged = {rule.measure for rule in config.rules}
    n_judged = sum(one.name in judged for one in (*compared, *came))
    share = config.false_alarms / max(2, n_judged)
    # A version has seen the outcomes in its own log, so what is usual for them was measured since.
    since = earlier if len(earlier) >= MIN_EARLIER else []
    # A change is none the less one for having been told before: nothing is usual for it.
    measures = [*with_usual(compared, each, share), *with_usual(came, since, share), *change]
    methods = log.monitoring.methods(model.version, since_us, until_us)
    return MonitorReport(
        version=model.version,
        since_us=since_us,
        until_us=until_us,
        n_lists=sum(methods.values()),
        n_looked_at=len(lists),
        n_with_features=int(lists.told.sum()),
        n_people=len(np.unique(np.concatenate([lists.person, acts.person]))),
        n_events=len(acts),
        methods=methods,
        measures=tuple(measures),
        missing=_missing(measures, lists, facts, usual, previous),
        alerts=tuple(broken(measures, config.rules, earlier)),
        concept=concept,
    )


def _compared(
    now: Window, usual: Sequence[Window], facts: Facts, config: MonitorConfig, seed: int
) -> tuple[list[Measure], list[list[Measure]]]:
    """What is measured of any stretch, of this one and of each that says what is usual."""
    rng = generator(seed, "monitoring.means")
    mine, theirs = samples(now, facts), [samples(one, facts) for one in usual]
    found = means(now, facts, rng=rng, resamples=config.resamples)
    each = [means(one, facts, rng, 1) for one in usual]
    if theirs:
        pool = pooled(theirs)
        found += drift(mine, pool) + normalisation(mine, pool)
    if len(theirs) > 1:
        for at, own in enumerate(theirs):
            rest = pooled([*theirs[:at], *theirs[at + 1 :]])
            each[at] += drift(own, rest) + normalisation(own, rest)
    return found, each


def _outcomes(
    now: Window,
    until_us: int,
    live: LiveSystem,
    asks: Callable[[int], Ask],
    *,
    facts: Facts,
    config: MonitorConfig,
    seed: int,
) -> list[Measure]:
    """What came of lists, and what their candidates held."""
    horizon_us = config.horizon_us
    days = facts.calibrated_days
    blocks = None if days is None else config.attribution_hours / 24 / days
    rng = generator(seed, "monitoring.outcomes")
    came = (now, until_us, horizon_us)
    found = outcomes(*came, blocks=blocks, rng=rng, resamples=config.resamples)
    ids = live.model.dataset.item_ids

    def proposed(at: int, rows: Sequence[int]) -> list[bool | None]:
        return live.proposes(asks(at), [ids.id(row) for row in rows])

    found += candidate_recall(
        *came, proposed, most=config.recall_lists, rng=rng, resamples=config.resamples
    )
    found += adaptation(*came, rng=rng, resamples=config.resamples)
    return [one for one in found if one.n]


def _asks(log: Log, shown: Sequence[Impression]) -> Callable[[int], Ask]:
    """What led to an impression, by its place: the events are read again."""

    def ask(at: int) -> Ask:
        one = shown[at]
        who = {"session_id": one.session_id} if one.user_id is None else {"user_id": one.user_id}
        events = [as_event(stored.event) for stored in log.events_of(**who)]
        return Ask(one.user_id, events, now_us=one.time_us)

    return ask


def _overlap(
    before: HybridModel, after: HybridModel, config: MonitorConfig, rng: np.random.Generator
) -> list[Measure]:
    """Of each base with vectors that both versions have, over the items that both know."""
    rows = before.dataset.item_ids.rows(after.dataset.item_ids.ids)
    both = np.flatnonzero(rows >= 0)
    sampled = np.sort(rng.permutation(len(both))[: config.overlap_items])
    found = []
    for label, base in after.bases.items():
        old = before.bases[label].embeddings() if label in before.bases else None
        new = base.embeddings()
        if old is None or new is None:
            continue
        overlap = neighbour_overlap(
            old.item[rows[both]], new.item[both], sampled, config.neighbours
        )
        name = ("neighbour_overlap", label)
        found.append(mean_over_people(*name, overlap, sampled, rng=rng, resamples=config.resamples))
    return found


def _missing(
    measures: Sequence[Measure],
    lists: Lists,
    facts: Facts,
    usual: Sequence[Window],
    previous: HybridModel | None,
) -> dict[str, str]:
    """Why something is not there."""
    there = {one.name for one in measures}
    missing = {}
    if "adaptation_gain" not in there:
        missing["adaptation_gain"] = (
            "no list with and none without adaptation is old enough to be compared; see adapt_held_back"
            if "adapted" in there
            else "nobody's reactions changed a list; see adapt of the service"
        )
    if not usual:
        missing["usual"] = "the log of the version is too short, or has no times"
    if not len(lists):
        missing["lists"] = "this version showed no list in this time"
    elif not lists.told.any():
        missing["features"] = "no list was kept with its features; see keep_features of the service"
    if "hit" not in there:
        missing["outcomes"] = "no list is old enough to have an outcome; see attribution_hours"
    elif "calibration_error" not in there:
        missing["calibration_error"] = "no list came with probabilities"
    elif "candidate_recall" not in there:
        missing["candidate_recall"] = "nothing was wanted after a list"
    if "hit" in there and "loss" not in there:
        missing["loss"] = "nothing was wanted after a list that it could have held"
    if "requests" not in there:
        missing["requests"] = "no service on this database counted a request in this time"
    if facts.audio_confidence is None:
        missing["audio_confidence"] = "the catalogue has no audio features"
    if "neighbour_overlap" not in there:
        missing["neighbour_overlap"] = (
            "there is no version to compare with"
            if previous is None
            else "no base of both versions has item vectors"
        )
    return missing
