"""`evaluate` end to end on a world small enough to work out by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from crossfade.data import Dataset, Queries
from crossfade.data.splits import Trial
from crossfade.errors import ConfigError
from crossfade.evaluation import EvaluationConfig, Named, evaluate, ranked_lists, table_rows
from crossfade.types import Bools, Csr, Floats

QUICK = EvaluationConfig(resamples=200, flips=200)


@dataclass(frozen=True)
class Fixed:
    """The same scores for every request."""

    scores: Sequence[float]
    name: str = "fixed"

    def score_batch(self, queries: Queries) -> Floats:
        return np.tile(np.array(self.scores, dtype=np.float32), (len(queries), 1))


def history() -> Dataset:
    """Users u0 and u1; u0 met item a, u1 met items a and b; items c to e are in the catalogue."""
    events = pl.DataFrame({"user_id": ["u0", "u1", "u1"], "item_id": ["a", "a", "b"]})
    return Dataset.build(events, pl.DataFrame({"item_id": list("abcde")}), name="hand")


def trial(
    wanted: list[list[int]],
    users: Sequence[int] = (0, 1),
    *,
    exclude_seen: bool = True,
    candidates: Bools | None = None,
    hidden: Csr | None = None,
) -> Trial:
    train = history()
    relevant = np.zeros((len(users), 5), dtype=np.float32)
    for row, items in enumerate(wanted):
        relevant[row, items] = 1
    return Trial(
        "test",
        train,
        train.queries(users),
        Csr(relevant),
        exclude_seen=exclude_seen,
        candidates=candidates,
        hidden=hidden,
    )


A_FIRST = Fixed([5, 4, 3, 2, 1])


def test_seen_items_are_removed_only_where_the_protocol_says_so() -> None:
    assert ranked_lists(A_FIRST, trial([[2], [2]]), 3).tolist() == [[1, 2, 3], [2, 3, 4]]
    kept = trial([[2], [2]], exclude_seen=False)
    assert ranked_lists(A_FIRST, kept, 3).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_only_candidates_are_ranked_and_hidden_items_are_not() -> None:
    candidates = np.array([False, False, False, True, True])
    asked = trial([[3], [3]], candidates=candidates)
    assert ranked_lists(A_FIRST, asked, 3).tolist() == [[3, 4, -1], [3, 4, -1]]
    hidden = Csr(np.array([[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=np.float32))
    assert ranked_lists(A_FIRST, trial([[2], [2]], hidden=hidden), 1).tolist() == [[2], [2]]


def test_ties_go_by_row() -> None:
    assert ranked_lists(Fixed([1, 1, 1, 1, 1]), trial([[2], [2]]), 2).tolist() == [[1, 2], [2, 3]]


def test_batches_give_the_same_lists_as_one_pass() -> None:
    users = [0, 1, 0, 1, 1]
    asked = trial([[2]] * 5, users)
    whole = evaluate([asked], [[A_FIRST]], QUICK)
    pieces = evaluate([asked], [[A_FIRST]], QUICK.changed(max_cells=1))
    assert whole.requests.equals(pieces.requests)
    assert whole.summary.equals(pieces.summary)
    assert (
        ranked_lists(A_FIRST, asked, 3, max_cells=1).tolist()
        == ranked_lists(A_FIRST, asked, 3).tolist()
    )


def test_metrics_by_hand() -> None:
    # u0 gets b c d e, wants c: rank 2. u1 gets c d e, wants c and e: ranks 1 and 3.
    found = evaluate([trial([[2], [2, 4]])], [[A_FIRST]], QUICK)
    log3 = np.log2(3)
    u1 = (1 + 1 / 2) / (1 + 1 / log3)
    assert found.mean("fixed", "ndcg@10") == pytest.approx((1 / log3 + u1) / 2)
    assert found.mean("fixed", "recall@20") == 1.0
    assert found.mean("fixed", "precision@10") == pytest.approx((0.1 + 0.2) / 2)
    assert found.mean("fixed", "mrr@10") == pytest.approx((1 / 2 + 1) / 2)
    assert found.mean("fixed", "map@10") == pytest.approx((1 / 2 + (1 + 2 / 3) / 2) / 2)
    assert found.mean("fixed", "coverage@10") == pytest.approx(4 / 5)
    assert found.n_users == 2


def test_a_user_who_asks_three_times_weighs_as_much_as_one_who_asks_once() -> None:
    # u0 finds its item at rank 1 three times; u1 misses once.
    asked = trial([[1], [1], [1], [0]], [0, 0, 0, 1])
    found = evaluate([asked], [[A_FIRST]], QUICK)
    assert found.mean("fixed", "ndcg@10") == pytest.approx(1 / 2)
    assert found.users["n_requests"].to_list() == [3, 1]
    assert found.users["user_id"].to_list() == ["u0", "u1"]


def test_every_stranger_is_a_unit_of_their_own() -> None:
    asked = trial([[1], [2], [2]], [0, 0, 1])
    strangers = replace(asked.queries, user_row=np.array([-1, -1, 1], dtype=np.int32))
    found = evaluate([replace(asked, queries=strangers)], [[A_FIRST]], QUICK)
    assert found.n_users == 3
    assert found.users["user_id"].null_count() == 2


def test_the_same_user_in_two_windows_is_one_unit() -> None:
    windows = [trial([[1]], [0]), trial([[4]], [0])]
    found = evaluate(windows, [[A_FIRST], [A_FIRST]], QUICK)
    assert found.n_users == 1
    assert found.requests["trial"].to_list() == [0, 1]
    assert found.mean("fixed", "hr@10") == 1.0


def test_no_answer_counts_as_a_miss_and_is_reported() -> None:
    class Shy:
        name = "shy"

        def score_batch(self, queries: Queries) -> Floats:
            scores = np.full((len(queries), queries.n_items), np.nan, dtype=np.float32)
            scores[queries.user_row == 0] = [5, 4, 3, 2, 1]
            return scores

    found = evaluate([trial([[1], [2]])], [[Shy()]], QUICK)
    assert found.mean("shy", "answered") == 0.5
    assert found.mean("shy", "ndcg@10") == 0.5
    assert found.mean("shy", "novelty@10") > 0  # of the one list there is


def test_a_model_may_hand_out_its_own_read_only_memory() -> None:
    class Broadcast:
        name = "broadcast"
        scores = np.array([5, 4, 3, 2, 1], dtype=np.float32)

        def score_batch(self, queries: Queries) -> Floats:
            return np.broadcast_to(self.scores, (len(queries), 5))

    model = Broadcast()
    evaluate([trial([[1], [2]])], [[model]], QUICK)
    assert model.scores.tolist() == [5, 4, 3, 2, 1]


def test_comparisons_are_mirrored_and_use_the_reference() -> None:
    users = [0, 1] * 20
    asked = trial([[1], [2]] * 20, users)
    models = [A_FIRST, Fixed([1, 2, 3, 4, 5], "reverse"), Fixed([5, 4, 3, 1, 2], "close")]
    found = evaluate([asked], [models], QUICK.changed(reference="reverse")).comparisons
    rows = {(r["model"], r["other"], r["against"]): r for r in found.iter_rows(named=True)}
    assert set(rows) == {
        ("fixed", "close", "best other"),
        ("close", "fixed", "best other"),
        ("reverse", "fixed", "best other"),
        ("fixed", "reverse", "reference"),
        ("close", "reverse", "reference"),
    }
    there, back = rows["fixed", "reverse", "reference"], rows["reverse", "fixed", "best other"]
    assert there["difference"] == -back["difference"] > 0
    assert (there["low"], there["high"]) == (-back["high"], -back["low"])
    assert there["p"] == back["p"] == 0.5  # two users: of ++ +- -+ -- two are as extreme
    assert rows["fixed", "close", "best other"]["p_holm"] == 1.0


def test_where_popularity_answers_nothing_genre_popularity_is_the_reference() -> None:
    mute = Fixed([np.nan] * 5, "popularity")
    genre = Fixed([1, 2, 3, 4, 5], "genre_popularity")
    found = evaluate([trial([[2], [2]])], [[A_FIRST, mute, genre]], QUICK)
    against = found.comparisons.filter(pl.col("against") == "reference")
    assert set(against["other"]) == {"genre_popularity"}
    (flag,) = (flag for flag in found.about.flags if "empty list" in flag)
    assert flag == "popularity: no request was answered, so 0 is the number of an empty list"
    assert found.mean("popularity", "ndcg@10") == 0
    alone = evaluate([trial([[2], [2]])], [[A_FIRST, mute]], QUICK).comparisons
    assert alone.filter(pl.col("against") == "reference").is_empty()


def test_popularity_is_the_reference_unless_another_is_named() -> None:
    models = [A_FIRST, Fixed([1, 2, 3, 4, 5], "popularity")]
    found = evaluate([trial([[1], [2]])], [models], QUICK).comparisons
    assert found.filter(pl.col("against") == "reference")["other"].to_list() == ["popularity"]


def test_one_model_alone_has_no_comparison() -> None:
    found = evaluate([trial([[1], [2]])], [[A_FIRST]], QUICK)
    assert found.comparisons.is_empty()
    assert found.losing_slices("fixed").is_empty()


def test_equal_seeds_give_equal_intervals() -> None:
    asked = [trial([[2], [4]])]
    first, second = (evaluate(asked, [[A_FIRST]], QUICK, seed=3) for _ in range(2))
    assert first.summary.equals(second.summary)
    assert first.slices.equals(second.slices)


def test_deciding_ties_are_flagged() -> None:
    found = evaluate([trial([[2], [4]])], [[Fixed([1, 1, 1, 1, 1])]], QUICK)
    assert not found.about.flags  # five items, lists of ten: nothing was left out
    short = QUICK.changed(metrics=("ndcg@1",), primary="ndcg@1", slice_recall_k=1)
    flags = evaluate([trial([[2], [4]])], [[Fixed([1, 1, 1, 1, 1])]], short).about.flags
    assert flags == (
        "fixed: equal scores decide who is listed in 100% of requests; ties go by item id, "
        "which can carry information",
    )
    assert evaluate([trial([[2], [4]])], [[A_FIRST]], short).about.flags == ()


def test_wrong_calls_name_the_fault() -> None:
    asked = trial([[1], [2]])
    with pytest.raises(ConfigError, match="at least one recommender"):
        evaluate([asked], [[]], QUICK)
    with pytest.raises(ConfigError, match="two models are called fixed"):
        evaluate([asked], [[A_FIRST, A_FIRST]], QUICK)
    with pytest.raises(ConfigError, match='reference "nmf" is none of fixed'):
        evaluate([asked], [[A_FIRST]], QUICK.changed(reference="nmf"))
    with pytest.raises(ConfigError, match="give each trial the same models"):
        evaluate([asked, asked], [[A_FIRST], [Named("other", A_FIRST)]], QUICK)
    with pytest.raises(ValueError, match=r"fixed gave scores of shape \(2, 3\)"):
        evaluate([asked], [[Fixed([1, 2, 3])]], QUICK)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"metrics": ("ndgc@10",)}, 'knows no metric "ndgc@10"'),
        ({"metrics": ("ndcg",)}, 'knows no metric "ndcg"'),
        ({"metrics": ("ndcg@0",)}, 'knows no metric "ndcg@0"'),
        ({"metrics": ("ndcg@10", "ndcg@10")}, "each metric once"),
        ({"primary": "coverage@10"}, "accuracy metric"),
        ({"primary": "ndcg@7"}, "accuracy metric"),
        ({"history_edges": (5, 5)}, "rising"),
        ({"item_age_days": (0.0, 5.0)}, "rising"),
        ({"guess_draws": 8}, "more than the 8 audio features"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationConfig(**values)


def test_the_table_is_sorted_and_has_intervals() -> None:
    models = [Fixed([1, 2, 3, 4, 5], "reverse"), A_FIRST]
    found = evaluate([trial([[1], [2]])], [models], QUICK)
    rows = table_rows(found)
    header = ("model", "n", "ndcg@10", "recall@20", "coverage@10", "gini@10", "answered")
    assert rows[0] == header
    assert [row[0] for row in rows[1:]] == ["fixed", "reverse"]
    assert rows[1][1:4] == ("2", "1.0000 [1.0000, 1.0000]", "1.0000 [1.0000, 1.0000]")
    assert rows[1][-1] == "100.0%"
    assert table_rows(found, ("hr@10",))[0] == ("model", "n", "hr@10")
