"""Words, windows and their weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import FeatureUnion

from crossfade.features.text.characters import Characters, normalised
from crossfade.features.text.ngrams import NgramHasher, NgramWeights
from crossfade.types import Doubles, Rows

WORDS_ONLY = NgramHasher(1, 3, 0, 1 << 16)
PAIRS = NgramHasher(2, 3, 0, 1 << 16)
WINDOWS = NgramHasher(0, 3, 4, 1 << 16)


def found(hasher: NgramHasher, *texts: str) -> Rows:
    """In how many texts each n-gram occurs, most first."""
    counts = hasher.count(Characters.of(texts, 10_000))[1]
    return np.sort(counts[counts > 0])[::-1]


def same(hasher: NgramHasher, left: str, right: str) -> bool:
    one, other = (hasher.count(Characters.of([text], 10_000)) for text in (left, right))
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Beyoncé", "beyonce"),
        ("ＢＬＵＥ", "blue"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("ポップ", "ポップ"),
        ("한국", "한국"),
        ("हिन्दी", "हिन्दी"),
        ("❤️", "❤"),
    ],
)
def test_spellings_that_mean_the_same_become_one(text: str, plain: str) -> None:
    assert normalised(text) == plain


def test_words_by_hand() -> None:
    # "the" in both texts; "cat", "dog" in one each.
    assert found(WORDS_ONLY, "the cat", "The DOG the").tolist() == [2, 1, 1]


def test_pairs_by_hand() -> None:
    # a, b, c, "a b", "b c"
    assert len(found(PAIRS, "a b c")) == 5


def test_pairs_do_not_cross_lines() -> None:
    assert len(found(PAIRS, "a b\nc")) == 4


def test_a_pair_has_an_order() -> None:
    assert not same(PAIRS, "a b", "b a")


def test_windows_by_hand() -> None:
    # " ab ": three characters " ab", "ab "; four " ab ".
    assert len(found(WINDOWS, "ab")) == 3
    # " a " is shorter than four characters, so it is one window.
    assert len(found(WINDOWS, "a")) == 1


def test_a_word_shorter_than_every_window_is_a_window_itself() -> None:
    assert len(found(NgramHasher(0, 5, 6, 1 << 16), "a")) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("don't", "dont"),
        ("rock-n-roll", "rock n roll"),
        ("a.b", "a b"),
        ("hip hop", "hip\u200b hop"),
        ("mañana", "manana"),
        ("🔥🔥", "🔥\ufe0f 🔥"),
        ("hot🔥track", "hot 🔥 track"),
        ("👍🏽", "👍"),
        ("Song (Live)", "song live"),
        ("\ud800 lone", "lone"),
    ],
)
def test_spellings_with_the_same_words(left: str, right: str) -> None:
    assert same(PAIRS, left, right)


@pytest.mark.parametrize("text", ["!!!", "🔥", "÷", "???", "+", "$$$"])
def test_signs_that_stand_alone_are_a_word(text: str) -> None:
    assert len(found(WORDS_ONLY, text)) == 1
    assert not same(WORDS_ONLY, text, "@")


@pytest.mark.parametrize("text", ["", " ", "\x00", "\u200b", "'", "\n\n"])
def test_nothing_has_no_ngram(text: str) -> None:
    assert len(found(NgramHasher(2, 3, 5, 1 << 16), text)) == 0


def test_an_ngram_that_shares_a_bucket_is_not_mistaken_for_the_known_one() -> None:
    # Two buckets for words: of 50 words, at most one in each can be known.
    hasher = NgramHasher(1, 3, 0, 2)
    words = [f"word{i}" for i in range(50)]
    checks, counts = hasher.count(Characters.of(["common", "common", "common"], 10_000))
    (bucket,) = np.flatnonzero(counts).astype(np.int32)
    one = np.ones(1, dtype=np.float32)
    weights = NgramWeights(hasher, np.array([bucket]), checks[[bucket]], one, 1.0, 1.0)
    known = weights.rows(Characters.of([*words, "common"], 10_000))
    assert np.diff(known.indptr).tolist() == [0] * 50 + [1]


def test_the_commonest_ngram_of_a_bucket_is_the_known_one() -> None:
    hasher = NgramHasher(1, 3, 0, 1)
    texts = ["common"] * 60 + [f"word{i}" for i in range(50)]
    assert hasher.count(Characters.of(texts[::-1], 10_000))[1].tolist() == [60, 0]


def test_no_texts_have_no_ngrams() -> None:
    assert len(found(PAIRS)) == 0


def similarities(texts: list[str]) -> Doubles:
    """Products of TF-IDF rows, with n-grams as hashed columns."""
    hasher = NgramHasher(2, 3, 5, 1 << 18)
    characters = Characters.of(texts, 10_000)
    checks, counts = hasher.count(characters)
    buckets = np.flatnonzero(counts).astype(np.int32)
    idf = (np.log((1 + len(texts)) / (1 + counts[buckets])) + 1).astype(np.float32)
    rows = NgramWeights(hasher, buckets, checks[buckets], idf, 1.0, 0.7).rows(characters).toarray()
    return rows.astype(np.float64) @ rows.T.astype(np.float64)


def reference(texts: list[str]) -> Doubles:
    """The same by scikit-learn, with n-grams as strings."""
    halves = FeatureUnion(
        [
            ("words", TfidfVectorizer(token_pattern=r"\w+", ngram_range=(1, 2), sublinear_tf=True)),
            (
                "characters",
                TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
            ),
        ],
        transformer_weights={"words": 1.0, "characters": 0.7},
    )
    rows = halves.fit_transform(texts).toarray()
    product: Doubles = rows @ rows.T
    return product


def test_rows_are_those_of_scikit_learn() -> None:
    texts = ["blue train", "blue blue in green", "a love supreme", "green", "x", "train"]
    texts += [f"{left} {right}" for left in texts for right in texts]  # several for each thread
    np.testing.assert_allclose(similarities(texts), reference(texts), atol=1e-6)


@settings(max_examples=40)
@given(
    st.lists(
        st.text("abc ", min_size=1, max_size=20).filter(lambda text: text.strip() != ""),
        min_size=1,
        max_size=20,
    )
)
def test_rows_are_those_of_scikit_learn_for_any_text(texts: list[str]) -> None:
    np.testing.assert_allclose(similarities(texts), reference(texts), atol=1e-5)
