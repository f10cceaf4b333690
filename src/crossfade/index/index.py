"""`Index`: the item vectors of one model version, and how the nearest of them are found."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from crossfade.errors import BundleError
from crossfade.files import publish, read_published, unwrapped
from crossfade.index import approximate, storage
from crossfade.index.approximate import Finder
from crossfade.index.exact import exact_search, settle
from crossfade.index.storage import Stored, lengths, longest
from crossfade.store.version import INDEX_KIND, INDEX_SCHEMA
from crossfade.types import Arrays, Floats, Ints, Rows

_FILE = "index.safetensors"


@dataclass(frozen=True, eq=False)
class Index:
    """Item vectors, ready to be searched by inner product.

    Made by `build_index`, read by `load_index`.

    Attributes:
        version: Which model the vectors came from; a query vector must come from the same.
        report: JSON-ready facts measured at build: see `build_index`.
        n_items: Length of the catalogue, items without a vector included.
        width: Numbers in a vector.
        rows: Item rows that have a vector, rising, shape ``(n_vectors,)``.
        stored: Their vectors, in that order.
        longest: Length of the longest of them.
        finder: Chooses candidates; None where every vector is scored.
    """

    version: str
    report: dict[str, Any]
    n_items: int
    width: int
    rows: Rows
    stored: Stored
    longest: float
    finder: Finder | None

    def search(
        self, query: Floats, k: int, exclude: Sequence[Sequence[int] | Rows] | None = None
    ) -> tuple[Rows, Floats]:
        """Items with the largest inner product, best first, equal scores in the order of rows.

        Scores are those of the stored vectors, also where FAISS chose the candidates; of more equal vectors than
        a list can hold, it may choose any. A query whose candidates do not fill its list is answered by exact
        search, so no list is ever short for want of looking.

        Args:
            query: Shape ``(n_queries, width)``; a query that is all NaN has no vector and finds nothing.
            k: Length of a list, 1 or more.
            exclude: For each query, item rows to leave out; rows outside the catalogue (-1 too) change nothing.

        Returns:
            Item rows, shape ``(n_queries, k)``, -1 where there are fewer; and their scores, NaN there. Items
            without a vector never come back.

        Raises:
            ValueError: If a shape is wrong, k is less than 1, or a query is partly NaN or infinite.
        """
        asking = self._checked(query, k, exclude)
        found = np.full((len(query), k), -1, dtype=np.int32)
        scores = np.full((len(query), k), np.nan, dtype=np.float32)
        without = [np.empty(0, dtype=np.int64) for _ in asking]
        if exclude is not None:
            without = [self._numbers(exclude[i]) for i in asking]
        if len(asking) and len(self.rows):
            queries = np.ascontiguousarray(query[asking], dtype=np.float32)
            numbers, scores[asking] = self._nearest(queries, k, without)
            found[asking] = np.where(numbers >= 0, self.rows[numbers], np.int32(-1))
        return found, scores

    def vectors(self) -> Floats:
        """What is kept of every item's vector, shape ``(n_items, width)``; NaN where it has none."""
        out = np.full((self.n_items, self.width), np.nan, dtype=np.float32)
        out[self.rows] = self.stored.take(slice(None))
        return out

    def _nearest(self, queries: Floats, k: int, without: Sequence[Ints]) -> tuple[Rows, Floats]:
        """Numbers of vectors and scores."""
        n, finder = len(self.stored), self.finder
        n_wanted = k + max(len(some) for some in without)
        if finder is None or finder.n_candidates(n_wanted) >= n:
            return exact_search(self.stored, self.longest, queries, k, without)
        found = np.empty((len(queries), k), dtype=np.int32)
        scores = np.empty((len(queries), k), dtype=np.float32)
        short = []
        candidates = finder.candidates(queries, finder.n_candidates(n_wanted))
        for i, (query, some) in enumerate(zip(queries, without, strict=True)):
            near = approximate.known(candidates[i])
            near = near[~np.isin(near, some)] if len(some) else near
            found[i], scores[i] = settle(self.stored, near, query, k)
            if len(near) < k:
                short.append(i)
        if short:
            found[short], scores[short] = exact_search(
                self.stored, self.longest, queries[short], k, [without[i] for i in short]
            )
        return found, scores

    def _numbers(self, item_rows: Sequence[int] | Rows) -> Ints:
        """Numbers of the vectors of some items, each once; items without one are passed over."""
        wanted = np.unique(np.asarray(item_rows, dtype=np.int64))
        places = np.searchsorted(self.rows, wanted)
        inside = places < len(self.rows)
        places, wanted = places[inside], wanted[inside]
        numbers: Ints = places[self.rows[places] == wanted]
        return numbers

    def _checked(
        self, query: Floats, k: int, exclude: Sequence[Sequence[int] | Rows] | None
    ) -> Ints:
        """Which queries have a vector."""
        if k < 1:
            raise ValueError(f"k must be 1 or more, got {k}")
        if query.ndim != 2 or query.shape[1] != self.width:
            raise ValueError(
                f"queries must have the shape (n_queries, {self.width}), got {query.shape}; "
                "take them from the model whose version the index carries"
            )
        if exclude is not None and len(exclude) != len(query):
            raise ValueError(
                f"exclude must say for each of {len(query):,} queries what to leave out, got {len(exclude):,}"
            )
        asking = np.flatnonzero(~np.isnan(query).all(axis=1))
        # Not "too long": NaN compares as False.
        fine = lengths(query[asking]) * max(self.longest, 1.0) <= np.finfo(np.float32).max
        if not fine.all():
            raise ValueError(
                f"query {asking[~fine][0]} is partly NaN, infinite, or so long that scores overflow; "
                "give it finite numbers, or NaN throughout where it has no vector"
            )
        return asking

    def arrays(self) -> Arrays:
        """Everything as plain arrays, to be kept inside a bundle; `from_arrays` undoes it."""
        facts = {"version": self.version, "n_items": self.n_items, "report": self.report}
        text = json.dumps(facts, allow_nan=False).encode()
        return {
            "facts": np.frombuffer(text, dtype=np.uint8),
            "rows": self.rows,
            **self.stored.arrays(),
            **({} if self.finder is None else self.finder.arrays()),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, expected_version: str | None = None) -> Self:
        """The inverse of `arrays`.

        Args:
            arrays: What `arrays` gave.
            expected_version: Version of the model that queries will come from; None: any.

        Raises:
            BundleError: If the index belongs to another version, or is damaged.
            MissingExtraError: If it needs FAISS and that is not installed.
        """
        try:
            facts = json.loads(arrays["facts"].tobytes())
            version, n_items = str(facts["version"]), int(facts["n_items"])
            report = dict(facts["report"])
            rows: NDArray[Any] = arrays["rows"]
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"index: damaged ({error}); build the index again") from None
        if expected_version is not None and version != expected_version:
            raise BundleError(
                f"index: belongs to version {version}, the model is version {expected_version}; "
                "build the index again from the vectors of this model"
            )
        stored = storage.restore(arrays)
        if (
            rows.dtype != np.int32
            or len(rows) != len(stored)
            or (len(rows) and rows[-1] >= n_items)
        ):
            raise BundleError("index: its rows and vectors do not belong together; build it again")
        width = stored.width
        finder = approximate.restore(arrays, len(stored), width) if "faiss" in arrays else None
        return cls(version, report, n_items, width, rows, stored, longest(stored), finder)

    def save(self, directory: Path | str) -> str:
        """Write the index so that readers see the old or the new one; gives the id of the saved directory.

        Raises:
            BundleError: If the place holds something else or the disk refuses.
        """

        def write(parts: Path) -> None:
            whole = {key: np.ascontiguousarray(array) for key, array in self.arrays().items()}
            try:
                save_file(whole, parts / _FILE)
            except SafetensorError as error:
                raise unwrapped(error, parts / _FILE) from error

        header = {"model_version": self.version, "report": self.report}
        return publish(Path(directory), INDEX_KIND, INDEX_SCHEMA, header, write)


def load_index(directory: Path | str, expected_version: str | None = None) -> Index:
    """Read an index, its checksum verified first.

    Args:
        directory: Where `Index.save` put it.
        expected_version: Version of the model that queries will come from; None: any.

    Raises:
        BundleError: If it is missing, damaged, from a newer crossfade, or belongs to another version.
        MissingExtraError: If it needs FAISS and that is not installed.
    """

    def read(manifest: dict[str, Any], parts: Path) -> Index:
        if _FILE not in manifest["files"]:
            raise BundleError(f"{directory}: damaged (no {_FILE}); build the index again")
        try:
            arrays = load_file(parts / _FILE)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{directory}: damaged ({error}); build the index again") from None
        return Index.from_arrays(arrays, expected_version)

    return read_published(Path(directory), INDEX_KIND, INDEX_SCHEMA, read)
