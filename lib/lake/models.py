"""The models of a lake: the current one, the candidate, models by name, and the starting weights of a training."""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import MissingInputError, SettingsError
from lib.lake.registered_models import IN_THE_REGISTRY, fetch_registered_model
from lib.sections.lake import StorageSettings
from model.checkpoint import PRETRAINED
from model.whole_writes import written_whole

if TYPE_CHECKING:  # captioning images as they arrive needs no Spark
    from lib.lake.delta_tables import Lake

logger = logging.getLogger(__name__)

CURRENT_MODEL = "current_model"  # a file beside the checkpoints that holds the name of the one in use
CANDIDATE_MODEL = "candidate_model"  # a file beside it that holds the name of the newest trained
WITHDRAWN = "withdrawn"  # a file in a checkpoint's directory that says why it must not be used again
IN_THE_PROJECT = "pretrained"  # the name of the model that comes with the project, wherever a model is named
IN_USE = ("current", "champion")  # names of the model in use; the second is the registry's
CANDIDATE = "candidate"  # the name of the newest trained model, whether it is in use or not


class Model(NamedTuple):
    """A model that captions: its version in the tables, and its checkpoint directory."""

    version: str
    directory: Path


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


def make_current(storage: StorageSettings, name: str) -> None:
    """Put the model of that lasting name in use."""
    _write_name(_pointer(storage), name)


def make_candidate(storage: StorageSettings, model_version: str) -> None:
    """Say that this model is the newest trained."""
    _write_name(checkpoints_folder(storage) / CANDIDATE_MODEL, model_version)


def candidate_model(storage: StorageSettings) -> str:
    """The version of the newest trained model. Raises MissingInputError if none has been trained."""
    file = checkpoints_folder(storage) / CANDIDATE_MODEL
    # Models trained before there were candidates were put in use at once.
    return file.read_text().strip() if file.is_file() else current_model(storage)


def model_in_use(lake: "Lake", model_version: str, dataset: str) -> Model:
    """The model of that name; `current` is the pretrained model while there is neither a trained one nor any caption.

    Raises MissingInputError if there is none.
    """
    if model_version in IN_USE and not has_current_model(lake.storage) and _has_no_captions(lake):
        if not (PRETRAINED / dataset).is_dir():
            raise MissingInputError(
                f"no image in {lake.storage.root} has a caption to learn from, and no model for dataset {dataset} "
                "comes with the project: put a captions file into landing.path, or name a model in "
                "prediction.model_version"
            )
        logger.info("no model has been trained and no image has a caption: the pretrained model is used")
        model_version = IN_THE_PROJECT
    return resolve_model(lake.storage, model_version, dataset)


def names_a_checkpoint(name: str) -> bool:
    """Whether the name is a version or a path: such a model must be there before a run, others may be made by it."""
    return name not in (*IN_USE, CANDIDATE) and not name.startswith(IN_THE_REGISTRY)


def lasting_name(model: Model) -> str:
    """A name that keeps meaning this model when another one becomes current."""
    if model.directory.is_relative_to(PRETRAINED):
        return IN_THE_PROJECT
    return model.version if model.directory.name == model.version else str(model.directory)


def why_nothing_is_trained(lake: "Lake", model_version: str) -> str | None:
    """The reason why no vocabulary and no model are needed to caption with the model of that name; None if they are."""
    if model_version == IN_THE_PROJECT:
        return f"prediction.model_version is {IN_THE_PROJECT}"
    if _has_no_captions(lake):
        return f"no image in {lake.storage.root} has a caption to learn from"
    return None


def _has_no_captions(lake: "Lake") -> bool:
    """Whether images have been ingested, but no caption."""
    return lake.has("images_raw") and lake.read("captions").isEmpty()


def resolve_model(storage: StorageSettings, name: str, dataset: str) -> Model:
    """The model of that name: a version in the storage, `current`, `champion`, `candidate`, `pretrained`, or a path.

    `current` and `champion` are the model in use, `candidate` is the newest trained. A path has a slash and names a
    checkpoint's directory. models:/NAME@ALIAS and models:/NAME/VERSION are fetched from MLflow's registry, and are
    versions in the storage from then on. Raises MissingInputError if there is none, or if the current one was
    withdrawn; SettingsError if no pretrained model for the dataset comes with the project; RuntimeMissingError if
    MLflow is asked and is not there.
    """
    folder = checkpoints_folder(storage)
    if name.startswith(IN_THE_REGISTRY):
        name = fetch_registered_model(storage, name, folder).name
    is_current = name in IN_USE
    if is_current:
        name = current_model(storage)
    elif name == CANDIDATE:
        name = candidate_model(storage)
    if name.partition("-")[0] == IN_THE_PROJECT:
        pretrained = pretrained_model(dataset, "prediction.model_version")
        if name in (IN_THE_PROJECT, pretrained.version):
            return pretrained
    is_path = "/" in name
    directory = Path(name).expanduser().absolute() if is_path else folder / name
    if not (directory / "config.json").is_file():
        known = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json"))) or "none"
        raise MissingInputError(
            f"no model {name!r} in {folder} (there are: {known}): prediction.model_version takes one of these, "
            "current, candidate, pretrained, a checkpoint's path or models:/NAME@ALIAS"
        )
    if is_current and (why := withdrawal_of(directory)) is not None:
        raise MissingInputError(
            f"the current model {name} was withdrawn ({why}): put another in use with promote_model --to"
        )
    is_elsewhere = is_path and directory.parent != folder.absolute()
    return Model(_content_version(directory.name, directory) if is_elsewhere else directory.name, directory)


def pretrained_model(dataset: str, setting: str) -> Model:
    """The model for a dataset that comes with the project; its version names its files, so another model has another.

    Raises SettingsError, naming the setting that asked for it, if there is none.
    """
    directory = PRETRAINED / dataset
    if not (directory / "config.json").is_file():  # what reads graphs lies there too
        raise SettingsError(
            f"{setting} is '{IN_THE_PROJECT}', but no model for dataset {dataset} comes with the project: name another"
        )
    return Model(_content_version(IN_THE_PROJECT, directory), directory)


def withdraw(directory: Path, why: str) -> None:
    """Keep the model of this checkpoint directory from becoming current by itself again."""
    _write_name(directory / WITHDRAWN, why)


def withdrawal_of(directory: Path) -> str | None:
    """Why a model was withdrawn, None if it was not. It never becomes current again, but can be asked for by name."""
    file = directory / WITHDRAWN
    return (file.read_text().strip() or "no reason given") if file.is_file() else None


def starting_checkpoint(start_from: str | None, dataset: str) -> Path | None:
    """The checkpoint that training starts from; None = from scratch.

    Raises SettingsError if no model for the dataset came with the project.
    """
    if start_from == IN_THE_PROJECT:
        return pretrained_model(dataset, "training.start_from").directory
    return Path(start_from).expanduser().absolute() if start_from else None


def _content_version(name: str, directory: Path) -> str:
    """A version from the hash of the model's files, for a model that no training of this lake named."""
    files = hashlib.sha256()
    for file in ("config.json", "vocabulary.json", "weights.safetensors"):
        files.update((directory / file).read_bytes())
    return f"{name}-{files.hexdigest()[:8]}"


def _write_name(file: Path, text: str) -> None:
    with written_whole(file) as written:
        written.write_text(text + "\n")


def _pointer(storage: StorageSettings) -> Path:
    return checkpoints_folder(storage) / CURRENT_MODEL
