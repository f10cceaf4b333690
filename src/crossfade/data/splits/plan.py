"""From a data set and a protocol to trials."""

from dataclasses import replace

from crossfade.data.dataset import Dataset
from crossfade.data.splits.cold import cold_items, cold_users
from crossfade.data.splits.per_user import per_user_plan
from crossfade.data.splits.timed import timed_plan
from crossfade.data.splits.trial import Plan, ProtocolConfig, unknown_wanted_flag


def make_plan(dataset: Dataset, protocol: ProtocolConfig, seed: int = 0) -> Plan:
    """Cut a data set by a protocol.

    Args:
        dataset: The whole log.
        protocol: Which questions to ask.
        seed: Used where the log has no order of its own and for cold shares.

    Returns:
        The plan, made by `possible_protocol`; a flag says so where that is another one.

    Raises:
        DataError: If a block asks nothing.
    """
    possible = possible_protocol(dataset, protocol)
    plan = _cut(dataset, possible, seed)
    flags = [*plan.flags, *unknown_wanted_flag(plan.tests)]
    if possible is not protocol:
        flags.insert(
            0, f"no times: protocol {protocol.name} is impossible, {possible.name} instead"
        )
    taggings = dataset.taggings
    if taggings is not None and not (plan.cuts and "timestamp" in taggings.columns):
        flags.append("tags are not cut: some may be later than the request")
    return replace(plan, flags=tuple(flags))


def possible_protocol(dataset: Dataset, protocol: ProtocolConfig) -> ProtocolConfig:
    """The protocol itself; for data without times, ``user`` in place of what needs times."""
    if dataset.has_times or protocol.name not in {"time", "repeat"}:
        return protocol
    return protocol.changed(name="user")


def _cut(dataset: Dataset, protocol: ProtocolConfig, seed: int) -> Plan:
    if protocol.name in {"user", "leave-last"}:
        return per_user_plan(dataset, protocol, seed)
    plan = (timed_plan if dataset.has_times else per_user_plan)(dataset, protocol, seed)
    if protocol.name == "cold-users" and not dataset.has_times:
        return cold_users(plan, protocol, seed)
    if protocol.name != "cold-items":
        return plan
    if protocol.cold_items == "first_seen":
        if dataset.has_times:
            return plan
        flag = "no times: nothing is known to be first seen late, so cold items are a random share"
        plan = replace(plan, flags=(*plan.flags, flag))
    return cold_items(plan, protocol, seed)
