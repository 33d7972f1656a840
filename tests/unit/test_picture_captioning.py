"""From pictures to captions in standard form: `pytest tests/unit/test_picture_captioning.py`."""

import math
from pathlib import Path

import numpy as np
import pytest
from tiny_captioner import TINY

from lib.picture_captioning import Guess, PictureCaptioner, PredictedCaption, PredictionSettings
from model.captioner import Captioner, CaptionerConfig
from model.checkpoint import save_checkpoint
from model.decoding import Candidate
from model.vocabulary import Vocabulary

SMILES = Vocabulary.from_tokens(["C", "O", "N", "(", ")", "=", "1"])
ETHANOL, METHYLAMINE = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", "InChI=1S/CH5N/c1-2/h2H2,1H3"


def settings(**changes: object) -> PredictionSettings:
    values = {
        "model_version": "current", "batch_size": 4, "num_images_in_buffer": 8, "threads_per_worker": 1, "num_beams": 3,
        "length_penalty": 0.0, "turns_deg": (0,), "scales": (1.0,), "sure_from": 0.9,
    }
    return PredictionSettings(**(values | changes))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    captioner = Captioner(CaptionerConfig(**TINY), len(SMILES))
    details = {"notation": "smiles_drawn_kekule", "max_tokens": 8}
    save_checkpoint(tmp_path / "model", captioner, SMILES, details=details, provenance={})
    return tmp_path / "model"


def choose(checkpoint: Path, *readings: tuple[str, ...]) -> PredictedCaption:
    """What is chosen of candidates, whose probabilities are 0.5, 0.25, 0.167 and on in each reading."""
    captioner = PictureCaptioner(checkpoint, settings())
    return captioner._choose([
        [
            captioner._guess(Candidate(tuple(SMILES.encode(list(text))), -math.log(place), 0.5 / place, True))
            for place, text in enumerate(texts, 1)
        ]
        for texts in readings
    ])


def test_the_first_valid_candidate_is_preferred_and_the_others_are_kept(checkpoint: Path) -> None:
    chosen = choose(checkpoint, ("C1CO", "CCO", "CN"))
    assert (chosen.caption, chosen.is_valid) == (ETHANOL, True)
    assert chosen.alternatives == [("C1CO", 0.0), (METHYLAMINE, -math.log(3))]
    assert chosen.confidence == pytest.approx(0.25)


def test_candidates_of_the_same_molecule_add_to_its_confidence(checkpoint: Path) -> None:
    chosen = choose(checkpoint, ("CCO", "OCC", "CC(O)"))
    assert chosen.caption == ETHANOL
    assert chosen.alternatives == []
    assert chosen.confidence == pytest.approx(0.5 + 0.25 + 0.5 / 3)


def test_without_a_valid_candidate_the_best_is_repaired_and_said_to_be_invalid(checkpoint: Path) -> None:
    chosen = choose(checkpoint, ("C1CO", "C(", "="))
    assert (chosen.caption, chosen.is_valid) == (ETHANOL, False)
    assert chosen.confidence == pytest.approx(0.5)


def test_readings_vote_and_agreement_makes_them_surer(checkpoint: Path) -> None:
    chosen = choose(checkpoint, ("CN", "CCO"), ("CN=", "OCC"), ("OCC", "C1"))
    assert chosen.caption == ETHANOL
    assert chosen.confidence == pytest.approx(3**0.75 / (3**0.75 + 2))  # of odds of 1 to 2
    assert chosen.alternatives[:2] == [(METHYLAMINE, 0.0), ("CN=", 0.0)]
    assert choose(checkpoint, ("C1",), ("CN",)).caption == METHYLAMINE


def test_only_what_was_not_read_surely_is_read_again(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, looks = drawings(4), []
    once = PictureCaptioner(checkpoint, settings()).caption(pictures)
    middle = sorted(one.confidence for one in once)[2]
    captioner = PictureCaptioner(checkpoint, settings(turns_deg=(0, 180), scales=(1.0, 1.5), sure_from=middle))
    read = captioner._read

    def noted(seen: list[np.ndarray]) -> list[list[Guess]]:
        looks.append([pixels.shape for pixels in seen])
        return read(seen)

    monkeypatch.setattr(captioner, "_read", noted)
    again = captioner.caption(pictures)
    assert [len(shapes) for shapes in looks] == [4, 2, 2, 2]
    unsure = [pixels.shape for pixels, one in zip(pictures, once, strict=True) if one.confidence < middle]
    larger = [(round(1.5 * height), round(1.5 * width)) for height, width in unsure]
    assert looks[1:] == [larger, unsure, larger]
    for before, after in zip(once, again, strict=True):
        assert (before == after) == (before.confidence >= middle)


def drawings(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        np.where(rng.random((32 + 32 * (place % 2), 64)) < 0.1, 0, 255).astype(np.uint8) for place in range(count)
    ]


@pytest.mark.parametrize("num_beams", [1, 3])
def test_captions_do_not_depend_on_how_pictures_are_batched(checkpoint: Path, num_beams: int) -> None:
    pictures = drawings(9)
    together = PictureCaptioner(checkpoint, settings(num_beams=num_beams)).caption(pictures)
    alone = PictureCaptioner(checkpoint, settings(num_beams=num_beams, batch_size=1))
    for one, picture in zip(together, pictures, strict=True):
        again = alone.caption([picture])[0]
        assert (again.caption, again.is_valid) == (one.caption, one.is_valid)
        assert again.confidence == pytest.approx(one.confidence, rel=1e-3)
