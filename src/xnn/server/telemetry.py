"""Prometheus metrics of one service. Counts and times; no subject, no tenant, no score."""

from collections.abc import Callable
from typing import final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@final
class Telemetry:
    """Metrics in a registry of their own, so that several services may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "xnn_requests", "Answers.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "xnn_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "xnn_requests_in_flight", "Requests being served.", registry=self.registry
        )
        self._refusals = Counter(
            "xnn_refusals", "Problems answered, by kind.", ("problem",), registry=self.registry
        )
        self._records = Counter(
            "xnn_records", "Records taken, by what for.", ("purpose",), registry=self.registry
        )
        self._batch_requests = Histogram(
            "xnn_batch_requests",
            "Requests that shared a run of the student.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._batch_records = Histogram(
            "xnn_batch_records",
            "Records of one run of the student.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "xnn_batch_seconds", "One run of the student.", buckets=_SECONDS, registry=self.registry
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when it is asked for."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def began(self) -> None:
        """Count a request in."""
        self._in_flight.inc()

    def ended(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request out."""
        self._in_flight.dec()
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, problem: str) -> None:
        """Count a refusal by the name of its problem."""
        self._refusals.labels(problem).inc()

    def took(self, purpose: str, records: int) -> None:
        """Count records that were enrolled, verified or searched for."""
        self._records.labels(purpose).inc(records)

    def batch(self, requests: int, records: int, seconds: float) -> None:
        """Count a run of the student."""
        self._batch_requests.observe(requests)
        self._batch_records.observe(records)
        self._batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
