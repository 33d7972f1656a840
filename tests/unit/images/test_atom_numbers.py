"""Numbers beside atoms and bonds, which cleaning removes."""

import cv2
import numpy as np
import pytest

from bench.image_variations import rdkit_default
from lib.captioning.captioner import Captioner
from lib.images.atom_numbers import without_atom_numbers
from lib.images.strokes import INK_BELOW, typical_stroke_length
from tests.known_molecules import ASPIRIN, CAFFEINE, IBUPROFEN, PARACETAMOL

MOLECULES = [ASPIRIN, CAFFEINE, IBUPROFEN, PARACETAMOL]


def pixels_of(image: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)


def without_numbers(pixels: np.ndarray) -> np.ndarray:
    length = typical_stroke_length(pixels)
    assert length is not None
    return without_atom_numbers(pixels, length)


@pytest.mark.parametrize("numbered", ["addAtomIndices", "addBondIndices"])
def test_numbers_go_and_the_rest_stays(numbered: str) -> None:
    for inchi in MOLECULES:
        image = rdkit_default(700, 500, **{numbered: True})(inchi)
        pixels = pixels_of(image)
        cleaned = without_numbers(pixels)
        ink = (pixels < INK_BELOW).astype(np.uint8)
        gone = (ink > 0) & (cleaned >= INK_BELOW)
        num_gone = cv2.connectedComponents(gone.astype(np.uint8), connectivity=8)[0] - 1
        assert num_gone >= 12
        _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
        assert (cleaned[labels == 1 + int(np.argmax(stats[1:, 4]))] < INK_BELOW).all()


@pytest.mark.parametrize("numbered", ["addAtomIndices", "addBondIndices"])
def test_numbered_molecules_are_read(numbered: str) -> None:
    draw = rdkit_default(700, 500, **{numbered: True})
    captions = Captioner.pretrained("molecules").caption([draw(inchi) for inchi in MOLECULES])
    assert [caption.caption for caption in captions] == MOLECULES


@pytest.mark.parametrize("size", [(300, 300), (700, 500), (1200, 900)])
def test_drawings_without_numbers_stay_as_they_are(size: tuple[int, int]) -> None:
    nitro_groups_and_methyls = "InChI=1S/C7H5N3O6/c1-4-6(9(13)14)2-5(8(11)12)3-7(4)10(15)16/h2-3H,1H3"
    chlorines = "InChI=1S/C12Cl10/c13-3-1(4(14)8(18)11(21)7(3)17)2-5(15)9(19)12(22)10(20)6(2)16"
    for inchi in (*MOLECULES, nitro_groups_and_methyls, chlorines):
        pixels = pixels_of(rdkit_default(*size)(inchi))
        assert without_numbers(pixels) is pixels
