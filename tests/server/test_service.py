"""Every route of a real server in a process of its own, on real faces."""

import httpx
import numpy as np
import pytest

from served import Running, problem

Records = dict[str, np.ndarray]


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


def test_a_device_learns_what_it_must_know(shared: Running, student, front) -> None:
    with shared.caller() as caller:
        told = caller.http.get("/v1/bundle").json()
    card = student.card
    assert (told["bundle_id"], told["m"], told["e"]) == (card.front_id, 16, 256)
    assert told["bundle_id"] == front.card.front_id
    assert (told["scheme"], told["wire_version"], told["embedding_dim"]) == ("gaussian", 1, 256)
    (row,) = told["thresholds"]  # eight people tell no finer rate
    assert row["far"] == told["default_far"] == 0.1
    assert 0 <= row["far_low"] < row["far_high"] <= 0.1
    assert told["dtypes"] == list(card.dtypes)


def test_subjects_are_made_once_listed_in_pages_and_read(shared: Running) -> None:
    names = [f"n{i:02d}" for i in range(7)] + [".x", "a.b_c-D", "9" * 128]
    with shared.caller() as caller:
        for name in names:
            made = caller.http.post("/v1/subjects", json={"subject_id": name})
            assert (made.status_code, made.json()["templates"]) == (201, 0)
        again = caller.http.post("/v1/subjects", json={"subject_id": "n00"})
        assert problem(again) == (409, "duplicate")
        pages: list[list[str]] = []
        after = ""
        while after is not None:
            page = caller.http.get("/v1/subjects", params={"after": after, "limit": 4}).json()
            pages.append(page["subjects"])
            after = page["next"]
        assert [len(page) for page in pages] == [4, 4, 2]
        assert [name for page in pages for name in page] == sorted(names)
        assert caller.http.get("/v1/subjects/.x").json() == {"subject_id": ".x", "templates": 0}
    with shared.caller("b") as other:
        assert other.http.get("/v1/subjects").json() == {"subjects": [], "next": None}


def test_templates_are_listed_without_vectors_and_erased(
    shared: Running, faces_sent: Records
) -> None:
    with shared.caller() as caller:
        made = caller.enrol("one", faces_sent["person-01"][:3]).json()["templates"]
        listed = caller.http.get("/v1/subjects/one/templates").json()["templates"]
        assert listed == made
        fields = {"template_id", "subject_id", "bundle_id", "key_id", "created_ms"}
        assert {frozenset(template) for template in made} == {frozenset(fields)}
        gone = made[1]["template_id"]
        with shared.caller("b") as other:
            assert problem(other.http.delete(f"/v1/templates/{gone}")) == (404, "unknown-name")
        assert caller.http.delete(f"/v1/templates/{gone}").json() == {"templates": 1}
        assert problem(caller.http.delete(f"/v1/templates/{gone}")) == (404, "unknown-name")
        left = caller.http.get("/v1/subjects/one/templates").json()["templates"]
        assert left == [made[0], made[2]]


def test_a_repeated_request_changes_nothing(shared: Running, faces_sent: Records) -> None:
    from xnn.wire.compose import renew

    with shared.caller() as caller:
        message = caller.message(faces_sent["person-01"][:2])
        path = "/v1/subjects/one/templates?create=true"
        first = caller.post(path, message)
        again = caller.post(path, renew(message))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert caller.http.get("/v1/subjects/one").json()["templates"] == 2
        replayed = caller.post(path, message)
        assert problem(replayed) == (409, "stale-message")


def test_tenants_see_nothing_of_each_other(shared: Running, faces_sent: Records) -> None:
    with shared.caller("a") as a, shared.caller("b") as b:
        a.enrol("one", faces_sent["person-01"][:2])
        b.enrol("two", faces_sent["person-02"][:2])
        assert b.http.get("/v1/subjects").json()["subjects"] == ["two"]
        assert problem(b.verify("one", faces_sent["person-01"][:1])) == (404, "unknown-name")
        found = b.search(faces_sent["person-01"][:1], far=0.1, top_k=50).json()
        assert found["gallery_size"] == 2
        subjects = [c["subject_id"] for c in found["results"][0]["candidates"]]
        assert "one" not in subjects
        assert problem(b.http.delete("/v1/subjects/one")) == (404, "unknown-name")
        assert a.http.get("/v1/subjects/one").json()["templates"] == 2


ROUTES = [
    ("GET", "/v1/bundle", {"enrol", "search", "admin"}),
    ("POST", "/v1/subjects", {"enrol"}),
    ("GET", "/v1/subjects", {"enrol", "admin"}),
    ("GET", "/v1/subjects/nobody", {"enrol", "admin"}),
    ("DELETE", "/v1/subjects/nobody", {"enrol", "admin"}),
    ("POST", "/v1/subjects/nobody/templates", {"enrol"}),
    ("GET", "/v1/subjects/nobody/templates", {"enrol", "admin"}),
    ("DELETE", f"/v1/templates/{'0' * 32}", {"enrol", "admin"}),
    ("POST", "/v1/subjects/nobody/verify", {"search"}),
    ("POST", "/v1/search", {"search"}),
    ("POST", "/v1/keys", {"admin"}),
    ("GET", "/v1/keys", {"admin"}),
    ("DELETE", f"/v1/keys/{'0' * 12}", {"admin"}),
    ("POST", "/v1/retire", {"admin"}),
    ("GET", "/v1/audit", {"admin"}),
    ("GET", "/metrics", {"enrol", "search", "admin"}),
    ("GET", "/console/device/device.json", {"enrol", "search", "admin"}),
]


def test_the_table_of_roles_names_every_route(shared: Running) -> None:
    paths = httpx.get(f"{shared.url}/openapi.json").json()["paths"]
    documented = {(m.upper(), path) for path, methods in paths.items() for m in methods}
    assert len(documented) == len(ROUTES) + 2, "those and the two of health"


@pytest.mark.parametrize("role", ["enrol", "search", "admin"])
def test_each_role_opens_its_routes_and_no_other(shared: Running, role: str) -> None:
    headers = {"Authorization": f"Bearer {shared.site.new_key('a', [role])}"}
    with httpx.Client(base_url=shared.url, headers=headers) as http:
        for method, path, roles in ROUTES:
            answer = http.request(method, path)
            if role in roles:
                assert answer.status_code not in (401, 403), (method, path)
            else:
                # A body that is no JSON is judged first; that tells nothing.
                assert answer.status_code in (403, 422), (method, path)
                if answer.status_code == 403:
                    assert problem(answer)[1] == "missing-role"


def test_json_bodies_do_not_go_round_the_roles(shared: Running) -> None:
    headers = {"Authorization": f"Bearer {shared.site.new_key('a', ['search'])}"}
    with httpx.Client(base_url=shared.url, headers=headers) as http:
        bodies = {
            "/v1/subjects": {"subject_id": "x"},
            "/v1/keys": {"roles": ["admin"]},
            "/v1/retire": {"bundle_id": "0" * 64},
        }
        for path, body in bodies.items():
            assert problem(http.post(path, json=body)) == (403, "missing-role")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer x",
        "Basic eG5uOnhubg==",
        "Bearer xnn_000000000000_" + "A" * 43,
        "Bearer xnn_00000000000_" + "A" * 43,
        "Bearer " + "x" * 5000,
    ],
)
def test_without_a_key_every_route_is_closed(shared: Running, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with httpx.Client(base_url=shared.url, headers=headers) as http:
        for method, path, _ in ROUTES[:4]:
            answer = http.request(method, path, json={"subject_id": "x"})
            assert problem(answer)[0] in (401, 429)
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
            assert (authorization or "-----").removeprefix("Bearer ")[5:] not in answer.text or (
                len(authorization or "") < 12
            )


def test_keys_are_made_used_and_revoked(shared: Running) -> None:
    with shared.caller() as caller:
        made = caller.http.post("/v1/keys", json={"roles": ["admin"], "label": "door"}).json()
        assert (made["tenant"], made["roles"], made["label"]) == ("a", ["admin"], "door")
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        assert httpx.get(f"{shared.url}/v1/keys", headers=headers).status_code == 200
        listed = caller.http.get("/v1/keys").json()["keys"]
        assert made["key_name"] in [key["key_name"] for key in listed]
        assert made["api_key"].split("_", 2)[2] not in str(listed)
        with shared.caller("b") as other:
            gone = other.http.delete(f"/v1/keys/{made['key_name']}")
            assert problem(gone) == (404, "unknown-name")
        revoked = caller.http.delete(f"/v1/keys/{made['key_name']}").json()
        assert revoked["revoked_ms"] >= revoked["created_ms"]
        refused = httpx.get(f"{shared.url}/v1/keys", headers=headers)
        assert problem(refused) == (401, "no-access")


def test_the_log_holds_who_did_what_to_whom_in_a_chain(
    shared: Running, faces_sent: Records
) -> None:
    with shared.caller() as caller:
        start = caller.http.get("/v1/audit?limit=1000").json()["entries"][-1]["number"]
        caller.enrol("one", faces_sent["person-01"][:2])
        caller.search(faces_sent["person-01"][3:5], far=0.1)
        caller.verify("one", faces_sent["person-01"][5:], far=0.1)
        caller.verify("nobody", faces_sent["person-01"][5:], far=0.1)
        caller.http.delete("/v1/subjects/one")
        page = caller.http.get("/v1/audit", params={"after": start, "limit": 3}).json()
        rest = caller.http.get("/v1/audit", params={"after": page["next"]}).json()
        entries = page["entries"] + rest["entries"]
        assert rest["next"] is None
        assert [(e["action"], e["outcome"]) for e in entries] == [
            ("enrol", "done"),
            ("search", "accepted"),
            ("verify", "accepted"),
            ("verify", "accepted"),
            ("verify", "UnknownNameError"),
            ("subject.delete", "done"),
        ]
        assert entries[1]["facts"] == {"records": 2, "far": 0.1}
        assert {entry["actor"] for entry in entries} == {caller.api_key.split("_")[1]}
        assert entries[0]["subject"] == entries[2]["subject"] != "one"
        with shared.caller("b") as other:
            seen = other.http.get("/v1/audit", params={"after": start}).json()["entries"]
            assert not {e["number"] for e in seen} & {e["number"] for e in entries}
    from xnn.accounts import AuditLog

    gallery = shared.site.open()
    assert AuditLog(gallery.database).check().number >= entries[-1]["number"]
    gallery.close()


def test_retiring_a_bundle_says_who_is_to_be_enrolled_again(start, faces_sent: Records) -> None:
    server = start()
    with server.caller("a") as a, server.caller("b") as b:
        for caller in (a, b):
            caller.enrol("one", faces_sent["person-01"][:2])
            caller.enrol("two", faces_sent["person-02"][:2])
        both = {"bundle_id": a.bundle_id, "key_id": "k"}
        for wrong in ({}, both, {"bundle_id": "x"}):
            assert problem(a.http.post("/v1/retire", json=wrong))[0] == 422
        retired = a.http.post("/v1/retire", json={"bundle_id": a.bundle_id})
        assert retired.json() == {"subjects": ["one", "two"]}
        assert problem(a.enrol("one", faces_sent["person-01"][2:3])) == (409, "bundle-mismatch")
        assert problem(a.search(faces_sent["person-01"][2:3], far=0.1)) == (409, "bundle-mismatch")
        assert a.http.get("/v1/subjects/one").json()["templates"] == 0
        assert b.search(faces_sent["person-01"][2:3], far=0.1).json()["gallery_size"] == 4


def test_health_and_readiness_and_metrics(shared: Running, faces_sent: Records) -> None:
    assert httpx.get(f"{shared.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{shared.url}/readyz").json() == {"status": "ready"}
    assert problem(httpx.get(f"{shared.url}/metrics")) == (401, "no-access")
    with shared.caller() as caller:
        caller.enrol("secret-name", faces_sent["person-01"][:2])
        text = caller.http.get("/metrics").text
    assert 'xnn_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert 'xnn_records_total{purpose="enrol"}' in text
    assert "xnn_batch_records_bucket" in text
    assert "secret-name" not in text


def test_the_device_bundle_is_given_to_the_console(shared: Running, bundles) -> None:
    with shared.caller() as caller:
        for name in ("device.json", "front.onnx"):
            answer = caller.http.get(f"/console/device/{name}")
            assert answer.content == (bundles / "device" / name).read_bytes()
        for name in ("server.json", "no.onnx", "..%2fserver%2fserver.json", "x.py"):
            assert problem(caller.http.get(f"/console/device/{name}"))[0] in (404, 422), name


def test_headers_of_every_kind_of_answer(shared: Running) -> None:
    with shared.caller() as caller:
        answers = [
            caller.http.get("/v1/bundle"),
            caller.http.get("/v1/subjects/nobody"),
            caller.http.get("/no/such/page"),
            caller.http.put("/v1/search"),
            httpx.get(f"{shared.url}/v1/bundle"),
            httpx.post(f"{shared.url}/v1/search", headers={"Content-Type": "image/png"}),
            httpx.get(f"{shared.url}/healthz"),
        ]
        assert [a.status_code for a in answers] == [200, 404, 404, 405, 401, 415, 200]
        for answer in answers:
            headers = answer.headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "wasm" not in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-embedder-policy"] == "require-corp"
            assert "server" not in headers
            assert headers["x-request-id"]
        console = caller.http.get("/console/device/device.json")
        policy = console.headers["content-security-policy"]
        assert "script-src 'self' 'wasm-unsafe-eval'" in policy
        assert "unsafe-inline" not in policy
        assert caller.http.get("/console").headers["location"] == "/console/"


def test_a_callers_request_id_is_carried_if_it_is_harmless(shared: Running) -> None:
    url = f"{shared.url}/healthz"
    assert httpx.get(url, headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    odd = httpx.get(url, headers={"X-Request-Id": "a b"}).headers["x-request-id"]
    assert odd != "a b"
