"""Items that are described like the ones in the history."""

import numpy as np

from crossfade.arrays import pack_csr, pack_strings, unpack_csr, unpack_strings
from crossfade.config import Field
from crossfade.data import Dataset, Queries
from crossfade.recommenders.attribution import Attribution, nothing, weighted_items
from crossfade.recommenders.base import Recommender
from crossfade.recommenders.content import LabelWords, TagCounts, catalogue_words, tag_counts
from crossfade.recommenders.content_kernels import (
    Described,
    Postings,
    Taggings,
    all_cosines,
    cosines_of,
    descriptions_for,
    postings_of,
)
from crossfade.recommenders.content_parts import Descriptions, content_parts
from crossfade.recommenders.history import HistoryConfig, weighted_parts
from crossfade.recommenders.kernels import csr_parts
from crossfade.recommenders.labels import stated_labels
from crossfade.types import Arrays, Csr, CsrParts, Floats, Rows


class ContentKNNConfig(HistoryConfig):
    """What describes an item."""

    label_weight: float = Field(1.0, ge=0, description="Weight of genres and moods; 0: not used.")
    creator_weight: float = Field(1.0, ge=0, description="Weight of the creator; 0: not used.")
    text_weight: float = Field(
        0.3, ge=0, description="Weight of the words of titles and collections; 0: not used."
    )
    tag_weight: float = Field(1.0, ge=0, description="Weight of people's tags; 0: not used.")
    shrink: float = Field(
        5.0,
        ge=0,
        description="Added to the length of a description before dividing by it: doubts matches with items "
        "that are described in few words.",
    )
    taste_events: float = Field(
        5.0,
        ge=0,
        description="Items in a history that genres and moods somebody names count as much as; 0: not used.",
    )
    leave_own_tags_out: bool = Field(
        default=True,
        description="Whether the tags of the asking person are taken out of every item before scoring for them. "
        "People tag what they play, so their own tags give the answer away; switch off only to show that.",
    )


class ContentKNN(Recommender[ContentKNNConfig]):
    """Shrunk cosine between an item's description and the mean description of the history.

    A description is a TF-IDF vector over genres, moods, creator, title and collection
    words, and tags (log2(1 + people who put it there)), divided by its length plus
    ``shrink``. Scores lie in [0, 1]. Items
    without any description, and requests whose history has none, are NaN. Needs no
    events on an item, so it serves items nobody has played yet. Genres and moods that
    somebody names count as ``taste_events`` items described by just those.

    For a known person, all item vectors are as if that person had never tagged anything
    (see ``leave_own_tags_out``); only the inverse frequency of a tag, which tells nothing
    about single items, still counts them.

    Source:
        Lops, de Gemmis and Semeraro (2011), "Content-based Recommender Systems", with
        Rocchio's mean as the profile.
    """

    name = "content_knn"
    Config = ContentKNNConfig
    serves_cold_items = True
    reads_tastes = True
    attribution = "additive"

    _postings: Postings | None = None

    def _fit(self, dataset: Dataset, rng: np.random.Generator) -> None:  # noqa: ARG002
        config = self.config
        self._catalogue, self._labels = catalogue_words(
            dataset, config.label_weight, config.creator_weight, config.text_weight
        )
        self._tags = tag_counts(dataset)
        self._postings = None

    def _score(self, queries: Queries) -> Floats:
        history = weighted_parts(queries, self.config)
        return self._cosines(history, queries.user_row, None, self._stated(queries))

    def _stated(self, queries: Queries) -> CsrParts:
        """What stated tastes add to each profile, ``(n, n_words)``."""
        if not any(queries.tastes or ()):
            return _nothing_stated(len(queries))
        asked = stated_labels(queries, self._labels.names)
        value = self._labels.value[asked.indices]
        owner = np.repeat(np.arange(len(queries)), np.diff(asked.indptr))
        length = np.sqrt(np.bincount(owner, weights=np.square(value), minlength=len(queries)))
        # Shrunk like the description of an item; the tiny length is that of a request without any.
        tiny = np.finfo(np.float32).tiny
        scale = self.config.taste_events / np.maximum(length + self.config.shrink, tiny)
        value = (value * scale[owner]).astype(np.float32)
        return asked.indptr.astype(np.int64), self._labels.word[asked.indices], value

    def similar(self, item_row: int) -> Floats:
        """Shrunk cosine of the descriptions, everybody's tags included; see `Recommender.similar`."""
        one = Csr((np.ones(1, dtype=np.float32), ([0], [item_row])), shape=(1, len(self.support)))
        stranger = np.array([-1], dtype=np.int32)
        similarity: Floats = self._cosines(csr_parts(one), stranger, None)[0]
        similarity[item_row] = np.nan
        return similarity

    def _neighbour_similarity(self, query: Queries, item_rows: Rows) -> Floats:
        liked = query.positives.indices
        shape = (len(liked), query.n_items)
        each = Csr(
            (np.ones(len(liked), dtype=np.float32), (np.arange(len(liked)), liked)), shape=shape
        )
        asking = np.repeat(query.user_row, len(liked))
        similarities = self._cosines(csr_parts(each), asking, item_rows)
        # fmax passes NaN over, and leaves it where no item of the history has a description.
        nearest: Floats = np.fmax.reduce(similarities, axis=0, initial=np.nan)
        return nearest

    def _cosines(
        self,
        history: CsrParts,
        user_rows: Rows,
        item_rows: Rows | None,
        stated: CsrParts | None = None,
    ) -> Floats:
        """Of some items, or of all where ``item_rows`` is None; NaN without a description."""
        if stated is None:
            stated = _nothing_stated(len(history[0]) - 1)
        asked = (*history, *stated, self._owners(user_rows))
        described, own = self._described()
        if item_rows is not None:
            return cosines_of(asked, described, own, item_rows)
        if self._postings is None:  # made once for all requests
            self._postings = postings_of(described)
        return all_cosines(asked, described, own, self._postings)

    def _owners(self, user_rows: Rows) -> Rows:
        """Whose tags are left out of each request, -1 for nobody's."""
        n_known = len(self._tags.user_indptr) - 1
        left_out = self.config.leave_own_tags_out & (user_rows < n_known)
        return np.where(left_out, user_rows, -1).astype(np.int32)

    def _described(self) -> tuple[Described, Taggings]:
        """What the compiled loops make descriptions of."""
        tags = self._tags
        most = int(tags.counts.data.max(initial=0))
        fame = np.log2(1 + np.arange(most + 1)).astype(np.float32)
        words = (*self._kept_parts(self._catalogue), self._catalogue.shape[1])
        counts = (
            *self._kept_parts(tags.counts),
            tags.idf * np.float32(self.config.tag_weight),
            fame,
        )
        own = (tags.user_indptr, tags.item, tags.tag)
        return (words, counts, np.float32(self.config.shrink)), own

    def _attribute(self, query: Queries, item_rows: Rows) -> Attribution:
        """The cosine's product, by item of the history and by what both are described with."""
        liked, weight = weighted_items(query, self.config)
        owner = int(self._owners(query.user_row)[0])
        both = np.concatenate([liked, item_rows]).astype(np.int32)
        parts = descriptions_for(both, owner, *self._described())
        if not len(parts[1]):
            return nothing(item_rows)
        described = Descriptions(parts, self._labels)
        return content_parts(described, liked, weight, self._stated(query), item_rows)

    def _state(self) -> Arrays:
        tags = self._tags
        return {
            **pack_csr("catalogue", self._catalogue),
            **pack_strings("labels.names", self._labels.names),
            "labels.word": self._labels.word,
            "labels.value": self._labels.value,
            "labels.n_creators": np.array([self._labels.n_creators]),
            **pack_csr("tags.counts", tags.counts),
            "tags.idf": tags.idf,
            "tags.user_indptr": tags.user_indptr,
            "tags.item": tags.item,
            "tags.tag": tags.tag,
        }

    def _restore(self, state: Arrays) -> None:
        self._catalogue = unpack_csr("catalogue", state)
        self._labels = LabelWords(
            tuple(unpack_strings("labels.names", state)),
            state["labels.word"].astype(np.int32, copy=False),
            state["labels.value"].astype(np.float32, copy=False),
            int(state["labels.n_creators"][0]),
        )
        self._tags = TagCounts(
            unpack_csr("tags.counts", state),
            state["tags.idf"].astype(np.float32, copy=False),
            state["tags.user_indptr"].astype(np.int64, copy=False),
            state["tags.item"].astype(np.int32, copy=False),
            state["tags.tag"].astype(np.int32, copy=False),
        )


def _nothing_stated(n: int) -> CsrParts:
    """Of n requests by people who name no taste."""
    return np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
