import numpy as np
import pytest

from crossfade.explain.reasons import ReasonConfig, find_reasons
from crossfade.recommenders.attribution import NONE, of_parts

HISTORY = np.array([NONE, 4, 9], dtype=np.int32)
EVIDENCE = [("popularity", None), ("history", 4), ("history", 9), ("creator", None)]


@pytest.mark.parametrize("seed", range(20))
def test_reasons_are_those_of_a_plain_count(seed: int) -> None:
    rng, bases, n = np.random.default_rng(seed), ("a", "b", "c"), 5
    parts = {label: rng.normal(size=(n, 3, 2)).astype(np.float32) for label in bases}
    given = {label: rng.normal(size=n) for label in bases}
    config = ReasonConfig(min_share=0.1, max_reasons=2, max_items=1)
    items, rest = np.arange(n, dtype=np.int32), np.full(n, 0.5, dtype=np.float32)
    told = {label: of_parts(items, HISTORY, parts[label], rest, ("creator",)) for label in bases}
    found = find_reasons(given, told, config=config)
    for item in range(n):
        # What each piece of evidence is given by each base, and what of it by item of the history.
        of_base, of_row = np.zeros((4, 3)), np.zeros((4, 3))
        for at, label in enumerate(bases):
            part = parts[label][item].astype(np.float64)
            sums = np.append(part[:, 0], part[:, 1].sum())
            worth = max(given[label][item], 0) / (np.maximum(sums, 0).sum() + 0.5)
            of_base[:, at] = worth * sums
            of_row += worth * np.vstack([np.diag(part[:, 0]), part[:, 1]])
        total = of_base.sum(axis=1)
        least = 0.1 * sum(max(given[label][item], 0) for label in bases)
        best = [at for at in np.argsort(-total) if total[at] > 0 and total[at] >= least][:2]
        assert [reason.type for reason in found[item]] == [EVIDENCE[at][0] for at in best]
        for reason, at in zip(found[item], best, strict=True):
            assert reason.contribution == pytest.approx(total[at])
            assert reason.bases == tuple(
                bases[b] for b in np.argsort(-of_base[at]) if of_base[at, b] > 0
            )
            rows = [h for h in np.argsort(-of_row[at]) if h > 0 and of_row[at, h] > 0]
            assert reason.history_rows == tuple(HISTORY[rows[:1]])
