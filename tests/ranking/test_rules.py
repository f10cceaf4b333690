"""Rules mean what they say, with three answers, and a wrong one is told where and how to mend it."""

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import ConfigError
from crossfade.ranking import RankingConfig
from crossfade.ranking.rule_masks import matching
from crossfade.ranking.rules import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    AllOf,
    AnyOf,
    Not,
    Question,
    Rule,
    parse,
)

ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "A", "c", "d"],
        "creator": ["Ella", "ella ", "John", None],
        "genres": [["Jazz", "vocal"], ["jazz"], [], None],
        "year": [1956, 1990, None, 2020],
        "energy": [0.25, float("nan"), 0.5, None],
        "explicit": [False, True, None, False],
        "release_date": [date(1956, 1, 1), date(1990, 5, 1), None, date(2020, 2, 29)],
        "added": [datetime(2024, 1, 1, 12), None, datetime(2024, 1, 2), datetime(2024, 1, 3)],
        "ratings": [[1, 5], [3], None, []],
        "odd name": [1, 2, 3, 4],
        "is": [1, 2, 3, 4],
        "blob": [b"", b"", b"", b""],
    },
    schema_overrides={"energy": pl.Float32, "year": pl.UInt16},
)


def passed(*rules: str) -> str:
    """The items that pass, as a word of their places: "ad" are the first and the fourth."""
    return "".join(
        letter for letter, there in zip("abcd", matching(rules, ITEMS), strict=True) if there
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("year == 1990", "b"),
        ("year != 1990", "ad"),  # c is unknown: neither equal nor unequal
        ("year < 1990", "a"),
        ("year <= 1990", "ab"),
        ("year > 1990", "d"),
        ("year >= 1989.5", "bd"),
        ("year > -1", "abd"),  # the column itself holds no number below 0
        ("year < 1e6", "abd"),
        ("year < 99999999999999999999999", "abd"),
        ("year in [1956, 2020.0]", "ad"),
        ("year not in [1956]", "bd"),
        ("energy < 0.5", "a"),
        ("energy == 0.25", "a"),
        ("energy is missing", "bd"),  # NaN is missing
        ("energy is not missing", "ac"),
        ('creator == "ELLA"', "ab"),
        ("creator in ['john', 'nobody']", "c"),
        ('item_id == "a"', "a"),  # ids exactly
        ('item_id in ["A", "c"]', "bc"),
        ('genres has "JAZZ"', "ab"),
        ('not genres has "vocal"', "b"),
        ("genres is missing", "cd"),  # an empty list says nothing
        ('genres is missing or not genres has "vocal"', "bcd"),
        ("ratings has 5", "a"),
        ("explicit", "b"),
        ("not explicit", "ad"),
        ("explicit == false", "ad"),
        ("explicit != true", "ad"),
        ("explicit in [true, false]", "abd"),
        ('release_date >= "1990-05-01"', "bd"),
        ('release_date == "2020-02-29"', "d"),
        ('added <= "2024-01-02"', "ac"),  # a date is its first moment
        ('added < "2024-01-01T13:00+01:00"', ""),
        ('added <= "2024-01-01T13:00+01:00"', "a"),
        ("`odd name` > 3", "d"),
        ("`is` == 2", "b"),
        ("YEAR == 1990 or year == 1990", None),  # columns are written as they are
        ("NOT explicit AND year Is Not Missing", "ad"),
    ],
)
def test_a_rule_lets_these_through(rule: str, expected: str | None) -> None:
    if expected:
        assert passed(rule) == expected
    elif expected == "":
        with pytest.raises(ConfigError, match="none of the 4 items is left"):
            passed(rule)
    else:
        with pytest.raises(ConfigError, match='no column "YEAR"'):
            passed(rule)


def test_unknown_stays_unknown_under_not_and_is_settled_by_the_other_side() -> None:
    # c: explicit and year unknown, energy 0.5.
    assert "c" not in passed("explicit or year > 0 or energy < 0.5")
    assert "c" not in passed("not (explicit and year > 0) or year > 0")
    assert "c" in passed("explicit or energy == 0.5")
    assert "c" in passed("not (explicit and energy == 0.1)")


def test_and_binds_tighter_than_or_and_not_tightest() -> None:
    everything = passed("year == 1956 or year == 1990 and explicit == false")
    assert everything == passed("year == 1956 or (year == 1990 and explicit == false)") == "a"
    assert passed("(year == 1956 or year == 1990) and explicit") == "b"
    assert passed("not explicit and year == 1990 or year == 1956") == "a"
    assert parse("not a and b") == AllOf(
        (Not(Question("a", "true", (), 5)), Question("b", "true", (), 11))
    )


def test_a_doubled_quote_is_a_quote() -> None:
    items = pl.DataFrame({"title": ['7" Mix', "Don't", "x"]})
    assert matching(['title == "7"" mix"'], items).tolist() == [True, False, False]
    assert matching(["title == 'Don''t'"], items).tolist() == [False, True, False]
    assert matching(['title == "Don\'t"'], items).tolist() == [False, True, False]


def test_all_rules_must_hold_and_no_rule_lets_everything_through() -> None:
    assert passed("year > 1960", "explicit == false") == "d"
    assert passed() == "abcd"


def test_large_whole_numbers_are_told_apart() -> None:
    items = pl.DataFrame({"n": [2**53, 2**53 + 1]})
    assert matching([f"n == {2**53 + 1}"], items).tolist() == [False, True]


def test_rules_on_a_catalogue_without_items_leave_nothing_to_complain_about() -> None:
    assert matching(["year > 3"], ITEMS.clear()).tolist() == []


# -- against a plain reading of the trees ----------------------------------------------

Answer = bool | None
VALUES: dict[str, list[Any]] = {
    "n": [None, 1, 2, 3, 2],
    "flag": [None, True, False, True, None],
    "text": ["x", None, "y", "X", "z"],
    "listed": [["x"], ["y", "X"], None, [], ["z"]],
}
WORLD = pl.DataFrame(VALUES)
TESTS = st.one_of(
    st.builds(
        lambda sign, n: (f"n {sign} {n}", lambda i: _number(sign, VALUES["n"][i], n)),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.integers(0, 4),
    ),
    st.just(("flag", lambda i: VALUES["flag"][i])),
    st.builds(
        lambda value: (
            f'text in ["{value}", "z"]',
            lambda i: (
                None if VALUES["text"][i] is None else VALUES["text"][i].lower() in (value, "z")
            ),
        ),
        st.sampled_from(["x", "y"]),
    ),
    st.builds(
        lambda value: (
            f"listed has '{value}'",
            lambda i: (
                value in [v.lower() for v in VALUES["listed"][i]] if VALUES["listed"][i] else None
            ),
        ),
        st.sampled_from(["x", "y"]),
    ),
    st.just(("n is missing", lambda i: VALUES["n"][i] is None)),
    st.just(("listed is not missing", lambda i: bool(VALUES["listed"][i]))),
)


def _number(sign: str, value: int | None, n: int) -> Answer:
    if value is None:
        return None
    return {
        "==": value == n, "!=": value != n, "<": value < n,
        "<=": value <= n, ">": value > n, ">=": value >= n,
    }[sign]  # fmt: skip


def _and(parts: list[Answer]) -> Answer:
    return False if False in parts else None if None in parts else True


def _or(parts: list[Answer]) -> Answer:
    return True if True in parts else None if None in parts else False


def _not(answer: Answer) -> Answer:
    return None if answer is None else not answer


TREES = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.builds(lambda a: (f"not ({a[0]})", lambda i: _not(a[1](i))), inner),
        st.builds(
            lambda parts: (
                " and ".join(f"({p[0]})" for p in parts),
                lambda i: _and([p[1](i) for p in parts]),
            ),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(
            lambda parts: (
                " or ".join(f"({p[0]})" for p in parts),
                lambda i: _or([p[1](i) for p in parts]),
            ),
            st.lists(inner, min_size=1, max_size=3),
        ),
    ),
    max_leaves=8,
)


@given(TREES)
def test_masks_agree_with_a_plain_reading(tree: tuple[str, Any]) -> None:
    text, answer = tree
    expected = [answer(i) is True for i in range(5)]
    if any(expected):
        assert matching([text], WORLD).tolist() == expected
    else:
        with pytest.raises(ConfigError, match="none of the 5 items"):
            matching([text], WORLD)


# -- what is refused -------------------------------------------------------------------

PIECES = ["year", "(", ")", "[", "]", ",", "and", "or", "not", "in", "has", "is", "missing", "==",
          "<", '"x"', "'", "`", "1", "-", ".", "=", "__import__('os')", "é", " "]  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))
)
def test_any_text_is_a_rule_or_a_clear_error(text: str) -> None:
    try:
        tree = parse(text)
    except ConfigError as error:
        assert str(error).startswith("rule `")  # noqa: PT017
        assert "character" in str(error)  # noqa: PT017
    else:
        assert isinstance(tree, Rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("", "character 1: expected the name of an item column, the rule ends"),
        ("year = 1990", "character 6: = is no comparison; write =="),
        ("year == ", "character 9: expected a value, the rule ends"),
        ("year == jazz", "character 9: expected a value in quotes if it is a text, found jazz"),
        ('"jazz" in genres', 'character 1: .*a column comes first, its value second, found "jazz"'),
        ("1 < year", "character 1: .*a column comes first"),
        ("year > 1 < 3", "character 10: one comparison at a time; join two with and, found <"),
        ("year > 1 year", "character 10: expected and, or, or the end of the rule, found year"),
        ("(year > 1", r"character 10: expected and, or, or \), the rule ends"),
        ("year in 3", r"character 9: expected \[ and the values, found 3"),
        ("year in []", r"character 10: expected a value, found \]"),
        ("year in [1 2]", r"character 12: expected , or \], found 2"),
        ("year is 3", "character 9: expected missing; anything else takes ==, found 3"),
        ("year not == 3", "character 10: expected in; other nots stand before the column"),
        ('title == "x', 'character 10: " is never closed'),
        ("year; drop", "character 5: ';' means nothing here; remove it"),
        ("year > 1e999", "character 8: expected a number below 1e300, found 1e999"),
        ("__import__('os')", "character 11: expected and, or, or the end"),
        ("os.system('x')", "character 3: '.' means nothing here; remove it"),
        ("and", "character 1: expected the name of an item column, found and"),
    ],
)
def test_a_text_that_is_no_rule_says_where_and_why(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(rule)


def test_length_and_depth_are_bounded() -> None:
    deepest = "(" * (MAX_DEPTH - 1) + "explicit" + ")" * (MAX_DEPTH - 1)
    assert parse(deepest) == Question("explicit", "true", (), MAX_DEPTH)
    with pytest.raises(ConfigError, match=f"at most {MAX_DEPTH} brackets and nots"):
        parse(f"({deepest})")
    with pytest.raises(ConfigError, match=f"at most {MAX_DEPTH}"):
        parse("not " * MAX_DEPTH + "explicit")
    # Many parts side by side are no depth.
    many = " or ".join(["year > 1"] * 300)
    tree = parse(many)
    assert isinstance(tree, AnyOf)
    assert len(tree.parts) == 300
    assert matching([many], ITEMS).tolist() == [True, True, False, True]
    with pytest.raises(ConfigError, match=f"at most {MAX_CHARACTERS:,} are read"):
        parse("x" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("yaer > 1", 'character 1: items have no column "yaer"; did you mean year'),
        ("zzz > 1", 'items have no column "zzz"; there are item_id, creator'),
        ("blob is missing", 'column "blob" holds Binary, which rules cannot speak of'),
        ('year > "1990"', 'column "year" holds number, got "1990"; write a number'),
        ("year == true", "holds number, got true; write a number"),
        ("explicit == 1", "holds true or false, got 1; write true or false"),
        ("explicit < true", "holds true or false, which has no order; use == or in"),
        ('creator > "m"', "holds text, which has no order"),
        ("creator == 3", "holds text, got 3; write a text in quotes"),
        ("creator", "holds text; compare it with something"),
        ('genres == "jazz"', 'is a list of texts; ask `genres has "…"`'),
        ('creator has "e"', "holds text, not a list; use == or in"),
        ("genres has 3", "holds list of texts, got 3; write a text in quotes"),
        ('ratings has "3"', 'holds list of numbers, got "3"; write a number'),
        ('release_date > "May"', 'holds dates, and "May" is none; write "2024-05-01"'),
        ('added > "0001-01-01T00:00+14:00"', "holds dates, and .* is none"),
        ("release_date > 2020", "holds date, got 2020; write a text in quotes"),
    ],
)
def test_a_rule_that_does_not_fit_the_items_says_why(rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        passed(rule)
    assert str(caught.value).startswith(f"rule `{rule}`, character 1: ")


def test_all_faults_of_all_rules_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        passed("yaer > 1 and explicit == 3", "year >", 'genres has "x" or nope')
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "rule `yaer > 1 and explicit == 3`, character 1",
        "rule `yaer > 1 and explicit == 3`, character 14",
        "rule `year >`, character 7",
        'rule `genres has "x" or nope`, character 19',
    ]


def test_contradictory_rules_are_named_with_what_each_leaves_alone() -> None:
    with pytest.raises(ConfigError) as caught:
        passed("year < 1960", "year > 2000", "year > 2000")
    assert str(caught.value).splitlines() == [
        "rules: none of the 4 items is left; loosen or drop one of",
        "  `year < 1960` alone leaves 1",
        "  `year > 2000` alone leaves 1",
        "  `year > 2000` alone leaves 1",
    ]


def test_settings_refuse_a_text_that_is_no_rule() -> None:
    with pytest.raises(ConfigError, match=r"rules: rule `year >`, .*; rule `= 1`, character 1"):
        RankingConfig(rules=("year >", "explicit", "= 1"))
