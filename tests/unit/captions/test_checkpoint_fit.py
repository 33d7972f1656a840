"""A checkpoint made for other settings is refused in one sentence."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib.captions.checkpoint_fit import check_fit, checked_vocabulary, cleaning_for, learned_cleaning
from lib.errors import SettingsError
from lib.settings import Settings, load_settings
from model.checkpoint import PRETRAINED, load_captioner, load_details, save_checkpoint
from model.errors import CheckpointError
from model.vocabulary import Vocabulary

MODEL = PRETRAINED / "molecules"


def settings(*overrides: str) -> Settings:
    return load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused", *overrides])


def check(*overrides: str) -> None:
    asked = settings(*overrides)
    check_fit(MODEL, asked.captions.notation, asked.cleaning, "model m", "or train another")


def start(directory: Path, *overrides: str) -> Vocabulary:
    asked = settings(*overrides)
    return checked_vocabulary(directory, asked.captioner, asked.captions.notation, asked.cleaning)


def test_the_model_in_the_box_fits_the_datasets_own_settings() -> None:
    check()
    assert start(MODEL) == load_captioner(MODEL)[1]


def test_which_images_are_rejected_is_no_matter_of_the_model() -> None:
    check("cleaning.max_pixels=1000", "cleaning.min_ink_fraction=0.1", "cleaning.max_ink_fraction=0.5")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("captions.notation=inchi", "model m writes captions.notation smiles_drawn_kekule, the settings ask for inchi"),
        ("cleaning.canvas_width_px=320", "cleaned with cleaning.canvas_width_px 640, the settings ask for 320"),
        ("cleaning.stroke_length_px=null", "cleaned with cleaning.stroke_length_px 16.0, the settings ask for None"),
        ("cleaning.mend_reach_px=0", "cleaned with cleaning.mend_reach_px 3, the settings ask for 0"),
    ],
)
def test_the_first_setting_that_differs_is_named_with_what_to_do(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message) + ": set it so, or train another$"):
        check(override)
    with pytest.raises(SettingsError, match=r"set it so, or training\.start_from to null to begin untrained$"):
        start(MODEL, override)


def test_a_network_of_another_shape_is_named() -> None:
    with pytest.raises(SettingsError, match=r"has captioner\.width 512, the settings ask for 384"):
        start(MODEL, "captioner.width=384")


def photos(*overrides: str) -> Settings:
    return load_settings("photos", "local", ["landing.path=unused", "storage.root=unused", *overrides])


def start_photos(directory: Path, *overrides: str) -> Vocabulary:
    asked = photos(*overrides)
    return checked_vocabulary(directory, asked.captioner, asked.captions.notation, asked.cleaning)


def test_an_encoder_is_frozen_only_if_the_starting_weights_have_it(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="needs the extra photos")
    pretrained = PRETRAINED / "photos"
    captioner, vocabulary, provenance = load_captioner(pretrained)
    published = tmp_path / "published.pth"
    torch.save(captioner.encoder.backbone.layers.state_dict(), published)
    halved = tmp_path / "halved"
    captioner.config = replace(captioner.config, encoder_weights=str(published))
    details = load_details(pretrained)
    save_checkpoint(halved, captioner, vocabulary, details=details, provenance=provenance, is_half_precision=True)
    assert start_photos(pretrained) == vocabulary
    assert start_photos(halved, f"captioner.encoder_weights={published}") == vocabulary
    tuned = tmp_path / "tuned"
    with torch.no_grad():
        captioner.encoder.backbone.layers.conv_head.weight *= 1.01
    captioner.config = replace(captioner.config, is_encoder_frozen=False)
    save_checkpoint(tuned, captioner, vocabulary, details=details, provenance=provenance)
    with pytest.raises(SettingsError, match=r"has another encoder than captioner\.encoder_weights imagenet, from"):
        start_photos(tuned)
    assert start_photos(tuned, "captioner.encoder_weights=random") == vocabulary


def test_labels_can_be_added_to_starting_weights_but_not_taken_away() -> None:
    known = load_captioner(MODEL)[0].config.num_cell_labels
    assert start(MODEL, f"captioner.num_cell_labels={known + 1}") == start(MODEL)
    with pytest.raises(SettingsError, match=rf"captioner\.num_cell_labels {known}, the settings ask for {known - 1}$"):
        start(MODEL, f"captioner.num_cell_labels={known - 1}")


def test_a_vocabulary_that_is_not_the_weights_own_is_said_in_one_sentence(tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    Vocabulary.from_tokens(["C", "N"]).save(tmp_path / "model" / "vocabulary.json")
    with pytest.raises(CheckpointError, match=r"decoder\.embedding\.weight .* expected \(6, 128\)") as caught:
        load_captioner(tmp_path / "model")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"^training\.start_from: .*decoder\.embedding\.weight"):
        start(tmp_path / "model")


@pytest.mark.parametrize("settings", [None, "all", {"cleaning": 5}, {"cleaning": {"colour": "blue"}}])
def test_a_provenance_that_says_nothing_that_is_known_ends_in_no_traceback(tmp_path: Path, settings: object) -> None:
    shutil.copytree(MODEL, tmp_path / "model")
    (tmp_path / "model" / "provenance.json").write_text(json.dumps({"settings": settings}))
    asked = load_settings("molecules", "local", ["landing.path=unused"])
    check_fit(tmp_path / "model", asked.captions.notation, asked.cleaning, "model m", "or train another")


def test_cleaning_that_a_provenance_has_and_nobody_knows_is_one_sentence() -> None:
    assert [learned_cleaning({"settings": settings}) for settings in (None, "all", {"cleaning": 5})] == [None] * 3
    with pytest.raises(CheckpointError, match=r"settings of cleaning that are not known: \('[a-z_]+',\)$"):
        learned_cleaning({"settings": {"cleaning": {"colour": "blue"}}})


def test_images_are_cleaned_as_those_learned_from_and_rejected_as_the_settings_say() -> None:
    learned = photos("cleaning.max_pixels=16000000", "cleaning.sharpen=0.5").cleaning
    asked = photos("cleaning.max_pixels=64000000", "cleaning.max_ink_fraction=0.9").cleaning
    provenance = {"settings": {"cleaning": learned.model_dump()}}
    cleaning = cleaning_for(provenance, asked)
    assert (cleaning.max_pixels, cleaning.max_ink_fraction, cleaning.sharpen) == (64000000, 0.9, 0.5)
    assert cleaning_for({}, asked) == asked
