"""Pleasant made-up names, so that demo output reads like a shop window."""

import numpy as np

_ONSETS = (
    "b", "br", "d", "f", "fl", "gr", "h", "k", "l", "m",
    "n", "p", "r", "s", "sh", "t", "tr", "v", "w", "z",
)  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea")
_ENDS = ("", "", "", "l", "n", "r", "s", "m", "nd", "th", "ra", "na")
_ARTIST_FORMS = ("{}", "{} {}", "The {}s", "{} & {}", "DJ {}", "{} Ensemble", "{} {} Trio")
_TITLE_FORMS = (
    "{}", "{} {}", "{} Nights", "Song for {}", "The {} Road", "{} in Blue", "After {}",
    "Dear {}", "{} Avenue", "Leaving {}", "Slow {}", "{} Again",
)  # fmt: skip


def artist_names(n: int, rng: np.random.Generator) -> list[str]:
    """Different names for ``n`` artists."""
    return _distinct(n, _ARTIST_FORMS, rng)


def track_titles(n: int, rng: np.random.Generator) -> list[str]:
    """Titles for ``n`` tracks; as in life, two tracks may share one."""
    return [_phrase(_TITLE_FORMS, rng) for _ in range(n)]


def _distinct(n: int, forms: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    seen: dict[str, None] = {}
    while len(seen) < n:
        seen.setdefault(_phrase(forms, rng))
    return list(seen)


def _phrase(forms: tuple[str, ...], rng: np.random.Generator) -> str:
    return forms[rng.integers(len(forms))].format(_word(rng), _word(rng))


def _word(rng: np.random.Generator) -> str:
    # One draw of five numbers instead of five calls: names are much of a small world's cost.
    *syllables, end = rng.random(5).tolist()
    word = "".join(
        _ONSETS[int(onset * len(_ONSETS))] + _VOWELS[int(vowel * len(_VOWELS))]
        for onset, vowel in (syllables[:2], syllables[2:])
    )
    return (word + _ENDS[int(end * len(_ENDS))]).capitalize()
