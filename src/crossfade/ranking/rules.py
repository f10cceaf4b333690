"""A small language for rules about items, and its parser.

    rule     := all ("or" all)*
    all      := one ("and" one)*
    one      := "not" one | "(" rule ")" | question
    question := COLUMN                                 a true-or-false column
              | COLUMN ("==" | "!=" | "<" | "<=" | ">" | ">=") VALUE
              | COLUMN ["not"] "in" "[" VALUE ("," VALUE)* "]"
              | COLUMN "has" VALUE                     a list column
              | COLUMN "is" ["not"] "missing"
    VALUE    := "text" | 'text' | number | true | false

Dates are texts, ``"2024-05-01"``; the column says that they are dates. A quote inside a text
is doubled. A column whose name is no plain word stands in backticks. Nothing here runs code:
a rule becomes a tree of the classes below, and only `rule_masks` reads it.
"""

import re
from dataclasses import dataclass
from typing import Literal

from crossfade.errors import ConfigError

MAX_CHARACTERS = 4_000
MAX_DEPTH = 32
"""Rules may come from outside: these bound what reading one can cost."""

Value = str | float | int | bool
Kind = Literal["==", "!=", "<", "<=", ">", ">=", "in", "has", "missing", "true"]
COMPARISONS: tuple[Kind, ...] = ("==", "!=", "<", "<=", ">", ">=")
COMPARED_WITH_ONE: tuple[Kind, ...] = (*COMPARISONS, "has")
KEYWORDS = frozenset({"and", "or", "not", "in", "has", "is", "missing", "true", "false"})


@dataclass(frozen=True)
class Question:
    """One question about one column.

    Attributes:
        column: Name of the item column.
        kind: What is asked.
        values: What it is compared with: one, several for ``in``, none for ``missing`` and ``true``.
        at: Where in the rule the column stands, the first character being 1.
    """

    column: str
    kind: Kind
    values: tuple[Value, ...]
    at: int


@dataclass(frozen=True)
class Not:
    """The opposite of a rule."""

    inner: "Rule"


@dataclass(frozen=True)
class AllOf:
    """Every part holds."""

    parts: tuple["Rule", ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Rule", ...]


Rule = Question | Not | AllOf | AnyOf


def parse(text: str) -> Rule:
    """The tree of one rule.

    Raises:
        ConfigError: If it is no rule; names what was found, where, and what was expected.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(
            f"rule {shown(text)}: {len(text):,} characters, at most {MAX_CHARACTERS:,} are read; "
            "split it, all rules must hold"
        )
    return _Parser(text).whole()


def shown(text: str, n_characters: int = 60) -> str:
    """A rule as messages quote it."""
    return f"`{text if len(text) <= n_characters else text[: n_characters - 1] + '…'}`"


# -- tokens ----------------------------------------------------------------------------

TOKEN = re.compile(
    r"""(?P<number> [-+]? (?: \d+ (?: \.\d* )? | \.\d+ ) (?: [eE][-+]?\d+ )? )
    | (?P<text> "(?:[^"]|"")*" | '(?:[^']|'')*' )
    | (?P<quoted> `[^`]+` )
    | (?P<word> [^\W\d]\w* )
    | (?P<sign> == | != | <= | >= | < | > | \( | \) | \[ | \] | , )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """A piece of a rule.

    Attributes:
        kind: ``number``, ``text``, ``column``, ``keyword``, ``sign`` or ``end``.
        text: As written; keywords in lower case, columns without backticks.
        at: Its first character, counted from 1.
    """

    kind: Literal["number", "text", "column", "keyword", "sign", "end"]
    text: str
    at: int


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        match = TOKEN.match(text, at)
        if match is None:
            raise _wrong(text, at + 1, _stray(text[at]))
        found.append(_token(match, at + 1))
        at = match.end()
    return [*found, Token("end", "", len(text) + 1)]


def _token(match: re.Match[str], at: int) -> Token:
    text = match.group()
    if match.lastgroup == "word":
        lower = text.lower()
        return Token("keyword", lower, at) if lower in KEYWORDS else Token("column", text, at)
    if match.lastgroup == "quoted":
        return Token("column", text[1:-1], at)
    if match.lastgroup == "number":
        return Token("number", text, at)
    return Token("text" if match.lastgroup == "text" else "sign", text, at)


def _stray(character: str) -> str:
    if character == "=":
        return "= is no comparison; write =="
    if character in "\"'`":
        return f"{character} is never closed; add the second one"
    return f"{character!r} means nothing here; remove it"


def _wrong(text: str, at: int, why: str) -> ConfigError:
    return ConfigError(f"rule {shown(text)}, character {at}: {why}")


# -- grammar ---------------------------------------------------------------------------


class _Parser:
    """Recursive descent, one method for each line of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.place = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def advance(self) -> Token:
        token = self.next
        self.place += token.kind != "end"
        return token

    def skip(self, *texts: str) -> bool:
        """Steps over some keywords or signs if they come next, in this order."""
        ahead = self.tokens[self.place : self.place + len(texts)]
        if [t.text for t in ahead if t.kind in {"keyword", "sign"}] != list(texts):
            return False
        self.place += len(texts)
        return True

    def wrong(self, why: str, token: Token | None = None) -> ConfigError:
        token = token or self.next
        found = f"found {token.text}" if token.text else "the rule ends"
        return _wrong(self.text, token.at, f"{why}, {found}")

    def whole(self) -> Rule:
        rule = self.rule()
        if self.next.text in COMPARISONS:
            raise self.wrong("one comparison at a time; join two with and")
        if self.next.kind != "end":
            raise self.wrong("expected and, or, or the end of the rule")
        return rule

    def rule(self) -> Rule:
        parts = [self.all()]
        while self.skip("or"):
            parts.append(self.all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def all(self) -> Rule:
        parts = [self.one()]
        while self.skip("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def one(self) -> Rule:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.wrong(f"at most {MAX_DEPTH} brackets and nots inside each other; split it")
        if self.skip("not"):
            rule: Rule = Not(self.one())
        elif self.skip("("):
            rule = self.rule()
            if not self.skip(")"):
                raise self.wrong("expected and, or, or )")
        else:
            rule = self.question()
        self.depth -= 1
        return rule

    def question(self) -> Rule:
        column = self.advance()
        if column.kind != "column":
            mend = (
                "; a column comes first, its value second"
                if column.kind in {"text", "number"}
                else ""
            )
            raise self.wrong(f"expected the name of an item column{mend}", column)

        def asked(kind: Kind, *values: Value) -> Question:
            return Question(column.text, kind, values, column.at)

        for kind in COMPARED_WITH_ONE:
            if self.skip(kind):
                return asked(kind, self.value())
        if self.skip("is"):
            opposite = self.skip("not")
            if not self.skip("missing"):
                raise self.wrong("expected missing; anything else takes ==")
            return Not(asked("missing")) if opposite else asked("missing")
        opposite = self.skip("not")
        if self.skip("in"):
            listed = asked("in", *self.values())
            return Not(listed) if opposite else listed
        if opposite:
            raise self.wrong("expected in; other nots stand before the column")
        return asked("true")

    def values(self) -> list[Value]:
        if not self.skip("["):
            raise self.wrong("expected [ and the values")
        values = [self.value()]
        while self.skip(","):
            values.append(self.value())
        if not self.skip("]"):
            raise self.wrong("expected , or ]")
        return values

    def value(self) -> Value:
        token = self.advance()
        if token.kind == "text":
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.kind == "keyword" and token.text in {"true", "false"}:
            return token.text == "true"
        if token.kind == "number":
            return self.number(token)
        mend = " in quotes if it is a text" if token.kind == "column" else ""
        raise self.wrong(f"expected a value{mend}", token)

    def number(self, token: Token) -> float | int:
        number = float(token.text)
        if abs(number) > 1e300:
            raise self.wrong("expected a number below 1e300", token)
        whole = token.text.lstrip("+-").isdecimal()
        # A whole number that fits stays one: 2**53 + 1 is no float.
        return int(token.text) if whole and abs(number) < 2**62 else number
