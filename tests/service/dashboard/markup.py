"""Pages as a browser would read them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "path", "rect", "br", "img"}


@dataclass
class Element:
    """One element with what is written inside it."""

    tag: str
    attributes: dict[str, str]
    inside: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (one if isinstance(one, str) else one.text for one in self.inside)
        return " ".join("".join(parts).split())

    def walk(self) -> Iterator["Element"]:
        yield self
        for one in self.inside:
            if isinstance(one, Element):
                yield from one.walk()

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        return [
            one
            for one in self.walk()
            if one.tag == tag and attributes.items() <= one.attributes.items()
        ]

    def of_class(self, name: str) -> list["Element"]:
        return [one for one in self.walk() if name in one.attributes.get("class", "").split()]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        made = Element(tag, {name: value or "" for name, value in attrs})
        self.stack[-1].inside.append(made)
        if tag not in VOID:
            self.stack.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.stack[-1].inside.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.stack[-1].tag == tag, (self.stack[-1].tag, tag)
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        self.stack[-1].inside.append(data)


def page(text: str) -> Element:
    """A page; fails where elements are not closed in the order they were opened."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert len(reader.stack) == 1, [one.tag for one in reader.stack]
    return reader.stack[0]
