"""From a data set and a protocol to trials."""

from dataclasses import replace

from crossfade.data.dataset import Dataset
from crossfade.data.splits.cold import cold_items, cold_users
from crossfade.data.splits.per_user import per_user_plan
from crossfade.data.splits.timed import timed_plan
from crossfade.data.splits.trial import Plan, ProtocolConfig, unknown_wanted_flag
from crossfade.errors import DataError


def make_plan(dataset: Dataset, protocol: ProtocolConfig, seed: int = 0) -> Plan:
    """Cut a data set by a protocol.

    Args:
        dataset: The whole log.
        protocol: Which questions to ask.
        seed: Used where the log has no order of its own and for cold shares.

    Raises:
        DataError: If the protocol needs times the data lacks, or a block asks nothing.
    """
    plan = _cut(dataset, protocol, seed)
    flags = [*plan.flags, *unknown_wanted_flag(plan.tests)]
    taggings = dataset.taggings
    if taggings is not None and not (plan.cuts and "timestamp" in taggings.columns):
        flags.append("tags are not cut: some may be later than the request")
    return replace(plan, flags=tuple(flags))


def _cut(dataset: Dataset, protocol: ProtocolConfig, seed: int) -> Plan:
    if protocol.name in {"user", "leave-last"}:
        return per_user_plan(dataset, protocol, seed)
    if not dataset.has_times:
        if protocol.name in {"time", "repeat"}:
            raise DataError(
                f"{dataset.name}: events have no times, so protocol {protocol.name} is impossible; "
                "use --protocol user"
            )
        plan = per_user_plan(dataset, protocol, seed)
    else:
        plan = timed_plan(dataset, protocol)
    if protocol.name == "cold-users":
        return cold_users(plan, protocol, seed)
    return cold_items(plan, protocol, seed) if protocol.name == "cold-items" else plan
