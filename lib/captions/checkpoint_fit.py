"""Whether a checkpoint was made for what the settings ask for: the notation, and how pictures are cleaned."""

from pathlib import Path

from lib.errors import SettingsError
from lib.images.cleaning import CleaningSettings
from model.checkpoint import load_details, load_provenance

# Not how a picture looks, but whether it is seen at all, and, of max_scale, how small ones look.
NOT_COMPARED = ("max_pixels", "min_ink_fraction", "max_ink_fraction", "rejects_shapes", "max_scale")


def check_fit(directory: Path, notation: str, cleaning: CleaningSettings, name: str, way_out: str) -> None:
    """Raises SettingsError if the checkpoint writes another notation or has learned from pictures cleaned otherwise.

    The message calls the checkpoint by `name`, names the first setting that differs and ends with `way_out`. Cleaning
    is compared where the checkpoint's provenance tells it. Raises CheckpointError if there is no checkpoint.
    """
    its_notation = load_details(directory)["notation"]
    if its_notation != notation:
        raise SettingsError(
            f"{name} writes captions.notation {its_notation}, the settings ask for {notation}: set it so, {way_out}"
        )
    its_cleaning = load_provenance(directory).get("settings", {}).get("cleaning", {})
    for setting, asked in cleaning.model_dump(mode="json").items():
        its_own = its_cleaning.get(setting, asked)
        if its_own != asked and setting not in NOT_COMPARED:
            raise SettingsError(
                f"{name} has learned from pictures cleaned with cleaning.{setting} {its_own}, the settings ask for "
                f"{asked}: set it so, {way_out}"
            )
