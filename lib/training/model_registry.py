"""MLflow, where it is installed: a run for each training, its metrics, and its model in the registry.

The tables stay what the jobs go by: nothing here decides which model captions.
"""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyspark.sql.functions as F

from lib.errors import RuntimeMissingError
from lib.lake.delta_tables import Lake
from lib.lake.models import current_model
from lib.lake.spark_session import ON_DATABRICKS
from lib.sections.lake import StorageSettings
from lib.sections.training import TrackingSettings
from model.checkpoint import load_captioner

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

ALIAS = "current"
METRICS = ("train_loss", "validation_loss", "validation_token_accuracy", "learning_rate", "images_per_second")
METRICS_PER_CALL = 1000  # what MLflow takes at a time


def check_tracking(settings: TrackingSettings) -> None:
    """Raise RuntimeMissingError, before anything is trained, if runs are to be tracked without MLflow."""
    if settings.experiment_id is None:
        return
    try:
        import mlflow  # noqa: F401
    except ImportError:
        raise RuntimeMissingError(
            "tracking.experiment_id is set, but MLflow is not installed: install the Python package mlflow-skinny, "
            "or set tracking.experiment_id to null"
        ) from None


def record_training(
    lake: Lake, tracking: TrackingSettings, checkpoint: Path, write_model: Callable[[Path], str]
) -> None:
    """Record the finished training, unless it is recorded, and let the registry's alias follow the current model.

    `write_model` fills a folder with what is registered and returns the module that loads it. A registry that refuses
    is a warning: captions do not depend on it, and the next training tries again.
    """
    if tracking.experiment_id is None:
        return
    import mlflow

    if ON_DATABRICKS:
        mlflow.set_registry_uri("databricks-uc")
    client = mlflow.MlflowClient()
    try:
        if _recorded(client, tracking.experiment_id, checkpoint.name) is None:
            _record(client, lake, tracking, checkpoint, write_model)
        if tracking.registered_model is not None:
            _move_alias(client, lake.storage, tracking)
    except mlflow.MlflowException as error:
        logger.warning("train_captioner: MLflow did not record model %s: %s", checkpoint.name, error)


def _recorded(client: "MlflowClient", experiment_id: str, model_version: str) -> str | None:
    """The id of the finished MLflow run of a model; one that was killed is not finished and does not count."""
    wanted = f"tags.model_version = '{model_version}' and attributes.status = 'FINISHED'"
    found = client.search_runs([experiment_id], wanted, max_results=1)
    return found[0].info.run_id if found else None


def _record(
    client: "MlflowClient", lake: Lake, tracking: TrackingSettings, checkpoint: Path, write_model: Callable[[Path], str]
) -> None:
    import mlflow

    name, model_version = tracking.registered_model, checkpoint.name
    experiment_id, tags = tracking.experiment_id, {"model_version": model_version}
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(experiment_id=experiment_id, run_name=model_version, tags=tags) as tracked,
    ):
        mlflow.log_params(_flat(load_captioner(checkpoint)[2]))
        metrics = _metrics(lake, model_version)
        for start in range(0, len(metrics), METRICS_PER_CALL):
            client.log_batch(tracked.info.run_id, metrics=metrics[start : start + METRICS_PER_CALL])
        logged = mlflow.pyfunc.log_model(
            "captioner",
            loader_module=write_model(Path(folder)),
            data_path=folder,
            signature=_signature(),
            pip_requirements=["captionlake"],
        )
        if name is not None:
            version = mlflow.register_model(logged.model_uri, name).version
            logger.info("train_captioner: model %s is version %s of %s", model_version, version, name)


def _metrics(lake: Lake, model_version: str) -> list[Any]:
    """The model's rows of training_metrics as MLflow has them."""
    from mlflow.entities import Metric

    return [
        Metric(name, row[name], int(row.reported_at.timestamp() * 1000), row.step)
        for row in lake.read("training_metrics").where(F.col("run_id") == model_version).collect()
        for name in METRICS
        if row[name] is not None
    ]


def _move_alias(client: "MlflowClient", storage: StorageSettings, tracking: TrackingSettings) -> None:
    """Give the alias to the version of the model that captions now; after a roll-back that is an older one."""
    name = tracking.registered_model
    current = current_model(storage)
    run_id = _recorded(client, str(tracking.experiment_id), current)
    versions = [found.version for found in client.search_model_versions(f"name = '{name}'") if found.run_id == run_id]
    if run_id is not None and versions:
        client.set_registered_model_alias(name, ALIAS, max(versions, key=int))


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _signature() -> Any:
    """What a model takes and gives; Unity Catalog takes no model without it."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = {"caption": DataType.string, "confidence": DataType.double, "is_valid": DataType.boolean}
    return ModelSignature(
        Schema([ColSpec(DataType.binary, "image")]),
        Schema([ColSpec(kind, name, required=False) for name, kind in columns.items()]),
    )
