"""The server's counters and timings, for Prometheus."""

from collections.abc import Mapping

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from lib.lake.models import Model
from lib.serving.answers import CaptionAnswer

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
FRACTIONS = tuple(tenth / 10 for tenth in range(1, 11))


class Metrics:
    """All metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("captionlake_requests", "Requests answered.", ["endpoint", "status"], registry=registry)
        self.request_seconds = Histogram(
            "captionlake_request_seconds", "Seconds to an answer.", ["endpoint"], buckets=SECONDS, registry=registry
        )
        self.requests_in_progress = Gauge(
            "captionlake_requests_in_progress", "Requests not answered yet.", registry=registry
        )
        self.queued_images = Gauge("captionlake_queued_images", "Images that wait for a process.", registry=registry)
        self.batch_images = Histogram(
            "captionlake_batch_images", "Images in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry
        )
        self.batch_seconds = Histogram(
            "captionlake_batch_seconds", "Seconds a batch takes.", buckets=SECONDS, registry=registry
        )
        self.images = Counter(
            "captionlake_images", "Images by outcome: captioned or rejected.", ["dataset", "outcome"], registry=registry
        )
        self.confidence = Histogram(
            "captionlake_confidence", "Confidence of captions.", ["dataset"], buckets=FRACTIONS, registry=registry
        )
        self.valid_captions = Counter(
            "captionlake_valid_captions", "Captions that are well-formed.", ["dataset"], registry=registry
        )
        self.second_captions = Counter(
            "captionlake_second_captions",
            "Images given to the second captioner by outcome: captioned, failed, late or unavailable.",
            ["dataset", "outcome"],
            registry=registry,
        )
        self.process_restarts = Counter(
            "captionlake_process_restarts", "Processes that captioned and were lost.", registry=registry
        )
        self.model_changes = Counter(
            "captionlake_model_changes", "Changes of the current model by outcome.", ["outcome"], registry=registry
        )
        for outcome in ("changed", "refused"):  # at 0: Prometheus sees no increase of a series that begins at 1
            self.model_changes.labels(outcome)
        self.model = Gauge(
            "captionlake_model", "1 for the model in use.", ["dataset", "model_version"], registry=registry
        )

    def count_image(self, dataset: str, answer: CaptionAnswer) -> None:
        """Count an image that a process has read."""
        self.images.labels(dataset, "captioned" if answer.reason is None else "rejected").inc()
        if answer.confidence is not None:
            self.confidence.labels(dataset).observe(answer.confidence)
        if answer.is_valid:
            self.valid_captions.labels(dataset).inc()

    def show_models(self, models: Mapping[str, Model]) -> None:
        """Say which models caption from now on."""
        self.model.clear()
        for dataset, model in models.items():
            self.model.labels(dataset, model.version).set(1)

    def as_text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def metrics_route(metrics: Metrics) -> APIRouter:
    """GET /metrics, which anybody may ask."""
    router = APIRouter()

    @router.get("/metrics", response_class=Response)
    async def metrics_as_text() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.as_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
