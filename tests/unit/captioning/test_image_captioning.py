"""From images to captions in standard form: `pytest tests/unit/captioning/test_image_captioning.py`."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lib.captioning.caption_choice import CaptionCandidate, PredictedCaption, choose
from lib.captioning.image_captioning import GRAPH_VIEWS, CleanedImage, ImageCaptioner, seen_as
from lib.errors import NotationError
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import free_style
from lib.molecules.redrawn import DRAWERS, draw_unworn_ink
from lib.molecules.smiles import inchi_of_smiles
from lib.sections.captioning import PredictionSettings
from lib.settings import load_settings
from model.captioner import Captioner
from model.checkpoint import PRETRAINED, load_captioner, save_checkpoint
from model.decoding import Candidate
from model.vocabulary import END, Vocabulary
from tests.known_molecules import ETHANOL
from tests.unit.tiny_captioner import SMILES, smiles_checkpoint, tiny_config

PROPANOL, PROPYLAMINE = "InChI=1S/C3H8O/c1-2-3-4/h4H,2-3H2,1H3", "InChI=1S/C3H9N/c1-2-3-4/h2-4H2,1H3"
METHYLAMINE = "InChI=1S/CH5N/c1-2/h2H2,1H3"


def settings(**changes: object) -> PredictionSettings:
    values = {
        "model_version": "current",
        "batch_size": 4,
        "num_images_in_buffer": 8,
        "threads_per_worker": 1,
        "num_beams": 3,
        "turns_deg": (0,),
        "scales": (1.0,),
        "sure_from": 0.9,
        "is_redrawn": False,
        "is_read_as_graph": False,
    }
    return PredictionSettings(**(values | changes))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return smiles_checkpoint(tmp_path / "model")


def chosen_of(checkpoint: Path, *readings: tuple[str, ...]) -> PredictedCaption:
    """What is chosen of candidates, whose probabilities are 0.5, 0.25, 0.167 and on in each reading."""
    captioner = ImageCaptioner(checkpoint, settings())
    candidates = [
        [
            captioner._read_as(Candidate(tuple(SMILES.encode(list(text))), -math.log(index), 0.5 / index, True))
            for index, text in enumerate(texts, 1)
        ]
        for texts in readings
    ]
    return choose(candidates, captioner.asked.repair)


def test_the_first_valid_candidate_is_preferred_and_the_others_are_kept(checkpoint: Path) -> None:
    chosen = chosen_of(checkpoint, ("C1CO", "CCO", "CN"))
    assert (chosen.caption, chosen.is_valid) == (ETHANOL, True)
    assert chosen.alternatives == [("C1CO", 0.0), (METHYLAMINE, -math.log(3))]
    assert chosen.confidence == pytest.approx(0.25)


def test_a_candidate_that_was_cut_off_has_no_vote_though_it_reads_as_a_molecule(checkpoint: Path) -> None:
    captioner = ImageCaptioner(checkpoint, settings())
    cut, whole = (
        captioner._read_as(Candidate(tuple(SMILES.encode(list(text))), math.log(fraction), fraction, is_finished))
        for text, fraction, is_finished in (("CCO", 0.6, False), ("CN", 0.3, True))
    )
    chosen = choose([[cut, whole]], captioner.asked.repair)
    assert (chosen.caption, chosen.is_valid, chosen.confidence) == (METHYLAMINE, True, pytest.approx(0.3))
    only_cut = choose([[cut]], captioner.asked.repair)
    assert (only_cut.caption, only_cut.is_valid) == (ETHANOL, False)


def test_candidates_of_the_same_molecule_add_to_its_confidence(checkpoint: Path) -> None:
    chosen = chosen_of(checkpoint, ("CCO", "OCC", "CC(O)"))
    assert chosen.caption == ETHANOL
    assert chosen.alternatives == []
    assert chosen.confidence == pytest.approx(0.5 + 0.25 + 0.5 / 3)


def test_without_a_valid_candidate_the_best_is_repaired_and_said_to_be_invalid(checkpoint: Path) -> None:
    chosen = chosen_of(checkpoint, ("C1CO", "C(", "="))
    assert (chosen.caption, chosen.is_valid) == (ETHANOL, False)
    assert chosen.confidence == pytest.approx(0.5)


def test_a_sentence_is_as_likely_as_its_words_are_on_average(tmp_path: Path) -> None:
    words = Vocabulary.from_tokens(["a", "dog"])
    details = {"notation": "words", "max_tokens": 8}
    save_checkpoint(tmp_path / "m", Captioner(tiny_config(), len(words)), words, details=details, provenance={})
    captioner = ImageCaptioner(tmp_path / "m", settings())
    token_ids = tuple(words.encode(["a", "dog"]))
    # Two words and the end, or three words that were cut off before it.
    for ids, is_finished in ((token_ids, True), ((*token_ids, token_ids[0]), False)):
        candidate = captioner._read_as(Candidate(ids, math.log(0.125), 0.125, is_finished))
        assert choose([[candidate]], captioner.asked.repair).confidence == pytest.approx(0.5)


@pytest.mark.parametrize(("probability", "is_longer"), [(0.1, True), (0.05, False)])
def test_a_longer_sentence_is_chosen_if_it_is_likely_for_its_length_but_not_for_the_mean_of_its_words(
    tmp_path: Path, probability: float, is_longer: bool
) -> None:
    words = Vocabulary.from_tokens(["a", "dog"])
    details = {"notation": "words", "max_tokens": 8}
    save_checkpoint(tmp_path / "m", Captioner(tiny_config(), len(words)), words, details=details, provenance={})
    captioner = ImageCaptioner(tmp_path / "m", settings())
    short, long = (tuple(words.encode(["a", "dog"] * times)) for times in (1, 3))
    beam = [
        captioner._read_as(Candidate(ids, math.log(p), p, is_finished=True))
        for ids, p in ((short, 0.2), (long, probability))
    ]
    assert beam[0].probability < beam[1].probability
    chosen = choose([beam], captioner.asked.repair)
    assert chosen.caption == beam[is_longer].caption
    assert chosen.confidence == pytest.approx(beam[is_longer].probability)


def test_readings_vote_and_agreement_makes_them_surer(checkpoint: Path) -> None:
    chosen = chosen_of(checkpoint, ("CN", "CCO"), ("CN=", "OCC"), ("OCC", "C1"))
    assert chosen.caption == ETHANOL
    assert chosen.confidence == pytest.approx(3**0.75 / (3**0.75 + 2))  # of odds of 1 to 2
    assert chosen.alternatives[:2] == [(METHYLAMINE, 0.0), ("CN=", 0.0)]
    assert chosen_of(checkpoint, ("C1",), ("CN",)).caption == METHYLAMINE


@pytest.fixture
def eager(checkpoint: Path) -> Path:
    """The same captioner, to which valid captions are likely, so that each reading adds to a caption's confidence."""
    network, vocabulary, _ = load_captioner(checkpoint)
    with torch.no_grad():
        network.decoder.output.weight *= 8
        network.decoder.output.bias[[*vocabulary.encode(["C"]), END]] += 2
    details = {"notation": "smiles", "max_tokens": 8}
    save_checkpoint(checkpoint, network, vocabulary, details=details, provenance={})
    return checkpoint


def test_an_image_is_read_turned_and_enlarged_until_a_caption_is_sure(eager: Path) -> None:
    images, views = drawings(4), ((0, 1.0), (180, 1.0), (0, 1.5), (180, 1.5))
    reader = ImageCaptioner(eager, settings())
    readings = list(zip(*(reader.read([seen_as(one, *view) for one in images], 3) for view in views), strict=True))
    choices = [[choose(of_image[:count], reader.asked.repair) for count in range(1, 5)] for of_image in readings]
    after_two = [of_image[1].confidence for of_image in choices]
    for sure_from, nums_read in ((0.0, {1}), ((min(after_two) + max(after_two)) / 2, {2, 3}), (1.0, {4})):
        expected = [next((one for one in some if one.confidence >= sure_from), some[-1]) for some in choices]
        assert {some.index(one) + 1 for some, one in zip(choices, expected, strict=True)} == nums_read
        captioner = ImageCaptioner(eager, settings(turns_deg=(0, 180), scales=(1.0, 1.5), sure_from=sure_from))
        captions = captioner.caption(list(map(CleanedImage, images)))
        assert [one.caption for one in captions] == [one.caption for one in expected]
        assert [one.confidence for one in captions] == pytest.approx([one.confidence for one in expected], rel=1e-3)


def drawings(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.where(rng.random((32 + 32 * (index % 2), 64)) < 0.1, 0, 255).astype(np.uint8) for index in range(count)]


@pytest.mark.parametrize(
    "how", [{"num_beams": 1}, {"num_beams": 3}, {"turns_deg": (0, 180), "scales": (1.0, 1.5), "is_redrawn": True}]
)
def test_captions_do_not_depend_on_how_images_are_batched(checkpoint: Path, how: dict[str, Any]) -> None:
    images = drawings(9)
    together = ImageCaptioner(checkpoint, settings(**how)).caption(list(map(CleanedImage, images)))
    alone = ImageCaptioner(checkpoint, settings(**how, batch_size=1))
    for one, image in zip(together, images, strict=True):
        again = alone.caption([CleanedImage(image)])[0]
        assert (again.caption, again.is_valid) == (one.caption, one.is_valid)
        assert again.confidence == pytest.approx(one.confidence, rel=1e-3)


@pytest.fixture
def frozen(checkpoint: Path) -> Path:
    """The same captioner with a frozen encoder, so that it reads features."""
    network, vocabulary, _ = load_captioner(checkpoint)
    network.config = replace(network.config, is_encoder_frozen=True)
    details = {"notation": "smiles_drawn_kekule", "max_tokens": 8}
    save_checkpoint(checkpoint, network, vocabulary, details=details, provenance={})
    return checkpoint


def test_features_of_several_shapes_are_captioned_as_their_images_are(frozen: Path) -> None:
    captioner, images = ImageCaptioner(frozen, settings()), drawings(9)
    features = [captioner.encoded(image) for image in images]
    assert {one.shape for one in features} == {(32, 2, 4), (32, 4, 4)}
    captions = captioner.caption(list(map(CleanedImage, features)))
    for one, of_image, image in zip(captions, captioner.caption(list(map(CleanedImage, images))), images, strict=True):
        alone = captioner.caption([CleanedImage(captioner.encoded(image))])[0]
        assert one.caption == alone.caption == of_image.caption
        assert [alone.confidence, of_image.confidence] == pytest.approx([one.confidence] * 2, rel=0.02)


@pytest.mark.parametrize("how", [{"turns_deg": (0, 180)}, {"scales": (1.0, 1.5)}, {"is_redrawn": True}])
def test_an_image_that_is_turned_scaled_or_drawn_again_is_read_itself(frozen: Path, how: dict[str, Any]) -> None:
    captioner, images = ImageCaptioner(frozen, settings(**how, sure_from=2.0)), drawings(3)
    assert all(captioner.encoded(image) is image for image in images)
    assert len(captioner.caption([CleanedImage(captioner.encoded(image)) for image in images])) == 3


@pytest.mark.parametrize("drawer", [one for group in DRAWERS for one in group])
def test_candidates_are_drawn_until_one_is_sure_and_what_covers_the_image_is_chosen(
    checkpoint: Path, drawer: str
) -> None:
    image = np.pad(np.where(draw_unworn_ink(PROPANOL, drawer), 0, 255).astype(np.uint8), 9, constant_values=255)
    captioner = ImageCaptioner(checkpoint, settings(is_redrawn=True))
    readings = [
        [
            CaptionCandidate("CCCN", PROPYLAMINE, math.log(0.6), 0.6),
            CaptionCandidate("CCCO", PROPANOL, math.log(0.3), 0.3),
            CaptionCandidate("CCO", ETHANOL, math.log(0.05), 0.05),
        ]
    ]
    redrawn = captioner.prepared(image)
    assert redrawn is not None
    chosen = captioner._choose(readings, redrawn)
    assert chosen.caption == PROPANOL
    assert chosen.confidence > 0.9
    assert [caption for caption, _ in chosen.alternatives] == [PROPYLAMINE, ETHANOL]
    agreements = redrawn.agreements
    assert list(agreements) == [PROPYLAMINE, PROPANOL]  # nothing was left to be gained by drawing the third
    assert agreements[PROPANOL].mismatch < 1 < agreements[PROPYLAMINE].mismatch
    assert captioner._choose(readings, None).caption == PROPYLAMINE


@pytest.fixture
def caffeine() -> np.ndarray:
    """A drawing that a tiny captioner cannot read, cleaned."""
    drawn = draw_unworn_ink("InChI=1S/C8H10N4O2/c1-10-4-9-6-5(10)7(13)12(3)8(14)11(6)2/h4H,1-3H3", "rdkit")
    asked = load_settings("molecules", "local", ["landing.path=u", "storage.root=u"])
    return clean_image(encode_png(np.where(drawn, 0, 255).astype(np.uint8)), asked.cleaning).pixels


@pytest.mark.parametrize("how", [{}, {"num_beams": 1}, {"is_redrawn": True}])
def test_what_a_drawing_says_as_a_graph_votes_whatever_the_captioner_writes(
    checkpoint: Path, caffeine: np.ndarray, how: dict[str, Any]
) -> None:
    (with_graphs,) = ImageCaptioner(checkpoint, settings(is_read_as_graph=True, **how)).caption(
        [CleanedImage(caffeine)]
    )
    (without,) = ImageCaptioner(checkpoint, settings(**how)).caption([CleanedImage(caffeine)])
    assert with_graphs.caption.startswith("InChI=1S/C8H10N4O2/")
    assert with_graphs.is_valid
    assert with_graphs.caption != without.caption


def test_a_larger_image_is_read_as_a_graph_instead(checkpoint: Path, caffeine: np.ndarray) -> None:
    captioner = ImageCaptioner(checkpoint, settings(is_read_as_graph=True))
    white = np.full_like(caffeine, 255)
    (larger,) = captioner.caption([CleanedImage(white, caffeine)])
    assert larger.caption.startswith("InChI=1S/C8H10N4O2/")
    (blank,) = captioner.caption([CleanedImage(caffeine, white)])
    assert blank.caption != larger.caption


def test_graphs_are_read_in_every_view_and_by_no_other_notation(checkpoint: Path, caffeine: np.ndarray) -> None:
    captioner = ImageCaptioner(checkpoint, settings(is_read_as_graph=True))
    graphs = captioner.as_graphs(CleanedImage(caffeine))
    assert len(graphs) == len(GRAPH_VIEWS)
    for graph in graphs:
        assert sum(one.votes or 0.0 for one in graph) == pytest.approx(1 if graph else 0)
        assert [one.score for one in graph] == sorted((one.score for one in graph), reverse=True)
    assert ImageCaptioner(checkpoint, settings()).as_graphs(CleanedImage(caffeine)) == []
    white = np.full((64, 96), 255, np.uint8)
    assert captioner.as_graphs(CleanedImage(white)) == [[] for _ in GRAPH_VIEWS]
    (nothing,) = captioner.caption([CleanedImage(white)])
    assert nothing.confidence < 0.9


def test_a_greedy_caption_that_the_graph_says_too_needs_no_other_reading() -> None:
    captioner = ImageCaptioner(PRETRAINED / "molecules", settings(is_read_as_graph=True))
    greedy = CaptionCandidate("CCO", ETHANOL, math.log(0.99), 0.99)
    same, other = CaptionCandidate("OCC", ETHANOL, -2.0, 0.1, 0.2), CaptionCandidate("CO", METHYLAMINE, -1.0, 0.3, 0.8)
    agreed = captioner._read_once(greedy, [[same, other]], None)
    assert agreed is not None
    assert agreed.caption == ETHANOL
    assert agreed.confidence >= 0.9
    contradicted = captioner._read_once(greedy, [[other, same]], None)
    assert contradicted is not None
    assert contradicted.confidence < 0.9
    assert captioner._read_once(greedy, [[]], None) is None


def test_drawings_decide_between_a_greedy_caption_and_a_graph(checkpoint: Path) -> None:
    captioner = ImageCaptioner(checkpoint, settings(is_redrawn=True, is_read_as_graph=True))
    image = np.where(draw_unworn_ink(PROPANOL, "indigo"), 0, 255).astype(np.uint8)
    right, wrong = CaptionCandidate("OCCC", PROPANOL, -1.0, 0.4), CaptionCandidate("NCCC", PROPYLAMINE, -0.7, 0.5)
    for greedy, graph in ((right, wrong), (wrong, right)):
        redrawn = captioner.prepared(image)
        chosen = captioner._read_once(greedy, [[graph._replace(votes=1.0)]], redrawn)
        assert chosen is not None
        assert chosen.caption == PROPANOL
        assert chosen.confidence >= 0.9
        undecided = captioner._read_once(greedy, [[graph._replace(votes=1.0)]], None)
        assert undecided is not None
        assert undecided.confidence < 0.9


def test_a_graph_with_an_end_that_was_added_is_drawn_as_what_the_image_still_shows(checkpoint: Path) -> None:
    captioner = ImageCaptioner(checkpoint, settings(is_redrawn=True, is_read_as_graph=True))
    image = np.where(draw_unworn_ink(PROPANOL, "indigo"), 0, 255).astype(np.uint8)
    ether = CaptionCandidate("CCCOC", inchi_of_smiles("CCCOC"), -0.7, 0.5, votes=1.0)
    other = CaptionCandidate("NCCC", PROPYLAMINE, -1.0, 0.4)
    whole, with_lost_end = captioner.prepared(image), captioner.prepared(image)
    assert whole is not None
    assert with_lost_end is not None
    captioner._choose([[other]], whole, [[ether]])
    captioner._choose([[other]], with_lost_end, [[ether._replace(drawn_as=PROPANOL)]])
    assert ether.caption not in (None, other.caption)
    assert with_lost_end.agreements[ether.caption] == with_lost_end.agreements[PROPANOL]
    assert with_lost_end.agreements[PROPANOL].mismatch < whole.agreements[ether.caption].mismatch


def test_words_that_are_to_be_drawn_are_refused_in_a_sentence(checkpoint: Path) -> None:
    details = json.loads((checkpoint / "config.json").read_text())
    details["details"]["notation"] = "words"
    (checkpoint / "config.json").write_text(json.dumps(details))
    with pytest.raises(NotationError, match=r"prediction\.is_redrawn is true, but captions in words cannot be drawn"):
        ImageCaptioner(checkpoint, settings(is_redrawn=True))


def test_a_drawing_that_was_turned_for_nothing_is_turned_back_and_one_on_its_side_is_not() -> None:
    asked = load_settings("molecules", "local")
    captioner = ImageCaptioner(PRETRAINED / "molecules", asked.prediction)
    turned_back = {"tall": 0, "on its side": 0, "wide": 0}
    long_ones = ("N#Cc1ccc(CCCCN)cc1Cl", "OC(=O)CCc1ccc(OCc2ccncc2)cc1", "CCN(CC)CCCNC(=O)c1ccc(F)cc1")
    for inchi, seed in product(map(inchi_of_smiles, long_ones), range(3)):
        style = free_style((30.0, 30.0), np.random.default_rng(seed))._replace(
            layout="rdkit", stroke_px=2.0, font="DejaVuSans.ttf", letter_height=0.38, letter_width=1.0, beside=""
        )
        style = style._replace(abbreviated_fraction=0.0, numbered_fraction=0.0, writes_carbons=False, is_mirrored=False)
        tall, wide = (
            draw_freely(inchi, style._replace(turn_deg=turn_deg), np.random.default_rng(0)).pixels
            for turn_deg in (90.0, 0.0)
        )
        for name, pixels in (("tall", tall), ("on its side", seen_as(wide, 90, 1.0)), ("wide", wide)):
            clean = clean_image(encode_png(pixels), asked.cleaning)
            assert clean.rotation_deg == (0 if name == "wide" else 90)
            upright = captioner.upright(clean.pixels, clean.rotation_deg, clean.larger)
            is_back = upright.pixels.shape != clean.pixels.shape
            turned_back[name] += is_back
            assert (upright.pixels == (np.rot90(clean.pixels) if is_back else clean.pixels)).all()
            assert clean.larger is not None
            assert upright.larger is not None
            assert (upright.larger == (np.rot90(clean.larger) if is_back else clean.larger)).all()
    assert turned_back["tall"] >= 7, "of 9"
    assert (turned_back["on its side"], turned_back["wide"]) == (0, 0)


def test_nothing_is_turned_back_without_readings_as_graphs(checkpoint: Path) -> None:
    pixels = np.full((40, 80), 255, np.uint8)
    assert ImageCaptioner(checkpoint, settings()).upright(pixels, 90).pixels is pixels
