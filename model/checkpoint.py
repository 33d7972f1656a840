"""A trained captioner as one directory: written whole or not at all, read strictly, and reading it runs no code.

weights.safetensors, config.json, vocabulary.json, provenance.json and, to resume from, training_state.pt.
"""

import json
import pickle
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from model.captioner import Captioner
from model.config import CaptionerConfig, CaptionerConfigError
from model.encoders import load_encoder_weights
from model.errors import CheckpointError
from model.half_precision import halved
from model.vocabulary import Vocabulary, VocabularyError
from model.whole_writes import find_whole, folder_written_whole

FORMAT_VERSION = 1
MAX_TOKENS = 10_000  # of a caption: each costs a step of the network
NEVER_SEEN = -5.0  # starting bias of a label or token that was added to the network
PRETRAINED = Path(__file__).resolve().parent / "pretrained"  # the models that come with the project, by dataset


def new_captioner(config: CaptionerConfig, vocabulary: Vocabulary) -> Captioner:
    """Return an untrained captioner with the encoder weights its config names. Raises EncoderWeightsError."""
    captioner = Captioner(config, len(vocabulary))
    load_encoder_weights(captioner.encoder, config.encoder_weights)
    return captioner


def captioner_to_train(
    resume_from: str | Path, start_from: str | Path | None, config: CaptionerConfig, vocabulary: Vocabulary
) -> Captioner:
    """Return the captioner of the training to resume, if it was begun, else that to start from, else an untrained one.

    The one to start from has the starting weights and is otherwise as the config says; what they lack of tokens and
    labels is added, to be learned. Raises CheckpointError, EncoderWeightsError.
    """
    if has_checkpoint(resume_from):
        return load_captioner(resume_from)[0]
    if not start_from:
        return new_captioner(config, vocabulary)
    started, known, _ = load_captioner(start_from)
    if vocabulary.tokens[: len(known)] != known.tokens:
        raise CheckpointError(f"the vocabulary of {start_from} is not the beginning of that to train with")
    captioner = Captioner(replace(config, num_cell_labels=started.config.num_cell_labels), len(known))
    try:
        captioner.load_state_dict(started.state_dict())
    except RuntimeError as error:
        fault = textwrap.shorten(str(error), 200)  # on one line: it names every weight
        raise CheckpointError(f"the network of {start_from} is another than that to train ({fault})") from error
    return _with_tokens(_with_cell_labels(captioner, config.num_cell_labels), len(vocabulary))


def _with_tokens(captioner: Captioner, num_tokens: int) -> Captioner:
    """Return the captioner with num_tokens tokens; new ones start with weights 0 and bias NEVER_SEEN."""
    decoder = captioner.decoder
    known = decoder.embedding.num_embeddings
    if num_tokens <= known:
        return captioner
    embedding = nn.Embedding(num_tokens, decoder.embedding.embedding_dim)
    output = nn.Linear(decoder.output.in_features, num_tokens)
    with torch.no_grad():
        embedding.weight[:known] = decoder.embedding.weight
        output.weight.zero_()
        output.bias.fill_(NEVER_SEEN)
        output.weight[:known], output.bias[:known] = decoder.output.weight, decoder.output.bias
    decoder.embedding, decoder.output = embedding, output
    return captioner


def _with_cell_labels(captioner: Captioner, num_labels: int) -> Captioner:
    """Return the captioner with an output for each of num_labels labels; those beyond its own begin as never seen."""
    known = captioner.config.num_cell_labels
    if num_labels <= known:
        return captioner
    cells = nn.Linear(captioner.config.grid_width, num_labels)
    with torch.no_grad():
        cells.weight.zero_()
        cells.bias.fill_(NEVER_SEEN)
        if captioner.cells is not None:
            cells.weight[:known], cells.bias[:known] = captioner.cells.weight, captioner.cells.bias
    captioner.cells = cells
    captioner.config = replace(captioner.config, num_cell_labels=num_labels)
    return captioner


def save_checkpoint(
    directory: str | Path,
    captioner: Captioner,
    vocabulary: Vocabulary,
    *,
    details: Mapping[str, Any],
    provenance: Mapping[str, Any],
    training_state: Mapping[str, Any] | None = None,
    is_half_precision: bool = False,
) -> None:
    """Replace the directory by this checkpoint; killed at any instant, it leaves the old one readable or the new one.

    `details` is what a reader needs to use the captioner (its notation, how long captions may be), `provenance` how it
    came to be; both plain JSON values. `training_state` comes from training_loop.pack_training.
    is_half_precision halves the weights file, for captioners that will not train on.
    """
    config = {"format_version": FORMAT_VERSION, "captioner": asdict(captioner.config), "details": dict(details)}
    as_stored = halved if is_half_precision else Tensor.contiguous
    weights = {name: as_stored(tensor) for name, tensor in _own_weights(captioner).items()}
    with folder_written_whole(Path(directory)) as written:
        written.mkdir()
        (written / "weights.safetensors").write_bytes(safetensors.torch.save(weights))
        (written / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        (written / "provenance.json").write_text(json.dumps(dict(provenance), indent=2), encoding="utf-8")
        vocabulary.save(written / "vocabulary.json")
        if training_state is not None:
            torch.save(dict(training_state), written / "training_state.pt")


def move_checkpoint(directory: str | Path, target: str | Path) -> None:
    """Move a checkpoint to where there is none yet, on the same storage. Raises CheckpointError."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    _existing(directory).rename(target)


def load_captioner(directory: str | Path) -> tuple[Captioner, Vocabulary, dict[str, Any]]:
    """Return the captioner in evaluation mode, fp32, with its vocabulary and provenance.

    Raises CheckpointError, or EncoderWeightsError if the encoder's weights are in a package that is not there.
    """
    directory = _existing(directory)
    config = _read_config(directory)
    try:
        vocabulary = Vocabulary.load(_file_of(directory, "vocabulary.json"))
        captioner_config = CaptionerConfig(**config["captioner"])
        _check_shapes(captioner_config, len(vocabulary), directory)
        captioner = Captioner(captioner_config, len(vocabulary))
        weights = safetensors.torch.load(_file_of(directory, "weights.safetensors").read_bytes())
        captioner.load_state_dict(weights, strict=False)  # their names are checked, a packaged encoder's come next
    except (OSError, TypeError, CaptionerConfigError, VocabularyError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"checkpoint {directory} cannot be read: {error}") from error
    if captioner.config.is_encoder_packaged:
        load_encoder_weights(captioner.encoder, captioner.config.encoder_weights)
    return captioner.eval(), vocabulary, _read_json(directory, "provenance.json")


def has_checkpoint(directory: str | Path) -> bool:
    """Return whether there is a checkpoint to load, also one whose replacement was interrupted."""
    return find_whole(Path(directory)) is not None


def load_config(directory: str | Path) -> CaptionerConfig:
    """Return what the checkpoint's captioner is made of. Raises CheckpointError."""
    directory = _existing(directory)
    try:
        return CaptionerConfig(**_read_config(directory)["captioner"])
    except (TypeError, CaptionerConfigError) as error:
        raise CheckpointError(f"checkpoint {directory} cannot be read: {error}") from error


def load_details(directory: str | Path) -> dict[str, Any]:
    """Return the details that the checkpoint was saved with: what it writes, and how long it may be.

    Raises CheckpointError.
    """
    directory = _existing(directory)
    details: dict[str, Any] = _read_config(directory)["details"]
    notation, max_tokens = details.get("notation"), details.get("max_tokens")
    if not isinstance(notation, str) or type(max_tokens) is not int or not 0 < max_tokens <= MAX_TOKENS:
        raise CheckpointError(
            f"{directory / 'config.json'} has notation {notation!r} and max_tokens {max_tokens!r} in its details, "
            f"expected a name and a number from 1 to {MAX_TOKENS}"
        )
    return details


def load_provenance(directory: str | Path) -> dict[str, Any]:
    """Return how the checkpoint came to be. Raises CheckpointError."""
    return _read_json(_existing(directory), "provenance.json")


def load_training_state(directory: str | Path) -> dict[str, Any] | None:
    """Return what training_loop.unpack_training needs, or None if it was not saved. Raises CheckpointError."""
    directory = _existing(directory)
    if not (directory / "training_state.pt").exists():
        return None
    path = _file_of(directory, "training_state.pt")
    try:
        packed: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} holds more than tensors and plain values, or is broken: {error}") from error
    return packed


def _existing(directory: str | Path) -> Path:
    """Return where the checkpoint is: its directory, or the one being replaced at this moment."""
    there = find_whole(Path(directory))
    if there is None:
        raise CheckpointError(f"there is no checkpoint at {directory}: no such directory")
    return there


def _read_config(directory: Path) -> dict[str, Any]:
    path, config = directory / "config.json", _read_json(directory, "config.json")
    version = config.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format_version {version}, expected {FORMAT_VERSION}")
    if not (isinstance(config.get("captioner"), dict) and isinstance(config.get("details"), dict)):
        raise CheckpointError(f"{path} holds {sorted(config)}, expected captioner and details beside format_version")
    return config


def _read_json(directory: Path, name: str) -> dict[str, Any]:
    try:
        content: Any = json.loads(_file_of(directory, name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{directory / name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{directory / name} holds a {type(content).__name__}, expected an object")
    return content


def _file_of(directory: Path, name: str) -> Path:
    """Return a file of the checkpoint. Raises CheckpointError if it is a link to elsewhere, a pipe or a device."""
    path = directory / name
    if path.exists() and not (path.is_file() and path.resolve().is_relative_to(directory.resolve())):
        raise CheckpointError(f"{path} is a link to a file outside the checkpoint: copy that file here")
    return path


def _check_shapes(config: CaptionerConfig, num_tokens: int, directory: Path) -> None:
    """Raise CheckpointError unless the weights have the names and shapes that the config asks for.

    Reads the header of the weights and builds the captioner without memory for its weights.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(one.shape) for name, one in _own_weights(Captioner(config, num_tokens)).items()}
    except (RuntimeError, OverflowError) as error:
        raise CheckpointError(f"checkpoint {directory} cannot be built as its config asks: {error}") from error
    with safetensors.safe_open(_file_of(directory, "weights.safetensors"), "pt") as file:
        names: list[str] = file.keys()
        seen = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    missing, unknown = sorted(wanted.keys() - seen.keys()), sorted(seen.keys() - wanted.keys())
    if missing or unknown:
        raise CheckpointError(f"weights in {directory} lack {missing[:3]} and have unknown {unknown[:3]} (first three)")
    for name, shape in wanted.items():
        if seen[name] != shape:
            raise CheckpointError(f"weight {name} in {directory} has shape {seen[name]}, expected {shape}")


def _own_weights(captioner: Captioner) -> dict[str, Tensor]:
    """Return the weights that a checkpoint keeps: all, but for a backbone that is as its package has it."""
    is_packaged = captioner.config.is_encoder_packaged
    return {
        name: tensor
        for name, tensor in captioner.state_dict().items()
        if not (is_packaged and name.startswith("encoder.backbone."))
    }
