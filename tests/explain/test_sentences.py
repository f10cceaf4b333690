import json

import numpy as np
import pytest

from crossfade.errors import ConfigError
from crossfade.explain.reasons import Reason, ReasonType
from crossfade.explain.sentences import (
    Certainty,
    Explanation,
    Names,
    Note,
    SentenceConfig,
    UncertaintyLimits,
    explain,
)
from crossfade.explain.words import load_words

TITLES = ["Blue Moon", "So What", "Naima", "Blue Moon"]
NAMES = Names(lambda row: TITLES[row], lambda row: "Miles Davis" if row == 1 else None)
LIMITS = UncertaintyLimits(0.1, 0.5, 0.9)
SURE = Certainty(0.7)


def because(kind: ReasonType, *rows: int, name: str | None = None, n: int | None = None) -> Reason:
    return Reason(kind, 1.0, 0.3, ("knn",), rows, name, n)


def say(reasons: list[Reason], certainty: Certainty = SURE, item_row: int = 2) -> str | None:
    return explain(item_row, reasons, certainty, load_words(), names=NAMES).sentence


@pytest.mark.parametrize(
    ("probability", "opening"),
    [
        (0.81, "Highly recommended because"),
        (0.8, "Recommended because"),
        (0.61, "Recommended because"),
        (0.6, "Suggested because"),
        (0.41, "Suggested because"),
        (0.4, "You might like this because"),
        (0.0, "You might like this because"),
        (None, "You might like this because"),
    ],
)
def test_the_opening_is_as_sure_as_the_probability(probability: float | None, opening: str) -> None:
    said = say([because("history", 0)], Certainty(probability))
    assert said == f"{opening} you liked “Blue Moon”."


def test_reasons_of_one_kind_are_one_clause() -> None:
    said = say([because("history", 0), because("genre", 1, name="jazz"), because("history", 1)])
    assert said == "Recommended because you liked “Blue Moon” and “So What” and you choose jazz."


def test_equal_titles_are_named_once() -> None:
    assert say([because("history", 0), because("history", 3)]) == (
        "Recommended because you liked “Blue Moon”."
    )


def test_only_the_first_kinds_and_names_are_said() -> None:
    reasons = [
        *(because("genre", 0, name=name) for name in ("jazz", "soul", "funk")),
        because("popularity"),
        because("history", 0),
    ]
    assert say(reasons) == "Recommended because you choose jazz and soul and many others like it."
    long = SentenceConfig(max_clauses=3, max_names=3)
    found = explain(2, reasons, SURE, load_words(), names=NAMES, config=long)
    assert found.sentence == (
        "Recommended because you choose jazz, soul and funk, many others like it and you liked "
        "“Blue Moon”."
    )


@pytest.mark.parametrize(
    ("reason", "clause"),
    [
        (because("session", 0), "it goes with “Blue Moon”, which came last"),
        (because("mood", 0, name="calm"), "you choose what is calm"),
        (because("description", 0), "it is described much like “Blue Moon”"),
        (because("sound", 0), "it sounds like “Blue Moon”"),
        (because("guessed_sound", 0), "by guessed audio features it sounds like “Blue Moon”"),
        (because("people", 0, name="jazz"), "people who share your taste for jazz like it"),
        (because("taste", name="jazz"), "you asked for jazz"),
        (because("acclaim", name="well_rated", n=120), "it is well rated (120 ratings)"),
        (because("acclaim", name="agreed", n=250), "people agree that it is good (250 ratings)"),
        (because("acclaim", name="acclaimed", n=1200), "it is widely acclaimed (1,200 ratings)"),
    ],
)
def test_each_kind_has_its_clause(reason: Reason, clause: str) -> None:
    assert say([reason]) == f"Recommended because {clause}."


def test_a_creator_is_named_or_not_spoken_of() -> None:
    assert say([because("creator", 0)], item_row=1) == (
        "Recommended because you liked other things by Miles Davis."
    )
    # The reason stands in the list, but nobody can say whose work it is.
    found = explain(2, [because("creator", 0)], SURE, load_words(), names=NAMES)
    assert found.sentence is None
    assert len(found.reasons) == 1


def test_without_a_reason_there_is_no_sentence() -> None:
    sure_of_nothing = Certainty(0.99, 0.01, LIMITS, adapted=True)
    assert say([], sure_of_nothing) is None


@pytest.mark.parametrize(
    ("uncertainty", "note"),
    [
        (0.05, " (a well-established match)"),
        (0.1, ""),
        (0.5, ""),
        (0.51, " (a discovery)"),
        (0.91, " (exploratory: we know little here yet)"),
        (None, ""),
    ],
)
def test_notes_come_from_the_uncertainty(uncertainty: float | None, note: str) -> None:
    said = say([because("popularity")], Certainty(0.7, uncertainty, LIMITS))
    assert said == f"Recommended because many others like it{note}."


def test_an_adapted_gate_is_told() -> None:
    said = say([because("popularity")], Certainty(0.7, 0.6, LIMITS, adapted=True))
    assert said is not None
    assert said.endswith("(a discovery; adapted to your own reactions).")


@pytest.mark.parametrize(
    ("level", "n", "note"),
    [
        ("well_rated", 120, "well rated: 120 ratings"),
        ("agreed", 250, "people agree that it is good: 250 ratings"),
        ("acclaimed", 1200, "widely acclaimed: 1,200 ratings"),
    ],
)
def test_good_ratings_are_a_note_unless_they_are_a_reason(level: str, n: int, note: str) -> None:
    def told(*reasons: Reason) -> Explanation:
        praise = Note("acclaim", level, n)
        return explain(2, reasons, Certainty(0.7), load_words(), names=NAMES, acclaim=praise)

    found = told(because("popularity"))
    assert found.sentence == f"Recommended because many others like it ({note})."
    assert found.notes == (Note("acclaim", level, n),)
    both = told(because("popularity"), because("acclaim", name=level, n=n))
    assert both.sentence is not None
    assert note not in both.sentence
    assert both.notes == ()


def test_without_a_reason_notes_are_not_said_but_known() -> None:
    found = explain(2, (), Certainty(0.99, 0.6, LIMITS, adapted=True), load_words(), names=NAMES)
    assert (found.sentence, found.notes) == (None, (Note("discovery"), Note("adapted")))


def test_limits_are_shares_of_what_was_served() -> None:
    limits = UncertaintyLimits.of(np.append(np.arange(11.0), np.nan), (0.2, 0.7, 0.9))
    assert limits == UncertaintyLimits(2.0, 7.0, 9.0)
    with pytest.raises(ValueError, match="at least one item"):
        UncertaintyLimits.of(np.array([np.nan]))


def test_thresholds_must_not_rise() -> None:
    with pytest.raises(ConfigError, match=r"got 0\.5, 0\.6 and 0\.4"):
        SentenceConfig(very_sure=0.5)


def test_an_explanation_is_plain_json() -> None:
    notes = (Note("acclaim", "agreed", 250), Note("discovery"))
    found = Explanation(2, (because("genre", 0, name="jazz"),), "Because.", notes)
    plain = json.loads(json.dumps(found.to_json(lambda row: f"i{row}")))
    assert plain["item_id"] == "i2"
    assert plain["sentence"] == "Because."
    assert plain["notes"] == [
        {"type": "acclaim", "name": "agreed", "n_ratings": 250},
        {"type": "discovery", "name": None, "n_ratings": None},
    ]
    assert plain["reasons"][0]["evidence"] == {"items": ["i0"], "name": "jazz", "n_ratings": None}
