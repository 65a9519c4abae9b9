"""What the log, the metrics and the answers say, and what they never say."""

import json
import logging
import re

import numpy as np
import pytest

from served import Running
from xnn.server.logs import JsonLines

SUBJECT = "a-name-nobody-else-has"


def used(server: Running, faces_sent: dict[str, np.ndarray]) -> str:
    """Use every route once, rightly and wrongly; return everything that was logged."""
    records = faces_sent["person-01"]
    with server.caller() as caller:
        caller.enrol(SUBJECT, records[:2])
        caller.verify(SUBJECT, records[2:4], far=0.1)
        caller.search(records[2:4], far=0.1)
        caller.http.get(f"/v1/subjects/{SUBJECT}")
        caller.http.get(f"/v1/subjects/{SUBJECT}/templates")
        caller.http.post("/v1/subjects", json={"subject_id": SUBJECT})
        caller.http.post("/v1/subjects", json={"subject_id": f"{SUBJECT} !"})
        caller.http.post("/v1/keys", json={"roles": ["search"]})
        caller.post("/v1/search", b"garbage")
        caller.http.get(f"/v1/subjects/{SUBJECT}?{SUBJECT}={SUBJECT}")
        caller.http.get(f"/{SUBJECT}")
        caller.http.delete(f"/v1/subjects/{SUBJECT}")
        caller.http.get("/v1/audit")
    server.stop()
    return "\n".join([json.dumps(line) for line in server.lines] + server.other)


def test_no_subject_no_secret_no_number_of_a_face(start, faces_sent: dict[str, np.ndarray]) -> None:
    server = start(log_level="debug")
    text = used(server, faces_sent)
    assert not server.other, "every line is JSON"
    assert SUBJECT not in text
    for key in server.site.keys.values():
        assert key.split("_", 2)[2] not in text
    assert not re.search(r"xnn_[0-9a-f]{12}_", text)
    assert not re.search(r"-?\d\.\d{5,}", text), "no long fractions: no vectors, no scores"
    requests = server.events("request")
    routes = {line["route"] for line in requests}
    assert {"/v1/subjects/{subject_id}/templates", "/v1/search", "other"} <= routes
    (enrolled,) = [r for r in requests if r["status"] == 201 and "records" in r]
    assert (enrolled["records"], enrolled["tenant"]) == (2, "a")
    assert enrolled["key_name"] == server.site.keys["a"].split("_")[1]
    assert {line.get("problem") for line in requests} >= {"duplicate", "invalid-message"}


def test_subjects_are_logged_if_the_operator_asks(start, faces_sent: dict[str, np.ndarray]) -> None:
    server = start(log_subjects=True)
    used(server, faces_sent)
    assert SUBJECT in {line.get("subject_id") for line in server.events("request")}


def test_an_exception_shows_places_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("xnn.server.test")
    try:
        raise ValueError("vector 0.123456 of somebody")
    except ValueError as error:
        record = logger.makeRecord(
            logger.name, logging.ERROR, __file__, 1, "error", (), (ValueError, error, None)
        )
    line = json.loads(JsonLines().format(record))
    assert line["error"]["class"] == "ValueError"
    assert "somebody" not in str(line)
