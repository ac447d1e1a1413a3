"""Metrics for Prometheus: what was asked and how it was answered, and how large the store is.

No names of buckets or keys are in them. They are for callers on this machine, and for those who know
the token: a request that came through a proxy is from elsewhere.
"""

from __future__ import annotations

import functools
import hmac
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from skerry.objects import facts
from skerry.s3.connection import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from skerry.objects import Objects
    from skerry.objects.scrubbing import Scrubbed
    from skerry.s3.connection import Request

PATHS = frozenset({"/metrics", "/minio/v2/metrics/cluster"})
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FROM_ELSEWHERE = ("x-forwarded-for", "forwarded", "via", "x-real-ip")


class Metrics:
    """The metrics of one server. token: for callers from elsewhere, empty for none of them."""

    def __init__(self, objects: Objects, scrubbed: Scrubbed, token: str = "") -> None:
        self._token = token
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "skerry_s3_requests", "Requests that were answered", ["operation", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "skerry_s3_answer_seconds", "Time until an answer begins", ["operation"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        counted = Counter(
            "skerry_s3_bytes", "Bytes of bodies", ["direction"], registry=self._registry
        )
        self._received, self._sent = counted.labels("received"), counted.labels("sent")
        self._registry.register(_Store(objects, scrubbed))

    def answered(self, request: Request, response: Response, took_s: float) -> None:
        """Count a request."""
        count, time = self._of(request.operation, response.status)
        count.inc()
        time.observe(took_s)
        if request.size:
            self._received.inc(request.size)
        body = response.body
        size = len(body) if isinstance(body, bytes) else response.size
        if size:
            self._sent.inc(size)

    @functools.cache  # noqa: B019 - of one server, which lives as long as its process
    def _of(self, operation: str, status: int) -> tuple[Counter, Histogram]:
        return self._requests.labels(operation, str(status)), self._seconds.labels(operation)

    def may_see(self, request: Request) -> bool:
        """Tell whether they are for who asks."""
        said = request.headers.get("authorization", "")
        if self._token and hmac.compare_digest(said.encode(), f"Bearer {self._token}".encode()):
            return True
        is_near = request.peer in _LOOPBACK and not said
        return is_near and not any(name in request.headers for name in _FROM_ELSEWHERE)

    def told(self) -> Response:
        """Return them as an answer."""
        return Response(
            200, [("Content-Type", CONTENT_TYPE_LATEST)], generate_latest(self._registry)
        )


class _Store(Collector):
    def __init__(self, objects: Objects, scrubbed: Scrubbed) -> None:
        self._objects = objects
        self._scrubbed = scrubbed

    def collect(self) -> Iterable[Metric]:
        """Look at the store."""
        for name, (value, text) in facts.facts(self._objects).items():
            yield GaugeMetricFamily(f"skerry_objects_{name}", text, value)
        looked: Mapping[str, tuple[int, str]] = {
            "scrubbed_versions": (self._scrubbed.versions, "Versions whose bytes were looked at"),
            "scrubbed_bytes": (self._scrubbed.bytes, "Bytes that were looked at"),
            "damaged": (self._scrubbed.damaged, "Versions found that can not be read"),
        }
        for name, (value, text) in looked.items():
            yield CounterMetricFamily(f"skerry_objects_{name}", text, value)
