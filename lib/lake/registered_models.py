"""MLflow as it is reached from here, and the models of its registry: fetched once, into a folder of checkpoints."""

import os
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import CaptionlakeError, MissingInputError, RuntimeMissingError, SettingsError
from lib.job_log import ON_DATABRICKS
from lib.sections.lake import StorageSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

IN_THE_REGISTRY = "models:/"  # what the names of registered models begin with
DATABASE = "mlflow.db"  # in storage.root, where MLFLOW_TRACKING_URI names no server
NEEDED_FOR_DATABASE = ("sqlalchemy", "alembic", "sqlparse")
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # minutes unless set
MODEL_VERSION = "model_version"  # the tag of a run that names its model
CHECKPOINT = "checkpoint"  # the checkpoint's directory in the folder that is registered
RUN_ID = "mlflow_run_id"  # a file in a checkpoint's directory that holds the id of the training's run
_NAME = re.compile(r"models:/(?P<name>[^@/]+)(@(?P<alias>[^@/]+)|/(?P<version>\d+))")
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # an unset alias is the second


def reach_mlflow(storage: StorageSettings) -> "MlflowClient":
    """A client of the workspace on Databricks, elsewhere of MLFLOW_TRACKING_URI, or else of a database in storage.root.

    Raises RuntimeMissingError if MLflow, or what its database needs, is not installed.
    """
    if find_spec("mlflow") is None:
        raise RuntimeMissingError("MLflow is not installed: install the Python package mlflow-skinny")
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    import mlflow

    if ON_DATABRICKS:
        mlflow.set_registry_uri("databricks-uc")
    elif "MLFLOW_TRACKING_URI" not in os.environ:
        if missing := [name for name in NEEDED_FOR_DATABASE if find_spec(name) is None]:
            raise RuntimeMissingError(
                f"MLflow's database {DATABASE} needs {' and '.join(missing)}: install these Python packages, or name a "
                "server in MLFLOW_TRACKING_URI"
            )
        root = Path(storage.root).absolute()
        root.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{root / DATABASE}")
        mlflow.set_registry_uri(f"sqlite:///{root / DATABASE}")
    return mlflow.MlflowClient()


def fetch_registered_model(storage: StorageSettings, name: str, folder: Path) -> Path:
    """The checkpoint in `folder` of a registered model, models:/NAME@ALIAS or models:/NAME/VERSION.

    It is fetched unless it is there under its model version. Raises SettingsError if the name has another form,
    MissingInputError if no such model of ours is registered, RuntimeMissingError if MLflow is not installed or does not
    answer.
    """
    if (asked := _NAME.fullmatch(name)) is None:
        raise SettingsError(
            f"{name!r} names no registered model: write models:/NAME@ALIAS or models:/NAME/VERSION in "
            "prediction.model_version"
        )
    client = reach_mlflow(storage)
    from mlflow.exceptions import MlflowException

    try:
        return _fetched(client, asked["name"], asked["alias"], asked["version"], folder)
    except CaptionlakeError:
        raise
    except Exception as error:  # what a server, a database or a network can raise is not to be listed
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        if isinstance(error, MlflowException) and error.error_code in _NOT_THERE:
            raise MissingInputError(
                f"MLflow has no {name} ({why}): see prediction.model_version and, for a server, MLFLOW_TRACKING_URI"
            ) from None
        raise RuntimeMissingError(f"{name} cannot be fetched from MLflow, see MLFLOW_TRACKING_URI: {why}") from None


def _fetched(client: "MlflowClient", name: str, alias: str | None, version: str | None, folder: Path) -> Path:
    import mlflow

    found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
    model_version = client.get_run(found.run_id).data.tags.get(MODEL_VERSION) if found.run_id else None
    if model_version is None or Path(model_version).name != model_version:
        raise _not_ours(found)
    checkpoint = folder / model_version
    if not _is_there(checkpoint):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetched-", dir=folder) as copy:
            mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{found.version}", dst_path=copy)
            fetched = next(Path(copy).glob(f"data/*/{CHECKPOINT}"), None)
            if fetched is None:
                raise _not_ours(found)
            (fetched / RUN_ID).write_text(found.run_id + "\n")
            try:
                fetched.rename(checkpoint)
            except OSError:  # another process may have fetched it meanwhile
                if not _is_there(checkpoint):
                    raise
    return checkpoint


def _is_there(checkpoint: Path) -> bool:
    return (checkpoint / "config.json").is_file()


def _not_ours(found: Any) -> MissingInputError:
    return MissingInputError(
        f"version {found.version} of {found.name} in MLflow is not a captioner that train_captioner registered: see "
        "prediction.model_version"
    )
