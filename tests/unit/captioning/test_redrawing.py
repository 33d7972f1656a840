"""Drawings laid on images: `pytest tests/unit/captioning/test_redrawing.py`."""

import cv2
import numpy as np
import pytest
import yaml

from lib.captioning.redrawing import (
    CAPTIONS_TO_FIND_A_DRAWER,
    DISAGREEMENT,
    Agreement,
    PreparedImage,
    RedrawnImage,
    _fits,
    compare,
    lay_over,
    prepare,
)
from lib.errors import NotationError
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing import draw_molecule
from lib.molecules.redrawn import DRAWERS, draw_unworn_ink
from lib.molecules.smiles import inchi_of_smiles
from lib.sections.images import CleaningSettings
from lib.sections.molecules import DrawingSettings
from lib.settings import CONF
from tests.known_molecules import ASPIRIN

CONF_OF_BASE = yaml.safe_load((CONF / "base.yaml").read_text())
DRAWING = DrawingSettings(**CONF_OF_BASE["drawing"] | {"dropped_bond_fraction": 0})
CLEANING = CleaningSettings(**CONF_OF_BASE["cleaning"] | {"stroke_length_px": 16, "sharpen": 0})

THIOASPIRIN = "InChI=1S/C9H8O3S/c1-6(13)12-8-5-3-2-4-7(8)9(10)11/h2-5H,1H3,(H,10,11)"
METHOXYTOLUQUINOL = "InChI=1S/C8H8O3/c1-5-3-7(10)8(11-2)4-6(5)9/h3-4H,1-2H3"
ALANYL = "InChI=1S/C12H16N2O3/c1-8(13)11(15)14-10(12(16)17)7-9-5-3-2-4-6-9/h2-6,8,10H,7,13H2,1H3,(H,14,15)(H,16,17)"
LEFT, RIGHT = f"{ALANYL}/t8-,10-/m0/s1", f"{ALANYL}/t8-,10+/m0/s1"


def image_of(inchi: str, seed: int = 0, drawer: str = "indigo", **changes: object) -> np.ndarray:
    """A worn drawing as cleaning leaves it."""
    settings = DRAWING.model_copy(update={"drawers": {drawer: 1}, **changes})
    return clean_image(encode_png(draw_molecule(inchi, settings, np.random.default_rng(seed)).pixels), CLEANING).pixels


def prepared(pixels: np.ndarray) -> PreparedImage:
    image = prepare(pixels)
    assert image is not None
    return image


def agreement(pixels: np.ndarray, inchi: str, drawer: str = "indigo") -> Agreement:
    return compare(prepared(pixels), draw_unworn_ink(inchi, drawer))


@pytest.mark.parametrize("drawer", ["indigo", "rdkit", "coordgen"])
@pytest.mark.parametrize(
    "wear",
    [
        {},
        {"noise": 0.0},
        {"reduced_fraction": 1.0},
        {"sideways_fraction": 1.0, "seed": 1},
        {"sideways_fraction": 1.0, "seed": 2},
    ],
)
@pytest.mark.parametrize(("right", "wrong"), [(ASPIRIN, THIOASPIRIN), (LEFT, RIGHT), (RIGHT, LEFT)])
def test_the_right_molecule_covers_the_image_better_however_it_was_drawn(
    right: str, wrong: str, wear: dict[str, object], drawer: str
) -> None:
    pixels = image_of(right, drawer=drawer, **wear)
    # Indigo's letters are larger beside its smaller bonds, its strokes paler.
    assert agreement(pixels, right, drawer).correlation > (0.75 if drawer == "indigo" else 0.85)
    assert agreement(pixels, right, drawer).mismatch < agreement(pixels, wrong, drawer).mismatch - 0.3


class Recorded:
    """draw_unworn_ink, which remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, caption: str, drawer: str) -> np.ndarray | None:
        self.asked.append((caption, drawer))
        try:
            return draw_unworn_ink(caption, drawer)
        except NotationError:
            return None


CANDIDATES = (THIOASPIRIN, ASPIRIN, LEFT, RIGHT)


GROUP_OF = {"indigo": 0, "rdkit": 1, "coordgen": 2}  # of each drawer of images, among those that are tried


def tried_until(drawer: str) -> list[str]:
    """The drawers that are asked for a caption that this one drew."""
    return [one for group in DRAWERS[: GROUP_OF[drawer] + 1] for one in group]


@pytest.mark.parametrize(
    ("drawer", "reduced_fraction", "fits"),
    [
        ("indigo", 0.0, "indigo"),
        ("indigo", 1.0, "indigo small"),
        ("rdkit", 0.0, "rdkit"),
        ("rdkit", 1.0, "rdkit"),
        ("coordgen", 0.0, "coordgen"),
        ("coordgen", 1.0, "coordgen"),
    ],
)
def test_an_image_is_covered_by_the_drawer_that_drew_it_and_the_others_are_not_asked_again(
    drawer: str, reduced_fraction: float, fits: str
) -> None:
    draw = Recorded()
    pixels = image_of(ASPIRIN, drawer=drawer, reduced_fraction=reduced_fraction)
    redrawn = RedrawnImage(prepared(pixels), DRAWERS, draw)
    redrawn.draw(ASPIRIN)
    tried = tried_until(drawer)
    assert draw.asked == [(ASPIRIN, one) for one in tried]  # none after the group of the one that fits
    for caption in (THIOASPIRIN, LEFT):
        redrawn.draw(caption)
    assert draw.asked[len(tried) :] == [(THIOASPIRIN, fits), (LEFT, fits)]
    assert redrawn.agreements[ASPIRIN] == agreement(pixels, ASPIRIN, fits)
    assert redrawn.agreements[ASPIRIN].correlation > 0.8 > redrawn.agreements[LEFT].correlation
    assert redrawn.agreements[ASPIRIN].mismatch < redrawn.agreements[THIOASPIRIN].mismatch


@pytest.mark.parametrize("drawer", GROUP_OF)
def test_wrong_captions_first_do_not_hide_the_drawer(drawer: str) -> None:
    draw = Recorded()
    redrawn = RedrawnImage(prepared(image_of(ASPIRIN, drawer=drawer)), DRAWERS, draw)
    for caption in (LEFT, ALANYL, ASPIRIN):
        redrawn.draw(caption)
    assert redrawn.agreements[ASPIRIN].correlation > 0.8
    assert len(draw.asked) <= 2 * len(tried_until("coordgen")) + len(tried_until(drawer))
    draw.asked.clear()
    redrawn.draw(RIGHT)
    ((caption, asked),) = draw.asked
    assert caption == RIGHT
    assert asked in DRAWERS[GROUP_OF[drawer]]


def test_where_no_drawer_fits_one_goes_on_after_a_few_captions() -> None:
    draw = Recorded()
    scribble = np.where(np.random.default_rng(0).random((90, 160)) < 0.05, 0, 255).astype(np.uint8)
    redrawn = RedrawnImage(prepared(scribble), DRAWERS, draw)
    for caption in (*CANDIDATES, ALANYL):
        redrawn.draw(caption)
    assert len(draw.asked) == CAPTIONS_TO_FIND_A_DRAWER * len(tried_until("coordgen")) + 2
    assert max(one.correlation for one in redrawn.agreements.values()) < 0.8


def test_what_one_drawer_cannot_draw_is_drawn_by_another_and_what_none_can_disagrees() -> None:
    methane, draw = "InChI=1S/CH4/h1H4", Recorded()
    pixels = np.where(draw_unworn_ink(methane, "rdkit"), 0, 255).astype(np.uint8)
    redrawn = RedrawnImage(prepared(pixels), DRAWERS, draw)
    redrawn.draw(methane)
    assert draw.asked == [(methane, one) for one in tried_until("rdkit")]
    assert redrawn.agreements[methane].correlation > 0.95
    redrawn.draw("InChI=1S/nonsense")
    assert redrawn.agreements["InChI=1S/nonsense"] == DISAGREEMENT


def test_an_image_that_has_lost_its_end_is_covered_all_the_same() -> None:
    pixels = image_of(LEFT, noise=0.0)
    columns = np.flatnonzero((pixels < 200).any(axis=0))
    pixels[:, : columns[0] + (columns[-1] - columns[0]) // 8] = 255
    assert agreement(pixels, LEFT).correlation > 0.85
    assert agreement(pixels, LEFT).mismatch < agreement(pixels, RIGHT).mismatch - 0.3


def test_lost_ink_counts_less_than_ink_that_nothing_explains() -> None:
    less = np.zeros((80, 120), bool)
    less[[10, 70], 10:110] = less[10:71, [10, 109]] = less[40, 10:60] = True
    more = less.copy()
    more[20:60, 80] = True
    images = [prepared(np.where(drawing, 0, 255).astype(np.uint8)) for drawing in (less, more)]
    same, lost, bare = (
        compare(images[index], drawing).mismatch for index, drawing in ((0, less), (0, more), (1, less))
    )
    assert same == pytest.approx(0, abs=0.1)
    assert 0.2 < lost < bare / 4


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_atom_is_a_hole_in_the_drawing_and_wear_is_none(seed: int) -> None:
    image = prepared(image_of(ASPIRIN, seed))
    right, wrong = (compare(image, draw_unworn_ink(inchi, "indigo")) for inchi in (ASPIRIN, THIOASPIRIN))
    assert right.hole < 0.5 < wrong.hole


def test_an_end_that_only_one_of_both_has_does_not_change_the_scale() -> None:
    without = np.zeros((80, 180), bool)
    without[[10, 70], 10:110] = without[10:71, [10, 60, 109]] = without[30, 10:60] = True
    with_end = without.copy()
    with_end[40, 110:150] = True
    for seen, drawing in ((without, with_end), (with_end, without)):
        assert compare(prepared(np.where(seen, 0, 255).astype(np.uint8)), drawing).correlation > 0.9


@pytest.mark.parametrize(("drawer", "inchi"), [("rdkit", LEFT), ("indigo", METHOXYTOLUQUINOL)])
@pytest.mark.parametrize("num_turns", [1, 2, 3])
def test_a_drawing_about_as_high_as_wide_is_laid_on_every_way_up(num_turns: int, drawer: str, inchi: str) -> None:
    pixels = np.ascontiguousarray(np.rot90(image_of(inchi, drawer=drawer), num_turns))
    assert agreement(pixels, inchi, drawer).correlation > 0.8


def test_another_molecule_does_not_agree() -> None:
    assert agreement(image_of(LEFT), ASPIRIN).correlation < 0.6


def test_colour_is_seen_as_grey() -> None:
    pixels = image_of(ASPIRIN)
    assert agreement(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), ASPIRIN) == pytest.approx(agreement(pixels, ASPIRIN))


def test_nothing_is_laid_on_a_blank_image_and_a_blank_drawing_disagrees() -> None:
    assert prepare(np.full((64, 96), 255, np.uint8)) is None
    assert compare(prepared(image_of(ASPIRIN)), np.zeros((20, 30), bool)) == DISAGREEMENT


def test_odd_sizes_are_compared_without_a_fault() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 200), (200, 1), (3, 5), (64, 500)):
        pixels = np.pad(np.zeros((height, width), np.uint8), 2, constant_values=255)
        for shape in ((1, 1), (1, 300), (300, 1), (40, 60)):
            found = compare(prepared(pixels), rng.random(shape) < 0.5)
            assert 0 <= found.correlation <= 1.001
            assert found.mismatch >= 0


def test_a_drawing_is_compared_as_wide_and_as_high_as_the_image_but_not_at_many_times_its_size() -> None:
    image = prepared(np.pad(np.zeros((60, 200), np.uint8), 2, constant_values=255))
    assert _fits(image, np.ones((50, 100), np.float32)) == [1.2, 2.0]
    assert _fits(image, np.ones((2, 300), np.float32)) == [pytest.approx(200 / 300)]


def test_a_drawing_lies_on_the_image_where_its_strokes_are() -> None:
    pixels = image_of(ASPIRIN)
    laid = lay_over(pixels, draw_unworn_ink(ASPIRIN, "indigo"))
    assert laid.drawing.shape == laid.image.shape == pixels.shape
    near = cv2.dilate((laid.image > 0.3).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    drawn = laid.drawing > 0.3
    assert (drawn & near).sum() > 0.95 * drawn.sum() > 100
    assert laid.correlation > lay_over(pixels, draw_unworn_ink(METHOXYTOLUQUINOL, "indigo")).correlation


def test_a_drawing_of_something_else_lies_inside_the_image() -> None:
    pixels = np.full((90, 200), 255, np.uint8)
    pixels[40:43, 20:180] = 0
    laid = lay_over(pixels, draw_unworn_ink(ASPIRIN, "rdkit"))
    assert laid.drawing.any()
    assert laid.drawing.shape == pixels.shape
    assert not lay_over(np.full((50, 60), 255, np.uint8), draw_unworn_ink(ASPIRIN, "rdkit")).drawing.any()


def test_a_caption_with_lost_ends_is_compared_as_what_is_left_of_it_if_that_fits_better() -> None:
    anisole, phenol = (inchi_of_smiles(smiles) for smiles in ("COc1ccc(Cl)cc1", "Oc1ccc(Cl)cc1"))
    assert anisole is not None
    assert phenol is not None
    for shown in (anisole, phenol):
        redrawn = RedrawnImage(prepared(image_of(shown, drawer="indigo", reduced_fraction=0.0)), DRAWERS, Recorded())
        redrawn.draw(anisole, phenol)
        own, left = (redrawn.agreements[one] for one in (anisole, phenol))
        assert own.mismatch == left.mismatch if shown == phenol else own.mismatch < left.mismatch
        redrawn.draw(phenol, phenol)
        assert redrawn.agreements[phenol] == left
