"""Kill the service at random under mixed load, and see that nothing promised was lost.

    OMP_NUM_THREADS=1 python benchmarks/chaos.py --operations 7200 --out results/chaos.json

Workers enrol, delete, erase and search; each notes what was acknowledged. At random moments the
server gets SIGKILL and is started again in the same folder. What a worker was not told the outcome
of, it repeats with the same request_id, as the SDK does. After every start, and before every kill,
the load rests for a moment and three things are compared: what was acknowledged, what the database
holds as a fresh process reads it, and what the running server's index answers.

An "hour of moderate load" is counted as 7200 operations, two in a second; here they come faster.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from served import Caller, Running, Site, random_bundle
from xnn.models.tail_config import TailConfig
from xnn.server.bundle import load_server_bundle

TAIL = TailConfig(n=1, d=32, tail_depth=0, heads=1)
SETTINGS: dict[str, Any] = {
    "scores": "exact",
    "requests_per_s": 1e5,
    "request_burst": 1_000_000,
    "probes_per_hour": 1e9,
    "probe_burst": 1_000_000_000,
    "max_top_k": 1000,
}
HOUR_OPERATIONS = 7200
_SUBJECTS_EACH = 12
_LOST = (httpx.TransportError,)


@dataclass
class Truth:
    """What one worker was told, and what it was not told the outcome of."""

    templates: dict[str, set[str]] = field(default_factory=dict)
    """Template ids by subject; a subject without any is in it too."""
    erased: set[str] = field(default_factory=set)


class Gate:
    """Lets workers work while it is open; closing waits until all of them rest."""

    def __init__(self, workers: int) -> None:
        self._open, self._resting, self._workers = False, 0, workers
        self._changed = threading.Condition()
        self.ended = False

    def rest_here(self) -> bool:
        """Wait while it is closed; return whether to go on."""
        with self._changed:
            self._resting += 1
            self._changed.notify_all()
            while not self._open and not self.ended:
                self._changed.wait()
            self._resting -= 1
            return not self.ended

    def open(self) -> None:
        """Let them work."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def close(self) -> None:
        """Return when all rest."""
        with self._changed:
            self._open = False
            while self._resting < self._workers:
                self._changed.wait()

    def end(self) -> None:
        """Send them home."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()


class Worker(threading.Thread):
    """Does random operations on subjects of its own."""

    def __init__(self, chaos: "Chaos", number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.truth, self._chaos = Truth(), chaos
        self._random, self._prefix = random.Random(seed), f"w{number}"  # noqa: S311
        self._numbers = np.random.default_rng(seed)
        self.failure: str | None = None

    def run(self) -> None:
        """Work until sent home."""
        try:
            while self._chaos.gate.rest_here():
                self._operate()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            self._chaos.gate.end()

    def _operate(self) -> None:
        subject = f"{self._prefix}-{self._random.randrange(_SUBJECTS_EACH)}"
        kind = self._random.choices(
            ("enrol", "search", "delete", "erase"), weights=(5, 4, 1.5, 1.5)
        )[0]
        known = self.truth.templates.get(subject)
        if kind == "enrol":
            self._enrol(subject)
        elif kind == "search":
            self._search()
        elif kind == "delete" and known is not None:
            self._delete_subject(subject)
        elif kind == "erase" and known:
            self._erase(subject, self._random.choice(sorted(known)))
        else:
            return
        self._chaos.count(kind)

    def _until_told(self, send: Any) -> httpx.Response:
        """Repeat over kills until there is an answer; nothing is noted before."""
        while True:
            try:
                answer: httpx.Response = send(self._chaos.caller())
            except _LOST:
                self._chaos.count("unanswered, repeated")
                time.sleep(0.1)
                continue
            if answer.status_code == 503:
                self._chaos.count("busy, repeated")
                time.sleep(0.1)
                continue
            return answer

    def _enrol(self, subject: str) -> None:
        count = self._random.randrange(1, 3)
        records = self._numbers.normal(size=(count, 1, TAIL.d)).astype(np.float32)
        request_id = f"{self._random.getrandbits(128):032x}"
        answer = self._until_told(
            lambda caller: caller.enrol(subject, records, request_id=request_id)
        )
        if answer.status_code == 409 and answer.json()["type"].endswith("over-limit"):
            return
        _expect(answer, 201)
        ids = {template["template_id"] for template in answer.json()["templates"]}
        if len(ids) != count:
            raise RuntimeError(f"{len(ids)} templates of {count} records")
        self.truth.templates.setdefault(subject, set()).update(ids)

    def _delete_subject(self, subject: str) -> None:
        attempts = 0

        def send(caller: Caller) -> httpx.Response:
            nonlocal attempts
            attempts += 1
            return caller.http.delete(f"/v1/subjects/{subject}")

        answer = self._until_told(send)
        _expect(answer, *((200, 404) if attempts > 1 else (200,)))
        self.truth.erased |= self.truth.templates.pop(subject)

    def _erase(self, subject: str, template: str) -> None:
        attempts = 0

        def send(caller: Caller) -> httpx.Response:
            nonlocal attempts
            attempts += 1
            return caller.http.delete(f"/v1/templates/{template}")

        answer = self._until_told(send)
        _expect(answer, *((200, 404) if attempts > 1 else (200,)))
        self.truth.templates[subject].discard(template)
        self.truth.erased.add(template)

    def _search(self) -> None:
        erased = set().union(*(worker.truth.erased for worker in self._chaos.workers))
        probe = self._numbers.normal(size=(1, 1, TAIL.d)).astype(np.float32)
        answer = self._until_told(lambda caller: caller.search(probe, top_k=1000, far=0.5))
        _expect(answer, 200)
        (result,) = answer.json()["results"]
        returned = {candidate["template_id"] for candidate in result["candidates"]}
        if back := returned & erased:
            raise RuntimeError(f"{len(back)} erased templates were returned")


class Chaos:
    """The run: workers, a server, and kills."""

    def __init__(self, folder: Path, *, workers: int, seed: int) -> None:
        bundles = random_bundle(folder / "bundles", TAIL)
        self.site = Site.make(folder / "site", bundles, SETTINGS)
        self.student = load_server_bundle(bundles / "server")
        self.counts: Counter[str] = Counter()
        self._lock, self._local = threading.Lock(), threading.local()
        self._callers: list[Caller] = []
        self._random = random.Random(seed)  # noqa: S311
        self._numbers = np.random.default_rng(seed)
        self.gate = Gate(workers)
        self.server = Running(self.site).wait_until_ready()
        self.workers = [Worker(self, i, 1000 * seed + i) for i in range(workers)]

    def caller(self) -> Caller:
        """Return this thread's connection to the server that runs now."""
        url = self.server.url
        known: Caller | None = getattr(self._local, "caller", None)
        if known is None or str(known.http.base_url).rstrip("/") != url:
            if known is not None:
                known.http.close()
            known = self._local.caller = Caller(url, self.site.keys["a"], self.site.bundles)
            with self._lock:
                self._callers.append(known)
        return known

    def count(self, what: str) -> None:
        """Count something."""
        with self._lock:
            self.counts[what] += 1

    @property
    def operations(self) -> int:
        """Return how many operations were acknowledged."""
        return sum(self.counts[kind] for kind in ("enrol", "search", "delete", "erase"))

    def run(
        self, operations: int, *, seconds: tuple[float, float], max_s: float = math.inf
    ) -> dict[str, Any]:
        """Work until so many were acknowledged, or time is up; kill every few seconds."""
        start = time.monotonic()
        for worker in self.workers:
            worker.start()
        while self.operations < operations and not self.gate.ended:
            self._rest_and_check("before a kill" if self.counts["kills"] else "at the start")
            self.gate.open()
            time.sleep(self._random.uniform(*seconds))
            self.server.kill()
            self.count("kills")
            self.server = Running(self.site).wait_until_ready()
            self._rest_and_check("after a kill")
            sys.stderr.write(f"{self.operations} operations, {self.counts['kills']} kills\n")
            if time.monotonic() - start > max_s:
                break
        self.gate.end()
        failures = [worker.failure for worker in self.workers if worker.failure]
        for worker in self.workers:
            worker.join()
        self.close()
        if failures:
            raise RuntimeError("; ".join(failures))
        return {
            "operations": self.operations,
            "hours_equivalent": round(self.operations / HOUR_OPERATIONS, 2),
            "counts": dict(sorted(self.counts.items())),
            "templates_at_the_end": sum(
                len(ids) for w in self.workers for ids in w.truth.templates.values()
            ),
            "erased": sum(len(worker.truth.erased) for worker in self.workers),
            "wall_s": round(time.monotonic() - start, 1),
        }

    def close(self) -> None:
        """Kill the server and hang up; no worker works any more."""
        self.server.kill()
        with self._lock:
            for caller in self._callers:
                caller.http.close()

    def _rest_and_check(self, when: str) -> None:
        self.gate.close()
        if any(worker.failure for worker in self.workers):
            return
        wanted: dict[str, set[str]] = {}
        for worker in self.workers:
            wanted |= worker.truth.templates
        gallery = self.site.open()
        try:
            held = {
                str(subject): {t.template_id for t in gallery.templates("a", subject)}
                for subject in gallery.subjects("a", limit=1000)
            }
            if held != wanted:
                lost = sum(len(ids - held.get(s, set())) for s, ids in wanted.items())
                extra = sum(len(ids - wanted.get(s, set())) for s, ids in held.items())
                raise RuntimeError(f"{when}: {lost} acknowledged templates lost, {extra} too many")
            probes = self._numbers.normal(size=(3, 1, TAIL.d)).astype(np.float32)
            vectors = self.student.embed(torch.from_numpy(probes)).numpy()
            from_disk = gallery.search(
                "a", vectors, bundle_id=self.student.card.front_id, top_k=1000
            )
        finally:
            gallery.close()
        answer = self.caller().search(probes, top_k=1000, far=0.5)
        _expect(answer, 200)
        from_server = [
            [(c["subject_id"], c["template_id"], round(c["score"], 5)) for c in r["candidates"]]
            for r in answer.json()["results"]
        ]
        expected = [
            [(c.subject_id, c.template_id, round(c.score, 5)) for c in found] for found in from_disk
        ]
        if from_server != expected:
            raise RuntimeError(f"{when}: the server's index is not what the database holds")
        self.count("checks")


def _expect(answer: httpx.Response, *statuses: int) -> None:
    if answer.status_code not in statuses:
        raise RuntimeError(f"status {answer.status_code}, expected {statuses}: {answer.text[:200]}")


def main() -> None:
    """Run and write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--operations", type=int, default=HOUR_OPERATIONS)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--max-s", type=float, default=3600.0, help="stop then all the same")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/chaos.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), workers=options.workers, seed=options.seed)
        found = chaos.run(options.operations, seconds=(0.5, 12.0), max_s=options.max_s)
    found |= {"workers": options.workers, "seed": options.seed}
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
