"""Checks that a checkpoint fits the settings: same notation, same cleaning of images."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lib.errors import SettingsError
from lib.images.frozen_features import has_encoder_of
from lib.sections.images import CleaningSettings
from model.checkpoint import load_captioner, load_details, load_provenance
from model.config import CaptionerConfig
from model.errors import CheckpointError
from model.vocabulary import Vocabulary

NOT_OF_THE_NETWORK = ("encoder_weights", "is_encoder_frozen", "dropout")  # may change from one training to the next
# Settings that only decide whether an image is rejected, and larger_scale, whose image the network does not see.
NOT_OF_ITS_IMAGES = ("max_pixels", "min_ink_fraction", "max_ink_fraction", "rejects_shapes", "larger_scale")
NOT_COMPARED = (*NOT_OF_ITS_IMAGES, "max_scale")  # the last changes small images only

# Steps newer than the first checkpoints, with the values that skip them.
ADDED_STEPS = {
    "is_normalised": False,
    "longest_line": 0.0,
    "words_apart_from": 0.0,
    "words_apart_from_if_worn": 0.0,
    "rejects_shapes": False,
    "thin_from": 0.0,
    "thin_to": 1.0,
    "keeps_aspect": True,
    "larger_scale": None,
}


def learned_cleaning(provenance: Mapping[str, Any]) -> CleaningSettings | None:
    """The cleaning of the images that a checkpoint was trained on; None if its provenance does not hold it.

    Raises CheckpointError if it holds settings that are not known.
    """
    its_own = _cleaning_in(provenance)
    try:
        return CleaningSettings(**(ADDED_STEPS | dict(its_own))) if its_own else None
    except (TypeError, ValidationError) as error:
        what = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
        raise CheckpointError(f"a provenance has settings of cleaning that are not known: {what}") from None


def cleaning_for(provenance: Mapping[str, Any], settings: CleaningSettings) -> CleaningSettings:
    """The cleaning of images for a checkpoint: that of its training, but what is rejected is as the settings say.

    Raises CheckpointError.
    """
    learned = learned_cleaning(provenance) or settings
    return learned.model_copy(update={name: getattr(settings, name) for name in NOT_OF_ITS_IMAGES})


def _cleaning_in(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of cleaning in a provenance; empty if there are none."""
    settings = provenance.get("settings")
    cleaning = settings.get("cleaning") if isinstance(settings, Mapping) else None
    return cleaning if isinstance(cleaning, Mapping) else {}


def check_fit(directory: Path, notation: str, cleaning: CleaningSettings, name: str, way_out: str) -> None:
    """Raises SettingsError if the checkpoint writes another notation or has learned from images cleaned otherwise.

    The message calls the checkpoint by `name`, names the first setting that differs and ends with `way_out`. Cleaning
    is compared where the checkpoint's provenance tells it. Raises CheckpointError if there is no checkpoint.
    """
    its_notation = load_details(directory)["notation"]
    if its_notation != notation:
        raise SettingsError(
            f"{name} writes captions.notation {its_notation}, the settings ask for {notation}: set it so, {way_out}"
        )
    its_cleaning = _cleaning_in(load_provenance(directory))
    for setting, asked in cleaning.model_dump(mode="json").items():
        its_own = its_cleaning.get(setting, asked)
        if its_own != asked and setting not in NOT_COMPARED:
            raise SettingsError(
                f"{name} has learned from images cleaned with cleaning.{setting} {its_own}, the settings ask for "
                f"{asked}: set it so, {way_out}"
            )


def checked_vocabulary(
    start: Path, captioner: CaptionerConfig, notation: str, cleaning: CleaningSettings
) -> Vocabulary:
    """The vocabulary of starting weights.

    Raises SettingsError if they are of another network or notation, or of images cleaned otherwise, or if an encoder
    that they do not have is to be frozen.
    """
    name = f"training.start_from {start}"
    try:
        started, vocabulary, _ = load_captioner(start)
        for field in dataclasses.fields(CaptionerConfig):
            its_own, asked = getattr(started.config, field.name), getattr(captioner, field.name)
            is_fit = its_own <= asked if field.name == "num_cell_labels" else its_own == asked  # labels can be added
            if field.name not in NOT_OF_THE_NETWORK and not is_fit:
                raise SettingsError(f"{name} has captioner.{field.name} {its_own}, the settings ask for {asked}")
        if captioner.has_lasting_features and not has_encoder_of(started, captioner):
            raise SettingsError(
                f"{name} has another encoder than captioner.encoder_weights {captioner.encoder_weights}, from whose "
                "features it would learn: set captioner.is_encoder_frozen to false to train the model's own encoder, "
                "or captioner.encoder_weights to random to freeze that"
            )
        check_fit(start, notation, cleaning, name, "or training.start_from to null to begin untrained")
    except CheckpointError as error:
        raise SettingsError(f"training.start_from: {error}") from None
    return vocabulary
