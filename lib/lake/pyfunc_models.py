"""Models of any make that MLflow loads (pyfunc). Loading one may run code that its makers wrote."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from lib.errors import CaptionlakeError, MissingInputError, RuntimeMissingError, SettingsError
from lib.lake.registered_models import IN_THE_REGISTRY, reach_mlflow
from lib.sections.lake import StorageSettings

logger = logging.getLogger(__name__)

DESCRIPTION = "MLmodel"  # the file in a model's folder by which MLflow knows it
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


class PyfuncModel(Protocol):
    """What is asked of a model that MLflow has loaded."""

    def predict(self, data: Any) -> Any:
        """The model's predictions for the rows of a data frame."""


def load_pyfunc(storage: StorageSettings, name: str, setting: str) -> PyfuncModel:
    """The model of that name: a folder with a file MLmodel, or a URI that MLflow knows, such as models:/NAME@ALIAS.

    `setting` is what names it, for messages. Raises SettingsError if it is neither, MissingInputError if the model
    cannot be loaded, RuntimeMissingError if MLflow is not installed.
    """
    folder = Path(name).expanduser()
    is_folder = (folder / DESCRIPTION).is_file()
    if not is_folder and not _URI.match(name):
        raise SettingsError(
            f"{setting} is {name!r}, which is not a folder with a file {DESCRIPTION}: name such a folder, or write "
            f"{IN_THE_REGISTRY}NAME@ALIAS"
        )
    if find_spec("mlflow") is None:
        raise RuntimeMissingError(f"{setting} is {name!r}, and MLflow is not installed: install mlflow-skinny")
    try:
        if not is_folder:
            reach_mlflow(storage)
        import mlflow.pyfunc

        model: PyfuncModel = mlflow.pyfunc.load_model(str(folder.resolve()) if is_folder else name)
    except CaptionlakeError:
        raise
    except Exception as error:  # what a model's own code or a registry can raise is not to be listed
        logger.exception("%s is %r, which MLflow could not load", setting, name)
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise MissingInputError(f"{setting} is {name!r}, which MLflow could not load: {why}") from None
    return model
