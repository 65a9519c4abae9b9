"""A gallery over HTTP and the same gallery in this process: the same answers to the same calls."""

import random
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from served import Caller, Running, Site
from xnn.errors import XnnError
from xnn.gallery import StoredGallery
from xnn.server.bundle import ServerBundle
from xnn.server.problems import problem_of
from xnn.server.thresholds import thresholds_of

SUBJECTS = [f"s{i}" for i in range(6)]
OPERATIONS = 150
CHOICES = ["create", "delete", "enrol", "enrol", "enrol", "repeat", "erase", "templates"]
CHOICES += ["subjects", "verify", "search", "search"]


class Local:
    """The library, called directly."""

    def __init__(self, gallery: StoredGallery, student: ServerBundle) -> None:
        self.gallery, self.student = gallery, student
        self.limit = thresholds_of(student.card, {}).find(0.1)

    def embed(self, records: np.ndarray) -> np.ndarray:
        return self.student.embed(torch.from_numpy(records)).numpy()

    def __call__(self, name: str, *given: Any) -> Any:
        try:
            return getattr(self, name)(*given)
        except XnnError as error:
            return problem_of(error).name

    def create(self, subject: str) -> Any:
        self.gallery.create_subject("a", subject)
        return "made"

    def delete(self, subject: str) -> Any:
        return self.gallery.delete_subject("a", subject)

    def enrol(self, subject: str, records: np.ndarray, request: str, create: bool) -> Any:
        made = self.gallery.enrol(
            "a",
            subject,
            self.embed(records),
            bundle_id=self.student.card.front_id,
            request_id=request,
            create=create,
        )
        return [template.template_id for template in made]

    def erase(self, template: str) -> Any:
        self.gallery.erase_template("a", template)
        return "erased"

    def templates(self, subject: str) -> Any:
        return [t.template_id for t in self.gallery.templates("a", subject)]

    def subjects(self) -> Any:
        return [str(subject) for subject in self.gallery.subjects("a")]

    def verify(self, subject: str, records: np.ndarray) -> Any:
        bundle = self.student.card.front_id
        scores = self.gallery.verify("a", subject, self.embed(records), bundle_id=bundle)
        return [(float(s), float(s) >= self.limit.threshold) for s in scores]

    def search(self, records: np.ndarray, top_k: int) -> Any:
        found = self.gallery.search(
            "a",
            self.embed(records),
            bundle_id=self.student.card.front_id,
            top_k=top_k,
            threshold=self.limit.threshold,
        )
        return [[(c.subject_id, c.template_id, c.score) for c in part] for part in found]


class Remote:
    """The same over HTTP."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.http = caller, caller.http

    def __call__(self, name: str, *given: Any) -> Any:
        answer, read = getattr(self, name)(*given)
        if answer.status_code >= 400:
            return answer.json()["type"].removeprefix("urn:xnn:problem:")
        return read(answer.json())

    def create(self, subject: str) -> Any:
        return self.http.post("/v1/subjects", json={"subject_id": subject}), lambda _: "made"

    def delete(self, subject: str) -> Any:
        return self.http.delete(f"/v1/subjects/{subject}"), lambda found: found["templates"]

    def enrol(self, subject: str, records: np.ndarray, request: str, create: bool) -> Any:
        answer = self.caller.enrol(subject, records, create=create, request_id=request)
        return answer, lambda found: [t["template_id"] for t in found["templates"]]

    def erase(self, template: str) -> Any:
        return self.http.delete(f"/v1/templates/{template}"), lambda _: "erased"

    def templates(self, subject: str) -> Any:
        answer: httpx.Response = self.http.get(f"/v1/subjects/{subject}/templates")
        return answer, lambda found: [t["template_id"] for t in found["templates"]]

    def subjects(self) -> Any:
        return self.http.get("/v1/subjects"), lambda found: found["subjects"]

    def verify(self, subject: str, records: np.ndarray) -> Any:
        answer = self.caller.verify(subject, records, far=0.1)
        return answer, lambda found: [(r["score"], r["match"]) for r in found["results"]]

    def search(self, records: np.ndarray, top_k: int) -> Any:
        answer = self.caller.search(records, top_k=top_k, far=0.1)
        return answer, lambda found: [
            [(c["subject_id"], c["template_id"], c["score"]) for c in r["candidates"]]
            for r in found["results"]
        ]


@pytest.mark.parametrize("seed", [0, 1])
def test_local_and_http_galleries_agree(
    start, bundles: Path, student: ServerBundle, tmp_path: Path, seed: int
) -> None:
    """Template ids are random: the two name them differently, and are compared by age."""
    server: Running = start(requests_per_s=1e5, request_burst=10**6, probe_burst=10**6)
    gallery = Site.make(tmp_path / "local", bundles, {}).open()
    draw, numbers = random.Random(seed), np.random.default_rng(seed)
    local_ids: dict[str, str] = {}

    def canonical(answer: Any) -> Any:
        """Rename template ids of the server by those of the local gallery."""
        if isinstance(answer, str):
            return local_ids.get(answer, answer)
        if isinstance(answer, list | tuple):
            return [canonical(part) for part in answer]
        return answer

    done: dict[str, int] = {}
    with server.caller() as caller:
        local, remote = Local(gallery, student), Remote(caller)
        requests: list[tuple[Any, ...]] = []
        for _ in range(OPERATIONS):
            name = draw.choice(CHOICES)
            subject = draw.choice(SUBJECTS)
            records = numbers.normal(size=(draw.randint(1, 3), 16, 256)).astype(np.float32)
            given: tuple[Any, ...] = (subject,)
            if name == "enrol":
                given = (subject, records, f"{draw.getrandbits(128):032x}", draw.random() < 0.6)
                requests.append(given)
            elif name == "repeat":
                if not requests:
                    continue
                name, given = "enrol", draw.choice(requests)
            elif name == "erase":
                known = sorted(local_ids) or ["0" * 32]
                theirs = draw.choice(known)
                wanted = local("erase", local_ids.get(theirs, theirs))
                assert remote("erase", theirs) == wanted
                done[f"erase {wanted}"] = done.get(f"erase {wanted}", 0) + 1
                continue
            elif name == "subjects":
                given = ()
            elif name == "verify":
                given = (subject, records)
            elif name == "search":
                given = (records, draw.randint(1, 4))
            wanted, got = local(name, *given), remote(name, *given)
            if name == "enrol" and isinstance(wanted, list):
                assert isinstance(got, list), got
                local_ids.update(zip(got, wanted, strict=True))
            assert canonical(got) == canonical(wanted), name
            key = f"{name} {'refused' if isinstance(wanted, str) else 'done'}"
            done[key] = done.get(key, 0) + 1
    gallery.close()
    assert {"enrol done", "enrol refused", "verify done", "search done"} <= set(done)
