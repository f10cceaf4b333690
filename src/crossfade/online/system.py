"""`LiveSystem`: a saved system that answers as of now."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from time import perf_counter

import numpy as np

from crossfade.data import Queries
from crossfade.data.vocabulary import check_texts
from crossfade.errors import CrossfadeError
from crossfade.hybrid import HybridModel
from crossfade.meta.explaining import explained
from crossfade.meta.listing import Tilts, list_candidates
from crossfade.meta.predicting import predict_items
from crossfade.meta.recommendation import Recommendation, Recommendations
from crossfade.meta.serving import Filters, Served
from crossfade.online.adapting import learn
from crossfade.online.asks import Adaptation, Answer, Ask, Prediction
from crossfade.online.heads import HeadConfig
from crossfade.online.library import Happened, ItemFacts, ItemName, Library, Quality
from crossfade.online.mixing import fixed_mix
from crossfade.online.requests import LiveRequest, LiveRequests
from crossfade.rng import generator
from crossfade.store.log import Features
from crossfade.types import Doubles


class LiveSystem:
    """A system that answers as of now, with events that came after its log.

    Nothing is kept of any request and nothing of the system is changed by one, so several threads
    may ask at once.

    Args:
        model: The system.

    Attributes:
        version: That of the system; empty where it was never saved.
        newest_us: Time of the newest event of its log; None where events have none or there are none.
        ranking: How it makes a list of candidates, where a request says nothing of that.
        library: What it holds of people and items.
    """

    def __init__(self, model: HybridModel) -> None:
        self.model = model
        self.version = model.version
        self.ranking = model.config.ranking
        times = model.dataset.time_us
        self.newest_us = None if times is None or not len(times) else int(times[-1])
        self.library = Library(model.dataset, model.lists.names)
        self._requests = LiveRequests(model)

    def answer(self, asks: Sequence[Ask]) -> list[Answer | CrossfadeError]:
        """The list of each request, or what is wrong with it; the others are answered all the same.

        Requests with the same length of list, filters and ranking are listed together, which takes
        less time for each. Who has reasons or chance in their list is listed alone, and so is whom
        no learned model answers. Together or alone the answers are the same to the last bit.

        Returns:
            In the order of the requests. An error is one of:

            - `ConfigError`: k is less than 1, genres or moods are given and no base reads them,
              the blend did not learn with the context, places are left to chance without a seed,
              or as `rank` where filters contradict themselves.

            Who or what the system does not know is no error: a newcomer has a list too.
        """
        made = self._requests.make(asks)
        together: dict[Hashable, list[int]] = defaultdict(list)
        answers: dict[int, Answer | CrossfadeError] = {}
        for at, (ask, request) in enumerate(zip(asks, made, strict=True)):
            if isinstance(request, CrossfadeError):
                answers[at] = request
            else:
                together[self._kind(at, ask, request)].append(at)
        ready = {at: one for at, one in enumerate(made) if isinstance(one, LiveRequest)}
        for places in together.values():
            some = [ready[at] for at in places]
            tilts = [self._tilt(asks[at]) for at in places]
            answers |= zip(places, self._answers(asks[places[0]], some, tilts), strict=True)
        return [answers[at] for at in range(len(asks))]

    def explain(self, ask: Ask, item_id: str) -> Recommendation | None:
        """What speaks for one item, whether it would be listed or not; see `HybridModel.explain`.

        Raises:
            UnknownIdError: If the item is unknown.
            ConfigError: As in `answer`.
        """
        query, row = self._query(ask), self.model.dataset.item_ids.row(item_id)
        return explained(self.model.lists, self.model.explainer, query, row, self._given(ask))

    def predict(self, ask: Ask, item_ids: Sequence[str]) -> list[Prediction | None]:
        """What a list would say of some items, each as if it were the only one asked for.

        Returns:
            In the order of the ids; None where the item is unknown or nobody can score it, as is so
            of what the person knows where that is not listed.

        Raises:
            ConfigError: As in `answer`, and if ``item_ids`` is no list of texts.
        """
        check_texts("item_ids", item_ids)
        rows = self.model.dataset.item_ids.rows(item_ids)
        known = np.unique(rows[rows >= 0])
        lists = self.model.lists
        found = predict_items(
            lists.blend, self._query(ask), known, lists.probability, self._given(ask)
        )
        said = dict(
            zip(known.tolist(), zip(*(p.tolist() for p in found), strict=True), strict=True)
        )
        return [
            None if row < 0 or np.isnan(said[row][0]) else _prediction(item_id, *said[row])
            for item_id, row in zip(item_ids, rows.tolist(), strict=True)
        ]

    def proposes(self, ask: Ask, item_ids: Sequence[str]) -> list[bool | None]:
        """Which items are among the candidates of a request: no list can hold another.

        Returns:
            In the order of the ids; None for what may not be listed: unknown items, and those the
            person knows where these are left out.

        Raises:
            ConfigError: As in `answer`.
        """
        query, blend = self._query(ask), self.model.blend
        candidates = list_candidates(blend, query, None).item_row[0]
        rows = self.model.dataset.item_ids.rows(item_ids)
        gone = np.isin(rows, query.item_row) if blend.exclude_seen else rows < 0
        there = np.isin(rows, candidates).tolist()
        return [
            None if row < 0 or left_out else found
            for row, left_out, found in zip(rows.tolist(), gone.tolist(), there, strict=True)
        ]

    def adapt(
        self, ask: Ask, config: HeadConfig, clock: Callable[[], float] = perf_counter
    ) -> Adaptation:
        """The head of a person after what they did since it last learned; see `learn`.

        Args:
            ask: Who, their live events, their head so far if any, and when.
            config: How heads are fitted.
            clock: Seconds, for the deadline.
        """
        return learn(self.model, self._requests, ask, config, clock)

    def similar(
        self, item_id: str, k: int = 10, block: Sequence[str] = ()
    ) -> tuple[str, Recommendations]:
        """Items like one item, without those in ``block``; see `HybridModel.similar`."""
        blocked = self.model.dataset.item_ids.rows(block)
        base, found = self.model.similar(item_id, k + int((blocked >= 0).sum()))
        gone = set(block)
        kept = (one for one in found if one.item_id not in gone)
        best = (replace(one, rank=at) for at, one in enumerate(islice(kept, k), 1))
        return base, Recommendations(best)

    def known_items(self, item_ids: Sequence[str]) -> list[bool]:
        """Of each item, whether the system can list it."""
        known: list[bool] = (self.model.dataset.item_ids.rows(item_ids) >= 0).tolist()
        return known

    def known_users(self, user_ids: Sequence[str]) -> list[bool]:
        """Of each user, whether the system learned from them."""
        known: list[bool] = (self.model.dataset.user_ids.rows(user_ids) >= 0).tolist()
        return known

    def what_if(self, ask: Ask, weights: Mapping[str, float]) -> Recommendations:
        """The list of a request as it would be with one fixed mix of the bases; see `fixed_mix`.

        The same candidates under the same conditions, ranked by the mean of their scaled base scores.
        Nobody is served such a list where a learned model answers: its weights differ from item to
        item. The head of a request has no part in it, nor in the probabilities; ``weights`` of a line is empty.

        Args:
            ask: The request; reasons and chance are left out.
            weights: Of bases by label, in any unit; one that is left out gets 0.

        Raises:
            ConfigError: As in `answer`, and if the weights are no mix of bases there are.
        """
        query, rescored = self._query(ask), fixed_mix(self.model, weights)
        k = min(ask.k, self.model.dataset.n_items)
        ranking = (ask.ranking or self.ranking).changed(explore=0.0)
        lists = self.model.lists
        (served,) = lists.serve(query, k, ranking, ask.filters, apart=True, rescored=rescored)
        return Recommendations(replace(line, weights={}) for line in lists.lines(query, served))

    def history(self, ask: Ask, n: int) -> list[Happened]:
        """The newest events that a request rests on, of the log and live, newest first."""
        query, library = self._query(ask), self.library
        rows = query.item_row[::-1][:n]
        times = None if query.time_us is None else query.time_us[::-1][:n].tolist()
        strengths = query.strength[::-1][:n].tolist()
        return [
            Happened(name, None if times is None else times[at], strengths[at])
            for at, name in enumerate(library.named(rows))
        ]

    def users(self, text: str, n: int) -> list[str]:
        """Ids of users in the log that hold a text; see `Library.users`."""
        return self.library.users(text, n)

    def items(self, text: str, n: int) -> list[ItemName]:
        """Items that hold a text; see `Library.items`."""
        return self.library.items(text, n)

    def named(self, item_ids: Sequence[str]) -> list[ItemName]:
        """What those of some items that are known are called, in their order."""
        rows = self.model.dataset.item_ids.rows(item_ids)
        return self.library.named(rows[rows >= 0])

    def item(self, item_id: str) -> ItemFacts:
        """One item; see `Library.item`.

        Raises:
            UnknownIdError: If there is no such item.
        """
        return self.library.item(item_id)

    def labels(self) -> dict[str, tuple[str, ...]]:
        """Labels that a newcomer may name, by kind; none where no base reads them."""
        return {} if self.model.blend.taste is None else self.library.labels

    def bases(self) -> tuple[str, ...]:
        """Labels of the bases."""
        return self.model.blend.labels

    def quality(self) -> Quality:
        """What there is to know of the data; see `Library.quality`."""
        return self.library.quality

    def _query(self, ask: Ask) -> Queries:
        (request,) = self._requests.make([ask])
        if isinstance(request, CrossfadeError):
            raise request
        return request.query

    def _kind(self, at: int, ask: Ask, request: LiveRequest) -> Hashable:
        """What requests that are listed together have in common."""
        ranking = ask.ranking or self.ranking
        # Reasons and shares look at the whole catalogue once more, unless the request is alone.
        alone = (
            ask.explain or ranking.explore > 0 or not self.model.blend.by_model(request.query)[0]
        )
        if alone:
            return at
        return ask.k, ranking, _plain(ask.filters), request.query.kind

    def _given(self, ask: Ask) -> Doubles | None:
        """What scores get: the tilt, unless it is withheld."""
        return None if ask.withhold else self._tilt(ask)

    def _tilt(self, ask: Ask) -> Doubles | None:
        """That of the head of a request, where it counts for this system now."""
        head = ask.head
        if head is None or ask.now_us is None or not head.wins:
            return None
        mine = head.belongs(self.version, self.model.blend.labels, ask.now_us)
        return head.tilt if mine else None

    def _answers(
        self, ask: Ask, requests: Sequence[LiveRequest], tilts: Tilts
    ) -> list[Answer | CrossfadeError]:
        """Answers of requests that want the same kind of list as one of them."""
        try:
            served = self._served(ask, [one.query for one in requests], tilts)
        except CrossfadeError as error:
            return [error] * len(requests)
        return [self._answer(ask, *one) for one in zip(requests, served, tilts, strict=True)]

    def _served(self, ask: Ask, queries: Sequence[Queries], tilts: Tilts) -> list[Served]:
        model = self.model
        # A single request stays the very object it is, which what was said of it is found by.
        together = Queries.joined(queries) if len(queries) > 1 else queries[0]
        ranking, k = ask.ranking or self.ranking, min(ask.k, model.dataset.n_items)
        rng = None if ask.seed is None else generator(ask.seed, "online.ask")
        return model.lists.serve(together, k, ranking, ask.filters, rng, apart=True, tilts=tilts)

    def _answer(
        self, ask: Ask, request: LiveRequest, served: Served, tilt: Doubles | None
    ) -> Answer:
        model, shadow = self.model, served.untilted
        if request.withhold and shadow is not None:
            served, shadow = shadow, served
        why = model.explainer.explain(request.query, served) if ask.explain else None
        return Answer(
            model.lists.lines(request.query, served, why),
            request.n_history,
            request.n_live,
            request.unknown,
            model.blend.name if served.by_model else "static",
            self._features(request.query, served) if request.features else None,
            None if served.tilted is None else _by_base(model.blend.labels, tilt),
            None if shadow is None else model.dataset.item_ids.decode(shadow.ranked.item_row),
        )

    def _features(self, query: Queries, served: Served) -> Features | None:
        learned = self.model.blend.learned
        if learned is None or not served.by_model:
            return None
        # Read again for the few that are kept: what was read is gone, and the same comes out.
        reader, rows = learned.lists.reader, served.ranked.item_row[None, :]
        names = (reader.user_columns, reader.item_columns)
        return Features.of(*names, reader.user(query)[0], reader.item(query, rows)[0])


def _by_base(labels: Sequence[str], tilt: Doubles | None) -> dict[str, float] | None:
    return None if tilt is None else dict(zip(labels, tilt.tolist(), strict=True))


def _plain(filters: Filters | None) -> Hashable:
    """Filters by what they ask for."""
    if not filters:
        return None
    allow = None if filters.allow is None else tuple(filters.allow)
    return tuple(filters.block), allow, tuple(filters.rules)


def _prediction(item_id: str, score: float, probability: float, uncertainty: float) -> Prediction:
    told = (None if np.isnan(value) else value for value in (probability, uncertainty))
    return Prediction(item_id, score, *told)
