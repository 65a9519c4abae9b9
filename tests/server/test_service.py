"""Every route of a real server in a process of its own, on real faces."""

import httpx
import numpy as np
import pytest
from served import Running

Records = dict[str, np.ndarray]


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    content = answer.json()
    assert content["status"] == answer.status_code
    assert "\n" not in content["detail"]
    return answer.status_code, content["type"].removeprefix("urn:xnn:problem:")


@pytest.fixture(autouse=True)
def empty(shared: Running) -> None:
    for tenant in ("a", "b"):
        with shared.caller(tenant) as caller:
            for subject in caller.http.get("/v1/subjects?limit=1000").json()["subjects"]:
                assert caller.http.delete(f"/v1/subjects/{subject}").status_code == 200


def test_people_are_enrolled_found_verified_and_erased(
    shared: Running, faces_sent: Records
) -> None:
    with shared.caller() as caller:
        for name, records in faces_sent.items():
            answer = caller.enrol(name, records[:3])
            assert answer.status_code == 201, answer.text
            assert len(answer.json()["templates"]) == 3
        hits = 0
        for name, records in faces_sent.items():
            found = caller.search(records[4:], top_k=3, far=0.1).json()
            assert found["gallery_size"] == 3 * len(faces_sent)
            assert found["far"] == 0.1
            for result in found["results"]:
                scores = [candidate["score"] for candidate in result["candidates"]]
                assert scores == sorted(scores, reverse=True)
                assert all(score >= found["threshold"] for score in scores)
                subjects = [candidate["subject_id"] for candidate in result["candidates"]]
                assert len(set(subjects)) == len(subjects) <= 3
                hits += subjects[:1] == [name]
        # A student of three epochs is no good one, but it is far from guessing (1 in 16).
        assert hits / (2 * len(faces_sent)) > 0.4
        verdict = caller.verify("person-01", faces_sent["person-01"][:1], far=0.1).json()
        (result,) = verdict["results"]
        assert result["score"] == pytest.approx(1, abs=1e-5)
        assert result["match"]
        assert caller.http.get("/v1/subjects/person-01").json()["templates"] == 3
        assert caller.http.delete("/v1/subjects/person-01").json() == {"templates": 3}
        assert problem(caller.http.get("/v1/subjects/person-01")) == (404, "unknown-name")
        found = caller.search(faces_sent["person-01"][:1], top_k=50, far=0.1).json()
        subjects = [c["subject_id"] for c in found["results"][0]["candidates"]]
        assert "person-01" not in subjects


def test_the_scores_are_those_of_the_bundle_itself(
    shared: Running, faces_sent: Records, student
) -> None:
    import torch

    one, two = faces_sent["person-01"], faces_sent["person-02"]
    with shared.caller() as caller:
        caller.enrol("one", one[:1])
        got = [r["score"] for r in caller.verify("one", two, far=0.1).json()["results"]]
    reference, *probes = student.embed(torch.from_numpy(np.concatenate([one[:1], two]))).numpy()
    wanted = [
        probe @ reference / np.linalg.norm(probe) / np.linalg.norm(reference) for probe in probes
    ]
    assert np.abs(np.array(got) - wanted).max() < 1e-5
