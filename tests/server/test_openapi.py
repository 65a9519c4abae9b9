"""The OpenAPI document, and whatever schemathesis makes of it: no 5xx, nothing undocumented."""

import os
from collections import Counter
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from served import Running
from xnn.wire.message import MEDIA_TYPE

EXAMPLES = int(os.environ.get("XNN_SCHEMATHESIS_EXAMPLES", "5"))
"""For each operation."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@schemathesis.serializer(MEDIA_TYPE)
def as_bytes(_context: Any, value: Any) -> bytes:
    """Send what was generated for a message as it is; none of it will be one."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def document(shared: Running) -> Any:
    return httpx.get(f"{shared.url}/openapi.json").json()


def test_nothing_that_is_sent_breaks_it(document: Any, shared: Running) -> None:
    # By hand: the plugin's own parametrisation does not fit this version of pytest.
    headers = {"Authorization": f"Bearer {shared.site.keys['b']}"}
    statuses: Counter[int] = Counter()
    operations = [
        found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()
    ]
    for operation in operations:

        @seed(0)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            answer = case.call(base_url=shared.url, headers=headers, timeout=30)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        send()
    assert len(operations) == sum(len(methods) for methods in document["paths"].values())
    assert statuses[200] + statuses[201] > 0
    assert max(statuses) < 500


def test_the_document_is_whole(document: Any) -> None:
    assert document["openapi"].startswith("3.")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["tags"], where
            statuses = set(operation["responses"])
            if path.startswith(("/v1", "/console")):
                assert operation["security"] == [{"HTTPBearer": []}], where
                assert statuses >= {"401", "413", "415", "422", "429", "500", "503"}, where
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], where
            takes_message = path.endswith(("/templates", "/verify", "/search")) and method == "post"
            if takes_message:
                assert list(operation["requestBody"]["content"]) == [MEDIA_TYPE]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_field_that_is_answered_has_an_example(document: Any) -> None:
    for name, model in document["components"]["schemas"].items():
        if name == "ProblemOut" or "properties" not in model:
            continue
        for field, schema_ in model["properties"].items():
            shown = "examples" in schema_ or "$ref" in str(schema_) or "default" in schema_
            told = schema_.get("type") == "boolean" or "enum" in schema_ or "const" in schema_
            assert shown or told, f"{name}.{field}"
