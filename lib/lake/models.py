"""Which trained models there are, which is current, and which weights a training starts from."""

from pathlib import Path

from lib.errors import MissingInputError, SettingsError
from lib.sections.lake import StorageSettings
from model.checkpoint import PRETRAINED
from model.whole_writes import written_whole

CURRENT_MODEL = "current_model"  # a file beside the checkpoints that holds the name of the one in use
WITHDRAWN = "withdrawn"  # a file in a checkpoint's directory that says why it must not be used again


def checkpoints_folder(storage: StorageSettings) -> Path:
    """Where trained models live."""
    return Path(storage.root) / "checkpoints"


def has_current_model(storage: StorageSettings) -> bool:
    """Whether any model has been trained, or put in use by hand."""
    return _pointer(storage).is_file()


def current_model(storage: StorageSettings) -> str:
    """The version of the model in use. Raises MissingInputError if there is none."""
    if not has_current_model(storage):
        raise MissingInputError(f"no model has been trained in {storage.root}: run train_captioner first")
    return _pointer(storage).read_text().strip()


def make_current(directory: Path) -> None:
    """Put the model of this checkpoint directory in use."""
    with written_whole(directory.parent / CURRENT_MODEL) as written:
        written.write_text(directory.name + "\n")


def resolve_model(storage: StorageSettings, model_version: str) -> Path:
    """The checkpoint directory of a model version; `current` is the newest trained, or the one a roll-back names.

    Raises MissingInputError if there is none, or if the current one was withdrawn.
    """
    folder = checkpoints_folder(storage)
    is_current = model_version == "current"
    if is_current:
        model_version = current_model(storage)
    directory = folder / model_version
    if not (directory / "config.json").is_file():
        known = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json"))) or "none"
        raise MissingInputError(
            f"no model {model_version!r} in {folder} (there are: {known}): see prediction.model_version"
        )
    if is_current and (why := withdrawal_of(directory)) is not None:
        raise MissingInputError(
            f"the current model {model_version} was withdrawn ({why}): write the name of another into "
            f"{_pointer(storage)}"
        )
    return directory


def withdrawal_of(directory: Path) -> str | None:
    """Why a model was withdrawn, None if it was not. It never becomes current again, but can be asked for by name."""
    file = directory / WITHDRAWN
    return (file.read_text().strip() or "no reason given") if file.is_file() else None


def starting_checkpoint(start_from: str | None, dataset: str) -> Path | None:
    """Where the weights lie that training starts from; None for an untrained network.

    Raises SettingsError if no model for the dataset came with the project.
    """
    if start_from != "pretrained":
        return Path(start_from).absolute() if start_from else None
    directory = PRETRAINED / dataset
    if not directory.is_dir():
        raise SettingsError(
            f"training.start_from is 'pretrained', but no model for dataset {dataset} comes with the project: "
            "name a checkpoint, or set it to null to begin untrained"
        )
    return directory


def _pointer(storage: StorageSettings) -> Path:
    return checkpoints_folder(storage) / CURRENT_MODEL
