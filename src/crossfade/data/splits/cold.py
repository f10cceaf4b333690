"""Strictly cold users and items: kept out of training altogether."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from crossfade.data.dataset import Dataset
from crossfade.data.query import Queries
from crossfade.data.splits.trial import Plan, ProtocolConfig, Trial, checked
from crossfade.rng import generator
from crossfade.types import Bools, Csr, Ints, Rows


def cold_users(plan: Plan, protocol: ProtocolConfig, seed: int) -> Plan:
    """Some users vanish from training; they show their first few events and are then asked."""

    def cold(trial: Trial) -> Trial:
        users = np.unique(trial.queries.user_row)
        chosen = chosen_share(users, protocol.cold_share, seed, "splits.cold-users")
        train = trial.train.without_users(chosen)
        queries = _first_events(trial.queries, n_shown(protocol, len(trial.queries), seed))
        keep = np.flatnonzero(np.isin(queries.user_row, chosen))
        stranger = replace(queries.take(keep), user_row=np.full(len(keep), -1, dtype=np.int32))
        return checked(
            replace(
                trial,
                train=train,
                queries=stranger,
                relevant=Csr(trial.relevant[keep]),
                # What the stranger met later but does not show is no miss of the recommender's.
                hidden=Csr(trial.queries.seen[keep]) if trial.exclude_seen else None,
                candidates=_still_known(trial, train),
            )
        )

    return _mapped(plan, cold, cold_users_flag(protocol))


def cold_users_flag(protocol: ProtocolConfig) -> str:
    """What a reader must know about cold users."""
    fewest, most = protocol.fewest_shown, protocol.cold_history
    shown = f"{most}" if fewest == most else f"{fewest} to {most}"
    return (
        f"cold users: {protocol.cold_share:.0%} of asking users unseen in training, "
        f"first {shown} events shown"
    )


def cold_items(plan: Plan, protocol: ProtocolConfig, seed: int) -> Plan:
    """Some items vanish from training and histories; only they are asked for."""

    def cold(trial: Trial) -> Trial:
        items = np.unique(trial.relevant.indices).astype(np.int32)
        chosen = chosen_share(items, protocol.cold_share, seed, "splits.cold-items")
        is_cold = np.zeros(trial.queries.n_items, dtype=np.bool_)
        is_cold[chosen] = True
        relevant = Csr(trial.relevant.multiply(is_cold[None, :]))
        relevant.eliminate_zeros()
        keep = np.flatnonzero(np.diff(relevant.indptr))
        asking = trial.queries.take(keep)
        queries = filtered(asking, ~is_cold[asking.item_row])
        met = Csr(asking.seen.multiply(is_cold[None, :]))
        met.eliminate_zeros()
        return checked(
            replace(
                trial,
                train=trial.train.without_items(chosen),
                queries=queries,
                relevant=Csr(relevant[keep]),
                candidates=is_cold,
                # Cold items met earlier are out of the history, yet they stay known to the user.
                hidden=met if trial.exclude_seen else None,
            )
        )

    flag = f"cold items: {protocol.cold_share:.0%} of wanted items unseen in training, ranked among themselves"
    return _mapped(plan, cold, flag)


def _still_known(trial: Trial, train: Dataset) -> Bools | None:
    """Candidates less the items that only those knew who are gone."""
    if trial.candidates is None:
        return None
    lost = trial.train.known_items(None) & ~train.known_items(None)
    return trial.candidates & ~lost


def _mapped(plan: Plan, change: Callable[[Trial], Trial], flag: str) -> Plan:
    return replace(
        plan,
        fuse=change(plan.fuse),
        calibrate=change(plan.calibrate),
        tests=tuple(change(trial) for trial in plan.tests),
        flags=(*plan.flags, flag),
    )


def chosen_share(rows: Rows | Ints, share: float, seed: int, purpose: str) -> Rows:
    """A random share of some rows, one at least."""
    n_chosen = min(len(rows), max(1, round(len(rows) * share)))
    return generator(seed, purpose).choice(rows, size=n_chosen, replace=False).astype(np.int32)


def n_shown(protocol: ProtocolConfig, n_requests: int, seed: int) -> Ints:
    """How many events each cold user shows, drawn evenly between the fewest and the most."""
    rng = generator(seed, "splits.cold-history")
    return rng.integers(protocol.fewest_shown, protocol.cold_history + 1, size=n_requests)


def _first_events(queries: Queries, n_events: Ints) -> Queries:
    place = np.arange(len(queries.item_row)) - queries.indptr[:-1][queries.owner]
    return filtered(queries, place < n_events[queries.owner])


def filtered(queries: Queries, keep: Bools) -> Queries:
    """The same requests with some history events taken out."""
    sizes = np.bincount(queries.owner[keep], minlength=len(queries))
    indptr: Ints = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return replace(
        queries,
        indptr=indptr,
        item_row=queries.item_row[keep],
        time_us=None if queries.time_us is None else queries.time_us[keep],
        strength=queries.strength[keep],
        session_row=queries.session_row[keep],
    )
