"""The report's section of samples: lists with their reasons."""

from collections.abc import Mapping, Sequence
from typing import Any

from crossfade.evaluation.samples import Sample, SampleItem


def samples_section(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """What ``samples.html.j2`` shows."""
    return [
        {
            "user": "a stranger" if sample.user_id is None else sample.user_id,
            "as_of": sample.as_of,
            "events": _counted(sample.n_history, "event"),
            "latest": [sample.name(item) for item in sample.latest],
            "found": f"{sum(item.wanted for item in sample.items)} of {sample.n_wanted:,}",
            "by": "the learned model" if sample.by_model else "the static weights",
            "items": [_item(sample, item) for item in sample.items],
        }
        for sample in samples
    ]


def _item(sample: Sample, item: SampleItem) -> dict[str, Any]:
    return {
        # Where artists are the items, title and creator are one name.
        "title": " — ".join(
            dict.fromkeys(part for part in (item.title, item.creator) if part is not None)
        ),
        "id": item.item_id,
        "probability": "–" if item.probability is None else f"{item.probability:.1%}",
        "wanted": item.wanted,
        "sentence": item.sentence or "Nothing is known that would be a reason.",
        "reasons": [_reason(sample, reason) for reason in item.reasons],
    }


def _reason(sample: Sample, reason: Mapping[str, Any]) -> str:
    """Such as ``genre jazz 31% (content_knn): So What [item12]``."""
    evidence = reason["evidence"]
    head = " ".join(part for part in (reason["type"], evidence["name"]) if part)
    bases = f" ({', '.join(reason['bases'])})" if reason["bases"] else ""
    items = ", ".join(sample.name(item) for item in evidence["items"])
    ratings = "" if evidence["n_ratings"] is None else f"{evidence['n_ratings']:,} ratings"
    after = "; ".join(part for part in (items, ratings) if part)
    return f"{head} {reason['share']:.0%}{bases}" + (f": {after}" if after else "")


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
