"""A list that two arms of an experiment make together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crossfade.experiments.interleaving import AND, coins, team_draft
from crossfade.meta.recommendation import Recommendations
from crossfade.online import Answer
from crossfade.service.assigning import Part


@dataclass(frozen=True)
class Made:
    """A list, and how it came about.

    Attributes:
        version: What made it; see `interleaved`.
        answer: The list.
        part: For which arm.
        item_arms: The arm that put each item there; empty unless the list is interleaved.
    """

    version: str
    answer: Answer
    part: Part
    item_arms: Sequence[str] = ()


def interleaved(
    part: Part, made: Sequence[tuple[str, Answer]], unit_id: str, request_id: str, k: int
) -> Made:
    """One list of two, by team draft; what is said of the request is said by the first arm.

    Where different versions or methods made them, both are named, in the order of the arms. Scores are
    those of the arm that put the item there, and so are its reasons; its propensity is of the draft.

    Args:
        part: Of both arms.
        made: The list of each, and the version that made it.
        unit_id: For whom.
        request_id: Of the list.
        k: How many items.
    """
    lines = [answer.recommendations for _, answer in made]
    one, other = ([line.item_id for line in own] for own in lines)
    tossed = coins(str(part.experiment), unit_id, request_id, k)
    picks = team_draft((one, other), k, tossed)
    versions, answers = zip(*made, strict=True)
    first, second = answers
    answer = replace(
        first,
        recommendations=Recommendations(
            replace(lines[pick.team][pick.at], rank=rank, propensity=pick.chance)
            for rank, pick in enumerate(picks, 1)
        ),
        method=_both(first.method, second.method),
        unknown=tuple(dict.fromkeys(first.unknown + second.unknown)),
        adaptation=first.adaptation or second.adaptation,  # if both have one, it is the same
    )
    names = [str(arm.arm) for arm in part.pair]
    return Made(_both(*versions), answer, part, [names[pick.team] for pick in picks])


def _both(one: str, other: str) -> str:
    return one if one == other else f"{one}{AND}{other}"
