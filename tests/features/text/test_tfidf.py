"""The built-in encoder."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.errors import BundleError, ConfigError, NotFittedError
from crossfade.features.text import N_DIMS, make_encoder, restore_encoder
from crossfade.features.text.tfidf import TfidfSvdConfig, TfidfSvdEncoder

CATALOGUE = [
    "Blue Train\nJohn Coltrane\njazz\nhard bop",
    "Giant Steps\nJohn Coltrane\njazz\nhard bop",
    "So What\nMiles Davis\njazz\nmodal",
    "Paranoid\nBlack Sabbath\nmetal",
    "Iron Man\nBlack Sabbath\nmetal",
    "🔥🔥🔥",
]


@pytest.fixture(scope="module")
def encoder() -> TfidfSvdEncoder:
    return TfidfSvdEncoder().fit(CATALOGUE)


@pytest.fixture(scope="module")
def greedy() -> TfidfSvdEncoder:
    """Takes as many n-grams from a text as the settings allow."""
    config = TfidfSvdConfig(
        longest_word_ngram=4, shortest_character_ngram=1, longest_character_ngram=8
    )
    return TfidfSvdEncoder(config).fit(CATALOGUE)


def test_vectors_have_length_1_and_384_columns(encoder: TfidfSvdEncoder) -> None:
    vectors = encoder.encode(CATALOGUE)
    assert vectors.shape == (len(CATALOGUE), N_DIMS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_similar_texts_are_closer_than_unrelated_ones(encoder: TfidfSvdEncoder) -> None:
    cosine = encoder.encode(CATALOGUE) @ encoder.encode(CATALOGUE).T
    same_creator, same_genre, other = cosine[0, 1], cosine[0, 2], cosine[0, 3]
    assert same_creator > same_genre > other


def test_a_misspelt_name_is_still_recognised(encoder: TfidfSvdEncoder) -> None:
    query = encoder.encode(["Jon Coltrain"])[0]
    cosine = encoder.encode(CATALOGUE) @ query
    assert cosine[:2].min() > cosine[2:].max()


def test_with_every_direction_cosines_are_those_of_the_ngrams() -> None:
    # "a" and "a a" are the same word and the same window: cosine 1. "b" shares nothing.
    config = TfidfSvdConfig(longest_word_ngram=1, longest_character_ngram=0)
    vectors = TfidfSvdEncoder(config).fit(["a", "b", "a b"]).encode(["a", "a a", "b", "a b"])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        vectors @ vectors.T,
        [[1, 1, 0, half], [1, 1, 0, half], [0, 0, 1, half], [half, half, half, 1]],
        atol=1e-6,
    )


def test_columns_beyond_the_catalogues_directions_are_0(encoder: TfidfSvdEncoder) -> None:
    # Six texts span at most six directions.
    assert not encoder.encode(CATALOGUE)[:, len(CATALOGUE) :].any()


@pytest.mark.parametrize("text", ["", "  ", "\x00", "\u200b", "qqq www"])
def test_a_text_with_nothing_known_is_nan(encoder: TfidfSvdEncoder, text: str) -> None:
    vectors = encoder.encode(["jazz", text])
    assert np.isfinite(vectors[0]).all()
    assert np.isnan(vectors[1]).all()


@given(
    st.lists(st.text(st.one_of(st.characters(codec=None), st.sampled_from("🔥a' \n!"))), max_size=9)
)
def test_any_text_is_a_unit_vector_or_nan(greedy: TfidfSvdEncoder, texts: list[str]) -> None:
    vectors = greedy.encode(texts)
    assert vectors.shape == (len(texts), N_DIMS)
    nothing = np.isnan(vectors)
    np.testing.assert_array_equal(nothing.all(axis=1), nothing.any(axis=1))
    known = vectors[~nothing[:, 0]]
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1, rtol=1e-5)


def test_emoji_are_words(encoder: TfidfSvdEncoder) -> None:
    cosine = encoder.encode(["🔥"]) @ encoder.encode(CATALOGUE).T
    assert cosine.argmax() == CATALOGUE.index("🔥🔥🔥")


def test_a_catalogue_of_one_item_can_be_encoded() -> None:
    vectors = TfidfSvdEncoder().fit(["Blue Train"]).encode(["Blue Train", "blue", "red"])
    assert vectors.shape == (3, N_DIMS)
    # One direction is all there is, so whatever shares an n-gram lies on it.
    np.testing.assert_allclose(vectors[:2, 0], 1, rtol=1e-6)
    assert np.isnan(vectors[2]).all()


@pytest.mark.parametrize("catalogue", [[], [""], ["", " "]])
def test_a_catalogue_without_text_gives_nan(catalogue: list[str]) -> None:
    vectors = TfidfSvdEncoder().fit(catalogue).encode(["Blue Train", ""])
    assert vectors.shape == (2, N_DIMS)
    assert np.isnan(vectors).all()


def test_no_texts_give_no_vectors(encoder: TfidfSvdEncoder) -> None:
    assert encoder.encode([]).shape == (0, N_DIMS)


def test_a_100_kb_text_costs_bounded_time_and_memory(encoder: TfidfSvdEncoder) -> None:
    texts = ["".join(chr(97 + (i * j) % 26) for i in range(100_000)) for j in (3, 5, 7)]
    texts += ["jazz " * 20_000]
    encoder.encode(texts)  # compiles
    tracemalloc.start()
    start = time.monotonic()
    vectors = encoder.encode(texts * 10)
    seconds, peak = time.monotonic() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 5  # a few hundredths on an idle machine
    assert peak < 64e6  # most of it the table of buckets
    assert np.isfinite(vectors[3]).all()


def world(n: int, seed: int = 0) -> list[str]:
    """Texts of made-up words, enough of them for the random decomposition."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefghijklmno"), 5)) for _ in range(400)]
    chosen = rng.zipf(1.5, (n, 6)) % len(words)
    return [" ".join(words[word] for word in row) for row in chosen.tolist()]


def test_equal_seeds_give_equal_vectors() -> None:
    texts = world(1_500)
    vectors = [
        TfidfSvdEncoder(TfidfSvdConfig(svd_texts=1_200, n_dims=64)).fit(texts, seed=seed)
        for seed in (5, 5, 6)
    ]
    first, second, other = (made.encode(texts) for made in vectors)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert vectors[0].fingerprint() == vectors[1].fingerprint() != vectors[2].fingerprint()


def test_a_batch_gives_what_single_texts_give(encoder: TfidfSvdEncoder) -> None:
    # Many, so that each thread meets several texts one after the other.
    texts = [*CATALOGUE, "", "jazz jazz"] * 20
    one_by_one = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(encoder.encode(texts), one_by_one)


def test_a_second_fit_forgets_the_first() -> None:
    again = TfidfSvdEncoder().fit(["Nothing\nof that"]).fit(CATALOGUE)
    assert again.fingerprint() == TfidfSvdEncoder().fit(CATALOGUE).fingerprint()


def test_rare_ngrams_of_large_catalogues_are_left_out() -> None:
    texts = [f"common rare{i}x" for i in range(1_000)]
    config = TfidfSvdConfig(longest_word_ngram=1, longest_character_ngram=0, n_dims=4)
    assert len(TfidfSvdEncoder(config).fit(texts).state()["buckets"]) == 1
    assert len(TfidfSvdEncoder(config).fit(texts[:999]).state()["buckets"]) == 1_000


def test_at_most_so_many_ngrams_are_kept_the_frequent_first() -> None:
    config = TfidfSvdConfig(max_ngrams=1, longest_word_ngram=1, longest_character_ngram=0)
    vectors = TfidfSvdEncoder(config).fit(["rock a", "rock b"]).encode(["rock", "a", "b"])
    assert np.isnan(vectors[:, 0]).tolist() == [False, True, True]


def test_restored_is_bit_for_bit_the_same(encoder: TfidfSvdEncoder) -> None:
    arrays = {name: array.copy() for name, array in encoder.state().items()}
    restored = restore_encoder("tfidf", encoder.settings, arrays)
    np.testing.assert_array_equal(restored.encode(CATALOGUE), encoder.encode(CATALOGUE))
    assert restored.fingerprint() == encoder.fingerprint()


def test_a_missing_array_is_named(encoder: TfidfSvdEncoder) -> None:
    arrays = encoder.state()
    del arrays["idf"]
    with pytest.raises(KeyError, match="idf"):
        restore_encoder("tfidf", encoder.settings, arrays)


@pytest.mark.parametrize("name", ["buckets", "checks", "idf", "components"])
def test_arrays_that_do_not_belong_together_are_refused(
    encoder: TfidfSvdEncoder, name: str
) -> None:
    arrays = encoder.state()
    arrays[name] = arrays[name][:-1]
    with pytest.raises(BundleError, match="do not belong together"):
        restore_encoder("tfidf", encoder.settings, arrays)


def test_buckets_of_other_settings_are_refused(encoder: TfidfSvdEncoder) -> None:
    with pytest.raises(BundleError, match="do not belong together"):
        restore_encoder("tfidf", {**encoder.settings, "hash_bits": 8}, encoder.state())


def test_the_fingerprint_follows_catalogue_and_settings(encoder: TfidfSvdEncoder) -> None:
    others = [
        TfidfSvdEncoder().fit(CATALOGUE[:-1]),
        TfidfSvdEncoder(TfidfSvdConfig(word_weight=2.0)).fit(CATALOGUE),
        TfidfSvdEncoder(TfidfSvdConfig(max_characters=99)).fit(CATALOGUE),
    ]
    assert len({made.fingerprint() for made in [encoder, *others]}) == 4


def test_encoding_before_fitting_is_refused() -> None:
    with pytest.raises(NotFittedError, match='"tfidf" has not been fitted; call fit'):
        TfidfSvdEncoder().encode(["a"])


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"(?s)max_ngrams.*got 0.*n_dims.*got -1"):
        make_encoder("tfidf", {"max_ngrams": 0, "n_dims": -1})
    with pytest.raises(ConfigError, match="both 0"):
        make_encoder("tfidf", {"longest_word_ngram": 0, "longest_character_ngram": 0})
    with pytest.raises(ConfigError, match=r"at least shortest_character_ngram \(4\), got 2"):
        make_encoder("tfidf", {"shortest_character_ngram": 4, "longest_character_ngram": 2})


def test_an_unknown_encoder_is_named_with_the_known_ones() -> None:
    for make in (make_encoder, lambda name: restore_encoder(name, {}, {})):
        with pytest.raises(ConfigError, match='no text encoder "bert"; choose from tfidf, minilm'):
            make("bert")
