"""From pictures to captions in standard form: `pytest tests/unit/test_picture_captioning.py`."""

from pathlib import Path

import numpy as np
import pytest
from tiny_captioner import TINY

from lib.picture_captioning import PictureCaptioner, PredictionSettings
from model.captioner import Captioner, CaptionerConfig
from model.checkpoint import save_checkpoint
from model.decoding import Candidate
from model.vocabulary import Vocabulary

SMILES = Vocabulary.from_tokens(["C", "O", "N", "(", ")", "=", "1"])
ETHANOL = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"


def settings(**changes: object) -> PredictionSettings:
    values = {
        "model_version": "current", "batch_size": 4, "num_images_in_buffer": 8, "threads_per_worker": 1, "num_beams": 3,
        "length_penalty": 0.0,
    }
    return PredictionSettings(**(values | changes))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    captioner = Captioner(CaptionerConfig(**TINY), len(SMILES))
    details = {"notation": "smiles_drawn_kekule", "max_tokens": 8}
    save_checkpoint(tmp_path / "model", captioner, SMILES, details=details, provenance={})
    return tmp_path / "model"


def candidates(*texts: str) -> list[Candidate]:
    return [
        Candidate(tuple(SMILES.encode(list(text))), -float(place), 0.5 / (place + 1), is_finished=True)
        for place, text in enumerate(texts)
    ]


def test_the_first_valid_candidate_is_preferred_and_the_others_are_kept(checkpoint: Path) -> None:
    chosen = PictureCaptioner(checkpoint, settings())._choose(candidates("C1CO", "CCO", "CN"))
    assert (chosen.caption, chosen.is_valid) == (ETHANOL, True)
    assert chosen.alternatives == [("C1CO", 0.0), ("InChI=1S/CH5N/c1-2/h2H2,1H3", -2.0)]
    assert chosen.confidence == pytest.approx(0.25)


def test_candidates_of_the_same_molecule_add_to_its_confidence(checkpoint: Path) -> None:
    chosen = PictureCaptioner(checkpoint, settings())._choose(candidates("CCO", "OCC", "CC(O)"))
    assert chosen.caption == ETHANOL
    assert chosen.alternatives == []
    assert chosen.confidence == pytest.approx(0.5 + 0.25 + 0.5 / 3)


def test_without_a_valid_candidate_the_best_is_repaired_and_said_to_be_invalid(checkpoint: Path) -> None:
    chosen = PictureCaptioner(checkpoint, settings())._choose(candidates("C1CO", "C(", "="))
    assert (chosen.caption, chosen.is_valid) == (ETHANOL, False)
    assert chosen.confidence == pytest.approx(0.5)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_captions_do_not_depend_on_how_pictures_are_batched(checkpoint: Path, num_beams: int) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        np.where(rng.random((32 + 32 * (place % 2), 64)) < 0.1, 0, 255).astype(np.uint8) for place in range(9)
    ]
    together = PictureCaptioner(checkpoint, settings(num_beams=num_beams)).caption(pictures)
    alone = PictureCaptioner(checkpoint, settings(num_beams=num_beams, batch_size=1))
    for one, picture in zip(together, pictures, strict=True):
        again = alone.caption([picture])[0]
        assert (again.caption, again.is_valid) == (one.caption, one.is_valid)
        assert again.confidence == pytest.approx(one.confidence, rel=1e-3)
