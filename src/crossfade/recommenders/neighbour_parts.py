"""What the votes of people with the same taste come from."""

import numba
import numpy as np

from crossfade.recommenders.attribution import as_it_is, place_of, sieve_of
from crossfade.recommenders.kernels import csr_parts, largest_places
from crossfade.types import Csr, Floats, Ints, Rows


def pull_of_labels(
    unit: Csr,
    item_rows: Rows,
    *,
    profile_of: Csr,
    unit_profiles: Csr,
    trust: Floats,
    wanted: Csr,
    n_neighbours: int,
) -> Floats:
    """What each label of one person's profile adds to the votes for some items, per unit of it.

    Args:
        unit: The person's profile, ``(1, n_labels)``.
        item_rows: The items asked for, ``(L,)``; they may repeat.
        profile_of: Everybody's by label, ``(n_labels, n_people)``.
        unit_profiles: The same by person.
        trust: How far each person's profile is believed, ``(n_people,)``.
        wanted: What they wanted, ``(n_people, n_items)``.
        n_neighbours: Most similar people who vote.

    Returns:
        Shape ``(L, n_labels)``: times the profile's entries it adds up to the votes.
    """
    asked, where = np.unique(item_rows, return_inverse=True)
    pull = np.zeros((len(asked), unit.shape[1]), dtype=np.float32)
    _pull(
        *csr_parts(unit),
        *as_it_is(profile_of),
        *as_it_is(unit_profiles),
        trust,
        *as_it_is(wanted)[:2],
        asked.astype(np.int32),
        n_neighbours,
        pull,
    )
    return pull[where]


@numba.njit(cache=True, nogil=True)
def _pull(  # noqa: PLR0917  (kernels know no keywords)
    indptr: Ints,
    labels: Rows,
    values: Floats,
    label_indptr: Ints,
    label_people: Rows,
    label_values: Floats,
    person_indptr: Ints,
    person_labels: Rows,
    person_values: Floats,
    trust: Floats,
    wanted_indptr: Ints,
    wanted_items: Rows,
    asked: Rows,
    n_neighbours: int,
    pull: Floats,
) -> None:
    cosine = np.zeros(len(trust), dtype=np.float32)
    for place in range(indptr[0], indptr[1]):
        for other in range(label_indptr[labels[place]], label_indptr[labels[place] + 1]):
            cosine[label_people[other]] += values[place] * label_values[other]
    similarity = cosine * trust
    neighbours = largest_places(similarity, n_neighbours)
    total = np.float32(0)
    for person in neighbours:
        total += similarity[person]
    if total <= 0:
        return
    sieve = sieve_of(asked)
    for person in neighbours:
        share = trust[person] / total
        for at in range(wanted_indptr[person], wanted_indptr[person + 1]):
            item = place_of(wanted_items[at], asked, sieve)
            if item < 0:
                continue
            for label in range(person_indptr[person], person_indptr[person + 1]):
                pull[item, person_labels[label]] += share * person_values[label]
