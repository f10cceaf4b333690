import json

import numpy as np
import pytest

from crossfade.data.world import WorldConfig, make_world
from crossfade.errors import ConfigError
from crossfade.explain.acclaim import Acclaim, AcclaimConfig
from crossfade.explain.reasons import ReasonConfig, cited_rows, find_reasons
from crossfade.recommenders.attribution import NONE, Attribution, of_parts
from crossfade.recommenders.registry import make

ITEMS = np.array([7], dtype=np.int32)
LOOSE = ReasonConfig(min_share=0.001, max_reasons=20)


def base(
    parts: list[list[float]],
    history: list[int],
    rest: float = 0.0,
    attributes: tuple[str, ...] = (),
    *,
    in_session: bool = False,
) -> Attribution:
    """What a base says of item 7: one row per item of the history, columns none, then attributes."""
    found = of_parts(
        ITEMS,
        np.array(history, dtype=np.int32),
        np.array([parts], dtype=np.float32),
        np.array([rest], dtype=np.float32),
        attributes,
    )
    return Attribution(**{**vars(found), "in_session": in_session})


def one(value: float) -> np.ndarray:
    return np.array([value])


def test_a_contribution_is_split_in_proportion_to_the_parts() -> None:
    found = find_reasons({"knn": one(2.0)}, {"knn": base([[3.0], [1.0]], [4, 5])}, config=LOOSE)
    assert [(r.type, r.history_rows) for r in found[0]] == [("history", (4,)), ("history", (5,))]
    assert [r.contribution for r in found[0]] == pytest.approx([1.5, 0.5])
    assert [r.share for r in found[0]] == pytest.approx([0.75, 0.25])


def test_evidence_that_several_bases_name_is_one_reason() -> None:
    found = find_reasons(
        {"knn": one(1.0), "ease": one(2.0)},
        {"knn": base([[1.0]], [4]), "ease": base([[1.0], [1.0]], [4, 5])},
    )
    first, second = found[0]
    assert first.bases == ("knn", "ease")  # both give 1: in the order of the bases
    assert [first.history_rows, second.history_rows] == [(4,), (5,)]
    assert [first.contribution, second.contribution] == pytest.approx([2.0, 1.0])


def test_what_speaks_against_an_item_is_no_reason() -> None:
    # Of 4 − 1, four speak for it; the reason must not be more than the base gave.
    found = find_reasons({"ease": one(3.0)}, {"ease": base([[4.0], [-1.0]], [4, 5])}, config=LOOSE)
    (reason,) = found[0]
    assert reason.history_rows == (4,)
    assert reason.contribution == pytest.approx(3.0)


@pytest.mark.parametrize("contribution", [-1.0, 0.0, np.nan])
def test_a_base_that_does_not_speak_for_an_item_gives_no_reason(contribution: float) -> None:
    found = find_reasons({"knn": one(contribution)}, {"knn": base([[1.0]], [4])}, config=LOOSE)
    assert found == [()]


def test_what_one_base_holds_against_the_evidence_is_taken_off() -> None:
    attributions = {"knn": base([[1.0]], [4]), "ease": base([[-1.0], [4.0]], [4, 5])}
    found = find_reasons({"knn": one(1.0), "ease": one(2.0)}, attributions)
    # Of ease's 2, all of the four is 5's; the minus one takes half a unit from 4.
    assert {r.history_rows: r.contribution for r in found[0]} == {(5,): 2.0, (4,): 0.5}
    assert found[0][1].bases == ("knn",)


def test_items_that_speak_against_a_label_are_not_its_evidence() -> None:
    parts = base([[0.0, 2.0], [0.0, -1.0]], [4, 5], attributes=("genres:jazz",))
    (reason,) = find_reasons({"content": one(1.0)}, {"content": parts})[0]
    assert reason.history_rows == (4,)


def test_a_base_that_ranks_the_item_low_takes_nothing_from_the_evidence() -> None:
    attributions = {"knn": base([[1.0]], [4]), "ease": base([[1.0]], [4])}
    (reason,) = find_reasons({"knn": one(1.0), "ease": one(-0.5)}, attributions)[0]
    assert (reason.contribution, reason.bases) == (1.0, ("knn",))


def test_what_nobody_can_account_for_takes_its_share() -> None:
    attribution = base([[1.0]], [4], rest=3.0)
    (reason,) = find_reasons({"tower": one(4.0)}, {"tower": attribution}, residual=one(4.0))[0]
    # A quarter of the base's 4 is the item's; half of what speaks is the residual.
    assert reason.contribution == pytest.approx(1.0)
    assert reason.share == pytest.approx(1 / 8)


def test_small_evidence_is_no_reason() -> None:
    parts = base([[97.0], [3.0]], [4, 5])
    assert len(find_reasons({"knn": one(1.0)}, {"knn": parts})[0]) == 1
    assert len(find_reasons({"knn": one(1.0)}, {"knn": parts}, config=LOOSE)[0]) == 2
    # The other base says nothing of why.
    many = {"knn": one(1.0), "trees": one(30.0)}
    assert find_reasons(many, {"knn": parts}) == [()]


def test_a_label_rests_on_the_items_that_carry_it() -> None:
    names = ("creator", "genres:sci:fi", "moods:calm")
    parts = base([[0, 1, 2, 0], [0, 0, 3, 0], [0, 0, 4, 1]], [1, 2, 3], attributes=names)
    config = ReasonConfig(min_share=0.01, max_items=2)
    genre, *others = find_reasons({"content": one(11.0)}, {"content": parts}, config=config)[0]
    assert (genre.type, genre.name, genre.history_rows) == ("genre", "sci:fi", (3, 2))
    assert genre.contribution == pytest.approx(9.0)
    # Equal contributions are ordered by evidence.
    assert [(r.type, r.name, r.history_rows) for r in others] == [
        ("creator", None, (1,)),
        ("mood", "calm", (3,)),
    ]


def test_evidence_that_is_not_in_the_history_names_none() -> None:
    names = ("taste:genres:jazz", "people:genres:jazz", "people:taste:genres:jazz")
    parts = base([[5.0, 4.0, 0.0, 1.0], [0.0, 0.0, 3.0, 0.0]], [NONE, 2], attributes=names)
    popular, liked, people = find_reasons({"mixed": one(13.0)}, {"mixed": parts})[0][:3]
    assert (popular.type, popular.history_rows) == ("popularity", ())
    assert {(liked.type, liked.name), (people.type, people.name)} == {
        ("taste", "jazz"),
        ("people", "jazz"),
    }


def test_what_was_played_last_is_said_by_the_base_that_gives_more() -> None:
    session, knn = base([[1.0]], [4], in_session=True), base([[1.0]], [4])
    for given, kind in (((2.0, 1.0), "session"), ((1.0, 2.0), "history")):
        contributions = {"session": one(given[0]), "knn": one(given[1])}
        (reason,) = find_reasons(contributions, {"session": session, "knn": knn})[0]
        assert reason.type == kind


def test_ratings_are_a_reason_only_where_they_are_many_and_good_and_made_the_score() -> None:
    def reasons(ratings: Acclaim | None, part: float = 1.0) -> list[tuple[str | None, int | None]]:
        found = find_reasons(
            {"tower": one(1.0)},
            {"tower": base([[3.0, 0.0], [0.0, part]], [4, NONE], attributes=("acclaim",))},
            acclaim=None if ratings is None else [ratings],
            config=LOOSE,
        )
        assert [r.contribution for r in found[0] if r.type == "history"] == pytest.approx([0.75])
        return [(r.name, r.n_ratings) for r in found[0] if r.type == "acclaim"]

    assert reasons(None) == []
    assert reasons(Acclaim(0.8, 1_000)) == []  # good, not above the bound
    assert reasons(Acclaim(float("nan"), 0)) == []
    for n_ratings, names in (
        (99, []),
        (100, [("well_rated", 100)]),
        (199, [("well_rated", 199)]),
        (200, [("agreed", 200)]),
        (499, [("agreed", 499)]),
        (500, [("acclaimed", 500)]),
    ):
        assert reasons(Acclaim(0.9, n_ratings)) == names


def test_ratings_that_speak_against_an_item_or_were_not_read_are_no_reason() -> None:
    acclaimed = [Acclaim(0.9, 1_000)]
    for parts, attributes in (([[1.0, -0.2]], ("acclaim",)), ([[1.0]], ())):
        found = find_reasons(
            {"tower": one(1.0)},
            {"tower": base(parts, [4], attributes=attributes)},
            acclaim=acclaimed,
            config=LOOSE,
        )
        assert [reason.type for reason in found[0]] == ["history"]


def test_what_sounds_alike_is_said_apart_from_what_is_guessed() -> None:
    parts = [[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]]
    found = find_reasons(
        {"tower": one(8.0)},
        {"tower": base(parts, [4, 5, 6], attributes=("sound", "guessed_sound"))},
    )
    assert [(r.type, r.history_rows) for r in found[0]] == [
        ("guessed_sound", (6,)),
        ("sound", (4, 5)),
        ("history", (4,)),
    ]
    assert [r.contribution for r in found[0]] == pytest.approx([4.0, 3.0, 1.0])


def test_thresholds_of_acclaim_must_not_fall() -> None:
    with pytest.raises(ConfigError, match="must not fall, got 100, 50 and 500"):
        AcclaimConfig(many=50)


def test_a_reason_is_plain_json() -> None:
    found = find_reasons({"knn": one(2.0)}, {"knn": base([[1.0]], [4])})
    plain = json.loads(json.dumps(found[0][0].to_json(lambda row: f"item{row}")))
    assert plain == {
        "type": "history",
        "evidence": {"items": ["item4"], "name": None, "n_ratings": None},
        "contribution": 2.0,
        "share": 1.0,
        "bases": ["knn"],
    }


def test_lists_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lists of \[1, 2\] items"):
        find_reasons({"knn": np.ones(2)}, {"knn": base([[1.0]], [4])})


def test_nothing_known_gives_no_reasons() -> None:
    assert find_reasons({"trees": np.ones(3)}, {}) == [(), (), ()]
    assert find_reasons({}, {}) == []


def test_cited_items_are_named_once() -> None:
    names = ("genres:jazz", "creator")
    found = find_reasons(
        {"content": one(1.0)}, {"content": base([[0, 2, 1]], [4], attributes=names)}
    )
    assert len(found[0]) == 2
    assert np.asarray(cited_rows(found[0])).tolist() == [4]
    popular = find_reasons({"popularity": one(1.0)}, {"popularity": base([[1.0]], [NONE])})
    assert np.asarray(cited_rows(popular[0])).tolist() == []
    assert cited_rows(()) is None


def test_reasons_never_claim_more_than_the_bases_gave() -> None:
    data = make_world(WorldConfig(n_listeners=60, n_tracks=150, n_plays=4_000), seed=5).dataset
    names = (
        "item_knn",
        "ease",
        "nmf",
        "content_knn",
        "genre_item_knn",
        "session_knn",
        "popularity",
    )
    bases = {name: make(name).fit(data) for name in names}
    rng = np.random.default_rng(0)
    everything = ReasonConfig(min_share=1e-9, max_reasons=10_000)
    for user in range(0, data.n_users, 6):
        query = data.queries([user])
        items = rng.choice(data.n_items, 8, replace=False).astype(np.int32)
        contributions = {name: rng.normal(0.5, 1.0, 8) for name in names}
        attributions = {}
        for name, model in bases.items():
            found = model.attribute(query, items)
            assert found is not None
            attributions[name] = found
        for place, reasons in enumerate(
            find_reasons(contributions, attributions, config=everything)
        ):
            given = sum(max(c[place], 0.0) for c in contributions.values())
            assert sum(r.contribution for r in reasons) <= given * (1 + 1e-6) + 1e-9
            assert sum(r.share for r in reasons) <= 1 + 1e-6
            assert all(r.contribution > 0 for r in reasons)
            assert list(reasons) == sorted(reasons, key=lambda r: -r.contribution)
            wanted = set(query.positives.indices.tolist())
            assert {row for r in reasons for row in r.history_rows} <= wanted
