"""Hashed wedges of many fine lines, which cleaning makes of fewer."""

import io

import cv2
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Draw

from lib.captioning.captioner import Captioner
from lib.images.hashes import sparser_hashes

LENGTH = 80.0  # of the strokes, in pixels


def wedge_of_lines(num_lines: int, spacing: int, turn_deg: float = 0) -> np.ndarray:
    """Lines that grow from left to right, beside a bond and two lines of a letter, turned."""
    pixels = np.full((240, 240), 255, np.uint8)
    for index in range(num_lines):
        half = 2 + index
        cv2.line(pixels, (80 + spacing * index, 120 - half), (80 + spacing * index, 120 + half), 0, 1)
    cv2.line(pixels, (40, 60), (120, 60), 0, 2)
    cv2.line(pixels, (150, 80), (150, 95), 0, 2)
    cv2.line(pixels, (158, 80), (158, 95), 0, 2)
    turn = cv2.getRotationMatrix2D((120, 120), turn_deg, 1)
    return cv2.warpAffine(pixels, turn, (240, 240), flags=cv2.INTER_CUBIC, borderValue=255)


def num_components(pixels: np.ndarray) -> int:
    return cv2.connectedComponents((pixels < 128).astype(np.uint8))[0] - 1


@pytest.mark.parametrize("turn_deg", [0, 30, 90, 200])
def test_every_third_of_close_lines_stays(turn_deg: float) -> None:
    dense = wedge_of_lines(16, 4, turn_deg)
    assert num_components(dense) == 16 + 3
    sparse = sparser_hashes(dense, LENGTH)
    assert num_components(sparse) == 6 + 3


def test_the_longest_line_stays() -> None:
    sparse = sparser_hashes(wedge_of_lines(15, 4), LENGTH)
    assert not sparse[120, 80 + 4 * 14]
    assert sparse[120, 80 + 4 * 13] == sparse[120, 80 + 4 * 12] == 255


def test_lines_that_can_be_told_apart_stay_as_they_are() -> None:
    sparse = wedge_of_lines(6, 12)
    assert sparser_hashes(sparse, LENGTH) is sparse


def test_short_strokes_in_no_row_stay_as_they_are() -> None:
    pixels = np.full((240, 240), 255, np.uint8)
    for x, y in np.random.default_rng(0).integers(20, 220, (12, 2)).tolist():
        cv2.line(pixels, (x, y), (x, y + 6), 0, 1)
    assert sparser_hashes(pixels, LENGTH) is pixels


def test_rings_around_one_point_stay_as_they_are() -> None:
    pixels = np.full((240, 240), 255, np.uint8)
    for radius in range(3, 24, 4):
        cv2.circle(pixels, (120, 120), radius, 0, 1)
    assert num_components(pixels) == 6
    assert sparser_hashes(pixels, LENGTH) is pixels


def test_stereo_of_dense_hashes_is_read() -> None:
    smiles = ["CC1=CC[C@H](CC1=O)C(C)=C", "CN1CCC[C@H]1c1cccnc1", "N[C@@H](Cc1c[nH]c2ccccc12)C(=O)O"]
    molecules = [Chem.MolFromSmiles(one) for one in smiles]
    images = []
    for molecule in molecules:
        png = io.BytesIO()
        Draw.MolToImage(molecule).save(png, "PNG")
        images.append(png.getvalue())
    captions = [found.caption for found in Captioner.pretrained("molecules").caption(images)]
    assert captions == [Chem.MolToInchi(molecule) for molecule in molecules]
