"""Search of a large gallery: exact beside faiss-flat, a graph beside exact, and a stored one.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/gallery.py exact graph stored

Vectors are generated. `faces`: subjects are points of a space of few directions (networks for faces
fill some tens of them), their templates lie around them. `isotropic`: no structure at all, which no
graph can use: the worst case. Times are of one thread, interleaved with the rival's, so that both
meet the same machine. Results are merged into benchmarks/results/gallery.json.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xnn.database import make_master_key
from xnn.gallery import GalleryLimits, TemplateInfo, open_gallery
from xnn.gallery.approximate import ApproximateIndex, GraphSettings
from xnn.gallery.exact import ExactIndex

RESULTS = Path(__file__).parent / "results" / "gallery.json"
WIDTH, EACH, CHUNK, BUILD_ROWS = 512, 4, 50_000, 10_000
TOP_K = 10


class Generated:
    """Vectors made a chunk at a time, the same for each pass; probes are new captures."""

    def __init__(self, kind: str, count: int, *, directions: int = 32) -> None:
        self.kind, self.count = kind, count
        basis = np.random.default_rng(1).normal(size=(directions, WIDTH))
        self._basis = (basis / np.linalg.norm(basis, axis=1, keepdims=True)).astype(np.float32)

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield vectors, and the number of the first."""
        for first in range(0, self.count, CHUNK):
            yield first, self._units(first, min(CHUNK, self.count - first))

    def probes(self, count: int) -> np.ndarray:
        """New captures of enrolled subjects, drawn over all chunks."""
        rng = np.random.default_rng(2)
        found = []
        for row in rng.choice(self.count, count, replace=False):
            chunk = row // CHUNK * CHUNK
            found.append(self._units(chunk, min(CHUNK, self.count - chunk), only=row - chunk))
        noise = rng.normal(size=(count, WIDTH)) / np.sqrt(WIDTH)
        return normalised(np.concatenate(found) + 0.6 * noise)

    def _units(self, seed: int, count: int, *, only: int | None = None) -> np.ndarray:
        rng = np.random.default_rng(1000 + seed)
        if self.kind == "isotropic":
            vectors = rng.standard_normal((count, WIDTH), np.float32)
        else:
            centres = rng.standard_normal((-(-count // EACH), len(self._basis)), np.float32)
            centres = np.repeat(centres @ self._basis, EACH, axis=0)[:count]
            centres /= np.linalg.norm(centres, axis=1, keepdims=True)
            noise = rng.standard_normal((count, WIDTH), np.float32) / np.sqrt(WIDTH)
            vectors = centres + 0.6 * noise
        return normalised(vectors if only is None else vectors[only : only + 1])


def normalised(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def fill(index: Any, data: Generated) -> float:
    """Add all vectors; return the seconds that adding took."""
    spent = 0.0
    for first, vectors in data.chunks():
        ids = [f"{n:032x}" for n in range(first, first + len(vectors))]
        owners = [f"s{n // EACH}" for n in range(first, first + len(vectors))]
        begin = time.perf_counter()
        index.add(ids, owners, vectors)
        spent += time.perf_counter() - begin
    return spent


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return round(int(line.split()[1]) / 1024, 1)
    return float("nan")


class Times:
    """Wall and processor time of calls; on a busy machine only the second is the program's."""

    def __init__(self) -> None:
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def take(self, call: Callable[[], Any]) -> Any:
        """Time a call and return its answer."""
        wall, cpu = time.perf_counter(), time.thread_time()
        answer = call()
        self.cpu_ms.append((time.thread_time() - cpu) * 1000)
        self.wall_ms.append((time.perf_counter() - wall) * 1000)
        return answer

    def summary(self) -> dict[str, float]:
        """Return medians and 99th percentiles."""
        return {
            "p50_ms": at(self.wall_ms, 50),
            "p99_ms": at(self.wall_ms, 99),
            "cpu_p50_ms": at(self.cpu_ms, 50),
            "cpu_p99_ms": at(self.cpu_ms, 99),
            "calls": len(self.wall_ms),
        }


def at(times_ms: list[float], percent: float) -> float:
    return round(float(np.percentile(times_ms, percent)), 3)


def ratios(ours: Times, theirs: Times) -> dict[str, float]:
    return {
        name: round(at(getattr(ours, kind), percent) / at(getattr(theirs, kind), percent), 3)
        for name, kind, percent in (
            ("p50", "wall_ms", 50),
            ("p99", "wall_ms", 99),
            ("cpu_p50", "cpu_ms", 50),
            ("cpu_p99", "cpu_ms", 99),
        )
    }


def measure_exact(count: int, num_probes: int) -> dict[str, Any]:
    import faiss

    faiss.omp_set_num_threads(1)
    data = Generated("faces", count)
    before = resident_mib()
    flat = faiss.IndexFlatIP(WIDTH)
    for _, vectors in data.chunks():
        flat.add(vectors)
    after_flat = resident_mib()
    ours = ExactIndex(WIDTH, rows=count)
    fill(ours, data)
    after_ours = resident_mib()
    probes = data.probes(num_probes)
    for probe in probes[:3]:
        flat.search(probe[None], TOP_K)
        ours.search(probe[None], top_k=TOP_K, threshold=-1.0)
    calls = {
        "ours": lambda p: ours.search(p, top_k=TOP_K, threshold=-1.0),
        "faiss_flat": lambda p: flat.search(p, TOP_K),
    }
    times = {name: Times() for name in calls}
    batches = {name: Times() for name in calls}
    for number, probe in enumerate(probes):  # in turn, and each goes first every other time
        for name in list(calls)[:: 1 if number % 2 else -1]:
            times[name].take(lambda call=calls[name], p=probe[None]: call(p))
    for _ in range(4):
        for name, call in calls.items():
            batches[name].take(lambda call=call: call(probes[:32]))
    _, rows = flat.search(probes[:32], 1)
    best = ours.search(probes[:32], top_k=1, threshold=-1.0)
    same = [
        f"s{row // EACH}" == found[0].subject_id for (row,), found in zip(rows, best, strict=True)
    ]
    return {
        "templates": count,
        "width": WIDTH,
        "ours": times["ours"].summary() | {"memory_mib": round(after_ours - after_flat, 1)},
        "faiss_flat": times["faiss_flat"].summary() | {"memory_mib": round(after_flat - before, 1)},
        "ours_over_faiss": ratios(times["ours"], times["faiss_flat"]),
        "batch_of_32": {name: found.summary() for name, found in batches.items()},
        "same_best_subject": f"{sum(same)} of {len(same)}",
    }


def measure_graph(kind: str, count: int, num_probes: int, dtype: Any) -> dict[str, Any]:
    data = Generated(kind, count)
    settings = GraphSettings(above=0, threads=1, dtype=dtype)
    graph = ApproximateIndex(WIDTH, settings=settings)
    wall, cpu = build(graph, data)
    exact = graph._exact  # the same vectors, searched without the graph
    probes = data.probes(num_probes)
    points = []
    for expansion in (64, settings.expansion_search, 768):
        graph._graph.expansion_search = expansion
        times = {"exact": Times(), "graph": Times()}
        hits = wanted = 0
        for probe in probes:
            (true,), (found,) = (
                times[name].take(
                    lambda i=index, p=probe[None]: i.search(p, top_k=TOP_K, threshold=-1.0)
                )
                for name, index in (("exact", exact), ("graph", graph))
            )
            subjects = {c.subject_id for c in true}
            hits += len(subjects & {c.subject_id for c in found})
            wanted += len(subjects)
        points.append(
            {
                "expansion_search": expansion,
                "recall_at_10": round(hits / wanted, 4),
                "exact_over_graph": ratios(times["exact"], times["graph"]),
                **{name: found.summary() for name, found in times.items()},
            }
        )
    return {
        "vectors": kind,
        "templates": count,
        "connectivity": settings.connectivity,
        "expansion_add": settings.expansion_add,
        "dtype": settings.dtype,
        "build_s": round(wall, 1),
        "build_cpu_s": round(cpu, 1),
        "graph_mib": round((graph.num_bytes - exact.num_bytes) / 2**20, 1),
        "points": points,
    }


def build(index: ApproximateIndex, data: Generated) -> tuple[float, float]:
    """Add all vectors, saying how far it is; return wall and processor seconds of adding."""
    wall = cpu = 0.0
    for first, vectors in data.chunks():
        for start in range(0, len(vectors), BUILD_ROWS):
            part = vectors[start : start + BUILD_ROWS]
            numbers = range(first + start, first + start + len(part))
            ids, owners = [f"{n:032x}" for n in numbers], [f"s{n // EACH}" for n in numbers]
            begin = time.perf_counter(), time.process_time()
            index.add(ids, owners, part)
            wall += time.perf_counter() - begin[0]
            cpu += time.process_time() - begin[1]
        print(f"{len(index)} templates, {wall:.0f} s, processor {cpu:.0f} s", flush=True)
    return wall, cpu


def measure_stored(count: int, num_probes: int) -> dict[str, Any]:
    data = Generated("faces", count)
    bundle = "ab" * 32
    with tempfile.TemporaryDirectory() as folder:
        key = make_master_key(Path(folder) / "master.key")
        path = Path(folder) / "gallery.db"
        gallery = open_gallery(str(path), key, limits=GalleryLimits(vectors_per_call=CHUNK))
        begin = time.perf_counter()
        for first, vectors in data.chunks():
            for start in range(0, len(vectors), 1000):
                numbers = range(first + start, first + start + 1000)
                infos = [
                    TemplateInfo(
                        template_id=f"{n:032x}",
                        subject_id=f"s{n // EACH}",  # type: ignore[arg-type]
                        bundle_id=bundle,
                        key_id=None,
                        created_ms=0,
                    )
                    for n in numbers
                ]
                gallery.restore("t", infos, vectors[start : start + 1000])
        stored = time.perf_counter() - begin
        gallery.close()
        before = resident_mib()
        begin = time.perf_counter()
        gallery = open_gallery(str(path), key)
        opened = time.perf_counter() - begin
        memory = resident_mib() - before
        probes = data.probes(num_probes)
        times = {name: Times() for name in ("search", "enrol_one", "erase_one")}
        for probe in probes:
            times["search"].take(
                lambda p=probe[None]: gallery.search("t", p, bundle_id=bundle, top_k=TOP_K)
            )
        for number, probe in enumerate(probes[:50]):
            options = {"bundle_id": bundle, "request_id": f"{number:032x}", "create": True}
            times["enrol_one"].take(
                lambda p=probe[None], o=options: gallery.enrol("t", "new", p, **o)
            )
        for info in gallery.templates("t", "new"):
            times["erase_one"].take(lambda i=info: gallery.erase_template("t", i.template_id))
        size = path.stat().st_size
        gallery.close()
    return {
        "templates": count,
        "import_per_s": round(count / stored),
        "open_s": round(opened, 2),
        "memory_mib": round(memory, 1),
        "file_bytes_per_template": round(size / count),
        **{name: found.summary() for name, found in times.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=["exact", "graph", "stored"])
    parser.add_argument("--templates", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int, default=150)
    parser.add_argument("--dtype", choices=["f32", "f16", "i8"], default=GraphSettings().dtype)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results["machine"] = {
        "cpu": next(
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    for part in options.parts:
        if part == "exact":
            results["exact"] = measure_exact(options.templates, options.probes)
        elif part == "stored":
            results["stored"] = measure_stored(min(options.templates, 20_000), options.probes)
        else:
            results["graph"] = [
                measure_graph("faces", options.templates, options.probes, options.dtype)
            ]
            small = min(options.templates, 20_000)
            results["graph"].append(
                measure_graph("isotropic", small, options.probes, options.dtype)
            )
        options.out.write_text(json.dumps(results, indent=2) + "\n")
        print(part, json.dumps(results[part], indent=2), flush=True)


if __name__ == "__main__":
    main()
