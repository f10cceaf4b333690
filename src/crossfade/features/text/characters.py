"""Texts as code points of one spelling, and what each code point is.

A text is lower-cased, its compatibility forms are unified and accents are removed. Then each
character is one of these:

- a *letter*: letters, digits and the marks of scripts that need them make words;
- a *symbol*: outside ASCII, such as each emoji, is a word by itself;
- a *sign*: punctuation and ASCII symbols. Signs end a word, but a run of them that
  stands alone is a word itself, so that "!!!" (a band) is not nothing;
- *dropped*: apostrophes, invisible format marks and skin tones ("don't" is "dont", a family
  emoji is the people in it);
- a *space*, or the end of a *line*, over which no word n-gram reaches.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from crossfade.types import Ints

Codes = NDArray[np.uint32]
Kinds = NDArray[np.uint8]

LETTER, SYMBOL, SIGN, SPACE, LINE, DROPPED = range(6)

_ASCII = 128
_ALL = 0x110000
_KIND_OF_CLASS = {"L": LETTER, "N": LETTER, "M": LETTER, "S": SYMBOL, "P": SIGN}
_APOSTROPHES = "'’ʼ`"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_LINE_ENDS = "\n\r\u2028\u2029"
_ACCENTS = dict.fromkeys([*range(0x300, 0x370), *range(0xFE00, 0xFE10)])
"""Combining accents, and the marks that only choose how an emoji is drawn."""


@dataclass(frozen=True)
class Characters:
    """Normalised texts as one array of code points.

    Attributes:
        codes: All texts, one after the other.
        ends: Shape ``(n + 1,)``; text ``i`` is ``codes[ends[i]:ends[i + 1]]``.
    """

    codes: Codes
    ends: Ints

    def __len__(self) -> int:
        return len(self.ends) - 1

    @classmethod
    def of(cls, texts: Sequence[str], max_characters: int) -> "Characters":
        """Normalise texts, looking at the first ``max_characters`` of each only."""
        plain = [normalised(text[:max_characters]) for text in texts]
        ends = np.zeros(len(plain) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in plain], out=ends[1:])
        # A lone surrogate is no character, but must not stop a whole catalogue: it separates.
        raw = "".join(plain).encode("utf-32-le", "surrogatepass")
        return cls(np.frombuffer(raw, dtype=np.uint32), ends)


def normalised(text: str) -> str:
    """Lower case, without accents, compatibility forms such as full-width letters unified."""
    if text.isascii():
        return text.lower()
    bare = unicodedata.normalize("NFKD", text).casefold().translate(_ACCENTS)
    return unicodedata.normalize("NFC", bare)


@cache
def character_kinds() -> Kinds:
    """What each code point is, shape ``(0x110000,)``; takes a fifth of a second, once."""
    kinds = np.full(_ALL, SPACE, dtype=np.uint8)
    for code, category in enumerate(map(unicodedata.category, map(chr, range(_ALL)))):
        if category == "Cf" or code in _SKIN_TONES:
            kinds[code] = DROPPED
        elif category[0] == "S" and code < _ASCII:
            kinds[code] = SIGN
        elif category[0] in _KIND_OF_CLASS:
            kinds[code] = _KIND_OF_CLASS[category[0]]
    kinds[[ord(character) for character in _APOSTROPHES]] = DROPPED
    kinds[[ord(character) for character in _LINE_ENDS]] = LINE
    kinds.flags.writeable = False  # it is shared by everybody
    return kinds
