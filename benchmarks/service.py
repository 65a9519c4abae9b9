"""The service beside its own student: throughput at saturation, latency by offered load.

    OMP_NUM_THREADS=1 python benchmarks/service.py

Everything on loopback, in one run, on the same cores: the server is a process with its own
interpreter and one thread for the student; the load comes from another process. The bare student is
measured in a process of its own too, with nobody else running. Student and server are measured in
turns, several times, and the ratio is of neighbouring turns: the machine's speed drifts.

- **Throughput**: records per second, with `--records` records in a message (a burst of captures),
  searched in a gallery of `--gallery` templates; against the student alone at its best batch size.
- **Latency at low load**: one message at a time; against one call of the student with as many
  records, from numpy array to numpy array.
  Beside it stands what HTTP alone takes: the same bytes posted to an empty FastAPI route in a
  process of its own. And what both take with httpx, the SDK's client, in place of the lean client.
- **Latency by offered load**: messages leave at fixed times whatever the answers do (open loop);
  a latency counts from when its message should have left: queueing is in it.

The students are the paper's tail, six blocks, on the tokens of the project's extractors: 16 of 256
(`dlib`) and 65 of 384 (`vit-s14`). Their weights are random: speed does not depend on them. What
the service adds to a message hardly depends on the student, so both ratios are stated, and the
milliseconds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch

from served import Running, Site, random_bundle
from service_load import Load, records_of
from xnn.models.tail_config import TailConfig
from xnn.server.bundle import ServerBundle
from xnn.training.presets import paper_tail

TAILS = {"dlib": paper_tail(16, 256), "vit-s14": paper_tail(65, 384)}
BATCHES = (8, 16, 32, 64)
SETTINGS: dict[str, Any] = {
    "requests_per_s": 1e6,
    "request_burst": 1_000_000,
    "probes_per_hour": 1e9,
    "probe_burst": 1_000_000_000,
    "max_in_flight": 256,
    "torch_threads": 1,
}
_SUBJECTS = 200


def time_student(student: ServerBundle, count: int, seconds: float) -> list[float]:
    """Return seconds of each call with so many records, from array to array."""
    records, times = records_of(count, (student.card.m, student.card.e)), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        with torch.inference_mode():
            student.embed(torch.from_numpy(records)).numpy()
        times.append(time.perf_counter() - start)
    return times


def bare(folder: str, count: int, seconds: float) -> list[float]:
    """Time the student in a process that does nothing else."""
    code = (
        "import json, sys, torch; sys.path.insert(0, sys.argv[1]); torch.set_num_threads(1)\n"
        "from pathlib import Path; import service\n"
        "from xnn.server.bundle import load_server_bundle\n"
        "student = load_server_bundle(Path(sys.argv[2]) / 'server')\n"
        "service.time_student(student, int(sys.argv[3]), 0.3)\n"
        "found = service.time_student(student, int(sys.argv[3]), float(sys.argv[4]))\n"
        "sys.stdout.write(json.dumps(found))"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, here, folder, str(count), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    times: list[float] = json.loads(done.stdout)
    return times


async def through_httpx(server: Running, records: int, seconds: float, url: str = "") -> float:
    """Return the median latency of one message at a time, sent as the SDK sends it."""
    async with httpx.AsyncClient(timeout=60) as http:
        _, _, latencies = await Load(server, records, url=url, http=http).closed(1, seconds)
    return statistics.median(latencies)


@contextlib.contextmanager
def empty_server() -> Iterator[str]:
    """Run an empty FastAPI route in a process of its own; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys, uvicorn\n"
        "from fastapi import FastAPI, Request\n"
        "app = FastAPI()\n"
        "async def empty(request: Request) -> dict[str, int]:\n"
        "    return {'bytes': len(await request.body())}\n"
        "app.post('/v1/search')(empty)\n"
        "options = {'http': 'h11', 'access_log': False, 'log_level': 'critical'}\n"
        "uvicorn.run(app, port=int(sys.argv[1]), **options)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(port)])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def time_alone(
    server: Running, empty: str, folder: Path, records: int, seconds: float
) -> dict[str, float]:
    """Return seconds of one message at a time: the bare student, the service, and HTTP alone."""
    student = statistics.median(bare(str(folder), records, seconds))
    service = Load(server, records).alone(seconds)
    return {
        "records": records,
        "student": student,
        "service": service,
        "ratio": service / student,
        "http": Load(server, records, url=empty).alone(seconds / 4),
        "service_httpx": asyncio.run(through_httpx(server, records, seconds / 2)),
        "http_httpx": asyncio.run(through_httpx(server, records, seconds / 4, empty)),
    }


def summary(seconds: list[float]) -> dict[str, float]:
    """Return percentiles in milliseconds."""
    p50, p95, p99 = np.percentile(1000 * np.array(seconds), [50, 95, 99])
    return {"p50_ms": round(p50, 2), "p95_ms": round(p95, 2), "p99_ms": round(p99, 2)}


def in_turns(
    server: Running, load: Load, bundles: Path, options: argparse.Namespace
) -> tuple[int, list[dict[str, float]], list[dict[str, float]], list[dict[str, Any]]]:
    """Return the best batch, throughput and latency of each turn, and latency by offered load."""
    asyncio.run(load.closed(4, 2.0))  # to warm up
    best = max(BATCHES, key=lambda b: b / statistics.median(bare(str(bundles), b, 2.0)))
    turns, latency_turns = [], []
    for _ in range(options.turns):
        times = bare(str(bundles), best, options.seconds)
        answers, seconds, _ = asyncio.run(load.closed(options.callers, options.seconds))
        student, service = best * len(times) / sum(times), answers * options.records / seconds
        turns.append({"student": student, "service": service, "ratio": service / student})
        with empty_server() as empty:
            latency_turns += [
                time_alone(server, empty, bundles, count, options.seconds / 2)
                for count in (1, options.records)
            ]
    saturation = statistics.median(turn["service"] for turn in turns) / options.records
    loads: list[dict[str, Any]] = []
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        latencies = asyncio.run(load.offered(share * saturation, options.seconds * 2))
        row = {"share_of_saturation": share, "messages_per_s": round(share * saturation, 2)}
        loads.append(row | summary(latencies) | {"messages": len(latencies)})
    return best, turns, latency_turns, loads


def measure(options: argparse.Namespace, tail: TailConfig, folder: Path) -> dict[str, Any]:
    """Measure one student."""
    bundles = random_bundle(folder / "bundles", tail)
    site = Site.make(folder / "site", bundles, SETTINGS)
    fill(site, options.gallery, tail.output_dim)
    server = Running(site).wait_until_ready()
    load = Load(server, options.records)
    try:
        best, turns, latency_turns, loads = in_turns(server, load, bundles, options)
    finally:
        server.kill()
    return {
        "student": f"paper tail, {tail.tail_depth} blocks on {tail.n}x{tail.d}, random weights",
        "best_batch_of_the_student": best,
        "throughput": {
            "student_records_per_s": round(statistics.median(t["student"] for t in turns), 1),
            "service_records_per_s": round(statistics.median(t["service"] for t in turns), 1),
            "ratio": round(statistics.median(t["ratio"] for t in turns), 3),
            "ratio_of_each_turn": [round(t["ratio"], 3) for t in turns],
        },
        "latency_at_low_load": [low_load(latency_turns, n) for n in (1, options.records)],
        "latency_by_offered_load": loads,
        "refused": load.refused,
    }


def low_load(turns: list[dict[str, float]], records: int) -> dict[str, Any]:
    """Return the medians over turns for messages of so many records."""
    mine = [turn for turn in turns if turn["records"] == records]
    return {
        "records_per_message": records,
        "student_ms": round(1000 * statistics.median(t["student"] for t in mine), 2),
        "service_ms": round(1000 * statistics.median(t["service"] for t in mine), 2),
        "added_ms": round(1000 * statistics.median(t["service"] - t["student"] for t in mine), 2),
        "ratio": round(statistics.median(t["ratio"] for t in mine), 3),
        "empty_route_ms": round(1000 * statistics.median(t["http"] for t in mine), 2),
        "service_ms_with_httpx": round(
            1000 * statistics.median(t["service_httpx"] for t in mine), 2
        ),
        "empty_route_ms_with_httpx": round(
            1000 * statistics.median(t["http_httpx"] for t in mine), 2
        ),
        "ratio_of_each_turn": [round(t["ratio"], 3) for t in mine],
    }


def fill(site: Site, count: int, width: int) -> None:
    """Put templates of nobody into the gallery."""
    rng, gallery = np.random.default_rng(1), site.open()
    each = count // _SUBJECTS
    for number in range(_SUBJECTS):
        gallery.enrol(
            "a",
            f"s{number:03d}",  # type: ignore[arg-type]
            rng.normal(size=(each, width)).astype(np.float32),
            bundle_id="0f" * 32,
            request_id=f"{number:032x}",
            create=True,
        )
    gallery.close()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--students", default=",".join(TAILS), help="behind which extractors")
    parser.add_argument("--records", type=int, default=8, help="in a message")
    parser.add_argument("--callers", type=int, default=8, help="at saturation")
    parser.add_argument("--gallery", type=int, default=10_000, help="templates")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/service.json")
    options = parser.parse_args()
    students = {}
    for name in options.students.split(","):
        with tempfile.TemporaryDirectory() as folder:
            students[name] = measure(options, TAILS[name], Path(folder))
    found = {
        "gallery_templates": options.gallery,
        "records_per_message": options.records,
        "callers_at_saturation": options.callers,
        "students": students,
        "cores": os.cpu_count(),
        "load_average_at_the_end": round(os.getloadavg()[0], 2),
    }
    options.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
