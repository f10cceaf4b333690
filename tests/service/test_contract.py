"""Requests made up from the OpenAPI document, sound ones and broken ones, get answers that it describes.

``CROSSFADE_EXAMPLES=500`` tries more of them, others each time (`make attacks`).
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.types import Receive, Scope, Send
from tests.service.conftest import Running, serving

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
MORE = os.environ.get("CROSSFADE_EXAMPLES")
Case = schemathesis.Case[Any]


@pytest.fixture(scope="module")
def running(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(bundle, tmp_path_factory.mktemp("log"), rate_per_s=1e9, burst=10**9) as made:
        yield made


def test_no_request_breaks_the_service_or_gets_an_answer_that_is_not_described(
    running: Running,
) -> None:
    key = running.admin.headers["authorization"].encode()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # it lives already
        headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        scope["headers"] = [*headers, (b"authorization", key)]  # keys are tried in test_doors
        await running.nobody.app(scope, receive, send)

    data = running.model.dataset
    known = {"item_id": data.item_ids.id(0), "user_id": data.user_ids.id(0), "name": "known"}
    arms = [{"name": "a"}, {"name": "b", "ranking": {"diversity": 0.5}}]
    experiment = {"name": "known", "arms": arms, "minimal_effect": 0.1, "planned": 1_000}
    assert running.admin.post("/v1/experiments", json=experiment).status_code == 201

    statuses, faults, n_places = Counter[int](), list[str](), 0
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        place = found.ok()  # type: ignore[union-attr]  # else it raises what is wrong
        n_places += 1
        for mode in GenerationMode:
            if mode is GenerationMode.POSITIVE or place.path not in {"/healthz", "/readyz"}:
                cases = place.as_strategy(generation_mode=mode)
                faults += attacked(cases, known, statuses)
    assert faults == []
    assert n_places > 30
    assert {200, 400, 404, 422} <= statuses.keys()
    assert 201 in statuses or not MORE  # of a few made-up bodies none may be taken
    assert statuses.keys().isdisjoint({401, 403, 429, 500, 503})


def attacked(
    cases: st.SearchStrategy[Case], known: dict[str, str], statuses: Counter[int]
) -> list[str]:
    """What was wrong with the answers of one place; half of its requests name what is known."""
    faults = list[str]()

    @settings(
        max_examples=int(MORE or 6),
        derandomize=not MORE,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=cases, is_known=st.booleans())
    def attack(case: Case, is_known: bool) -> None:
        for part in (case.path_parameters, case.query, case.body) if is_known else ():
            if isinstance(part, dict):
                part.update({name: known[name] for name in part.keys() & known.keys()})
        answer = case.call(timeout=300)  # machines stall; only what never answers is a fault
        statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as group:
            faults.extend(f"{case.operation.label}: {one}" for one in group.exceptions)

    attack()
    return faults
