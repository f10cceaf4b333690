"""From a person's reactions to a head, one reaction at a time: test on it first, then learn it.

Shapes: one moment with L candidates, S bases.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log2

import numpy as np

from crossfade.fusion.tilting import OneScale, one_scale
from crossfade.hybrid import HybridModel
from crossfade.meta.blending import Blend
from crossfade.online.asks import Adaptation, Ask, Event, Outcome
from crossfade.online.heads import Head, HeadConfig
from crossfade.online.history import NEVER, strengths
from crossfade.online.requests import LiveRequest, LiveRequests
from crossfade.types import Doubles

HALVINGS = 8
"""Times that a step is halved before it is given up."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One reaction among the candidates there were just before it.

    Attributes:
        said: By each base, ``(L, S)``; see `OneScale`.
        score: Blended, ``(L,)``, in log-odds; L is 2 or more.
        place: Of the item that was reacted to.
        wanted: Whether the reaction was a good one.
    """

    said: Doubles
    score: Doubles
    place: int
    wanted: bool

    @classmethod
    def of(cls, scale: OneScale, place: int, *, wanted: bool, sharpness: float) -> "Moment | None":
        """From scores on one scale; None where the item or all others have none, or all the same."""
        there = np.isfinite(scale.score)
        if not there[place] or there.sum() < 2 or scale.spread == 0:
            return None
        at = int(there[:place].sum())
        return cls(scale.said[there], sharpness * scale.score[there], at, wanted)

    def loss(self, tilt: Doubles) -> float:
        """Of the tilted blend; convex in the tilt.

        A wanted item should have been drawn from all candidates: its negative log share of the
        softmax. An unwanted one should lie below the others, each counted as much as the blend
        would show it: ``log(1 + exp(item - mean of the others))``.
        """
        if self.wanted:
            score = self.score + self.said @ tilt
            top = score.max()
            return float(top + np.log(np.exp(score - top).sum()) - score[self.place])
        level, direction = self._above_others()
        return float(np.logaddexp(0.0, level + direction @ tilt))

    def slopes(self, tilt: Doubles) -> tuple[Doubles, Doubles]:
        """Gradient ``(S,)`` and second derivative ``(S, S)`` of `loss`."""
        if self.wanted:
            share = _softmax(self.score + self.said @ tilt)
            mean = share @ self.said
            spread = self.said - mean
            return mean - self.said[self.place], (spread * share[:, None]).T @ spread
        level, direction = self._above_others()
        chance = float(np.exp(-np.logaddexp(0.0, -level - direction @ tilt)))
        return chance * direction, chance * (1 - chance) * np.outer(direction, direction)

    def gain(self, tilt: Doubles) -> float:
        """How far the tilt moves the item the way the reaction asks, as a difference of discounts."""
        rise = self._discount(self.score + self.said @ tilt) - self._discount(self.score)
        return rise if self.wanted else -rise

    def _above_others(self) -> tuple[float, Doubles]:
        """How far the item lies above the others, and what of that is owed to each base."""
        score = self.score.copy()
        score[self.place] = -np.inf
        share = _softmax(score)
        return float(self.score[self.place] - share @ self.score), self.said[
            self.place
        ] - share @ self.said

    def _discount(self, score: Doubles) -> float:
        """1 / log2(1 + rank), ties by place."""
        mine = score[self.place]
        rank = 1 + int((score > mine).sum()) + int((score[: self.place] == mine).sum())
        return 1 / log2(1 + rank)


def learned(head: Head, moment: Moment, config: HeadConfig) -> Head:
    """The head after one more reaction; the one given does not change.

    The reaction is judged by the head as it was, then its loss joins those so far, which are kept
    as a parabola. A few Newton steps go down their sum; a step that does not lower it is halved.
    Then the tilt is cut to the trust radius, and the new loss joins the parabola as it bends there.
    """
    gains = (*head.gains, moment.gain(head.tilt))[-config.n_held_back :]
    tilt = _nearest(_descended(head, moment, config), config.trust_radius)
    gradient, bend = moment.slopes(tilt)
    return replace(
        head,
        n_reactions=head.n_reactions + 1,
        tilt=tilt,
        curvature=head.curvature + bend,
        pull=head.pull + bend @ tilt - gradient,
        gains=gains,
        wins=won(gains, config),
    )


def won(gains: Sequence[float], config: HeadConfig) -> bool:
    """Whether gains on held-back reactions are enough for a head to count; ties are not.

    Were a head no better than chance, its gains would be as often below 0 as above, and their
    sum would have the root of the sum of their squares for its standard deviation.
    """
    needed = config.evidence * float(np.sqrt(np.square(gains).sum()))
    return len(gains) >= config.min_events and sum(gains) > max(needed, 0.0)


def objective(head: Head, moment: Moment, tilt: Doubles, ridge: float) -> float:
    """What is made small: the new loss, those so far, and the pull to 0."""
    past = tilt @ (head.curvature @ tilt) / 2 - head.pull @ tilt
    return moment.loss(tilt) + float(past) + ridge * float(tilt @ tilt) / 2


def _descended(head: Head, moment: Moment, config: HeadConfig) -> Doubles:
    tilt = head.tilt
    here = objective(head, moment, tilt, config.ridge)
    fixed = head.curvature + config.ridge * np.eye(len(tilt))
    for _ in range(config.steps):
        gradient, bend = moment.slopes(tilt)
        step = np.linalg.solve(fixed + bend, fixed @ tilt - head.pull + gradient)
        for _ in range(HALVINGS):
            there = objective(head, moment, tilt - step, config.ridge)
            if there < here:  # which NaN is not
                tilt, here = tilt - step, there
                break
            step = step / 2
        else:
            return tilt
    return tilt


def _nearest(tilt: Doubles, radius: float) -> Doubles:
    """The tilt, cut to a length."""
    length = float(np.linalg.norm(tilt))
    return tilt if length <= radius else tilt * (radius / length)


def _softmax(score: Doubles) -> Doubles:
    share = np.exp(score - score.max())
    total: Doubles = share / share.sum()
    return total


def learn(
    model: HybridModel,
    requests: LiveRequests,
    ask: Ask,
    config: HeadConfig,
    clock: Callable[[], float],
) -> Adaptation:
    """The head of a person after what they did since it last learned.

    Each reaction is one moment: the candidates of the learned blend just before it, from what had
    happened strictly before. Reactions of the log are no evidence, since the bases have seen
    them, and neither are those to what was no candidate. Nothing of the model changes.

    Args:
        model: A system.
        requests: Makes its requests.
        ask: Who, their live events, their head so far if any, and when.
        config: How heads are fitted.
        clock: Seconds, for the deadline: it is looked at before each reaction but the first.
    """
    blend, times, now_us = model.blend, model.dataset.time_us, ask.now_us
    if blend.learned is None or now_us is None or times is None:
        return Adaptation(None, "no_model")
    began, late = clock(), False
    head = ask.head
    if head is None or not head.belongs(model.version, blend.labels, now_us):
        end_us = int(times[-1]) if len(times) else NEVER
        head = Head.empty(model.version, blend.labels, end_us)
    since = [event for event in ask.events if head.learned_us < event.time_us < now_us]
    newest = sorted(since, key=lambda event: event.time_us)[-config.max_events :]
    wanted = strengths(newest, model.dataset) > 0
    n_before = head.n_reactions
    for at, event in enumerate(newest):
        late = at > 0 and clock() - began > config.deadline_ms / 1000
        if late:
            break
        moment = _moment(blend, requests, ask, event, config, wanted=bool(wanted[at]))
        head = head if moment is None else learned(head, moment, config)
        head = replace(head, learned_us=event.time_us)
    expires_us = now_us + round(config.ttl_hours * 3_600_000_000)
    if newest:
        head = replace(head, expires_us=expires_us)
    return Adaptation(head, _outcome(head, n_before, config, late=late))


def _moment(
    blend: Blend,
    requests: LiveRequests,
    ask: Ask,
    event: Event,
    config: HeadConfig,
    *,
    wanted: bool,
) -> Moment | None:
    """One reaction among its candidates; None where it was to none of them."""
    before = Ask(ask.user_id, ask.events, now_us=event.time_us)
    (request,) = requests.make([before])
    assert isinstance(request, LiveRequest), "nothing was said that could be wrong"
    row = requests.row(event.item_id)
    if row < 0 or not blend.by_model(request.query)[0]:
        return None
    assert blend.learned is not None
    signals, item_row, fused = blend.learned.fused(request.query)
    place = np.flatnonzero(item_row[0] == row)
    if not len(place):
        return None
    scale = one_scale(signals, fused.score)
    return Moment.of(scale, int(place[0]), wanted=wanted, sharpness=config.sharpness)


def _outcome(head: Head, n_before: int, config: HeadConfig, *, late: bool) -> Outcome:
    if late:
        return "late"
    if head.n_reactions == n_before:
        return "nothing_new"
    if head.wins:
        return "counts"
    return "too_few" if len(head.gains) < config.min_events else "loses"
