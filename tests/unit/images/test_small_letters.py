"""Letters much smaller than bonds, which cleaning makes larger."""

import itertools

import cv2
import numpy as np
import pytest

from bench.image_variations import rdkit_default
from bench.lakeless_settings import lakeless_settings
from lib.captioning.captioner import Captioner
from lib.images.cleaning import clean_image
from lib.images.small_letters import WANTED, with_larger_letters
from tests.known_molecules import ASPIRIN, CAFFEINE, IBUPROFEN, PARACETAMOL

LENGTH = 80.0  # of the strokes, in pixels
UNMOVED = np.eye(2, 3)


def drawing(letter_height: int, num_letters: int = 3) -> np.ndarray:
    """A zigzag of bonds with letters at its upper corners."""
    pixels = np.full((200, 500), 255, np.uint8)
    corners = [(40 + 80 * index, 80 if index % 2 else 130) for index in range(2 * num_letters)]
    for begin, end in itertools.pairwise(corners):
        cv2.line(pixels, begin, end, 0, 2)
    for x, y in corners[1::2]:
        left, top = x - letter_height // 2, y - letter_height - 6
        cv2.rectangle(pixels, (left, top), (left + letter_height - 1, top + letter_height - 1), 0, 2)
    return pixels


def heights_of_pieces(pixels: np.ndarray) -> list[int]:
    """Heights of all pieces of ink but the largest, in rising order."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((pixels < 128).astype(np.uint8), connectivity=8)
    return sorted(stats[1:, 3].tolist())[:-1]


def test_small_letters_become_as_high_as_letters_usually_are() -> None:
    small = drawing(12)
    assert heights_of_pieces(small) == [14, 14, 14]
    larger, transform = with_larger_letters(small, UNMOVED, LENGTH)
    assert heights_of_pieces(larger)[:3] == pytest.approx([WANTED * LENGTH] * 3, abs=3)
    # Bonds end at them now. The zigzag has moved by the paper that was added, and with it the transform.
    margin = (larger.shape[0] - small.shape[0]) // 2
    assert transform == pytest.approx(np.array([[1, 0, margin], [0, 1, margin]]))
    assert np.array_equal(larger[margin + 130 : margin + 134, margin + 30 : margin + 50], small[130:134, 30:50])


def test_letters_are_enlarged_about_their_middles() -> None:
    larger, transform = with_larger_letters(drawing(12, num_letters=1), UNMOVED, LENGTH)
    _, _, stats, middles = cv2.connectedComponentsWithStats((larger < 128).astype(np.uint8), connectivity=8)
    letter = 1 + int(np.argmin(stats[1:, 2]))
    assert middles[letter] == pytest.approx(transform @ (119.5, 67.5, 1), abs=1.5)


@pytest.mark.parametrize("height", [26, 36])
def test_letters_of_the_usual_height_stay_as_they_are(height: int) -> None:
    pixels = drawing(height)
    assert with_larger_letters(pixels, UNMOVED, LENGTH)[0] is pixels


def test_small_ink_beside_letters_of_the_usual_height_stays_as_it_is() -> None:
    pixels = drawing(30)
    for x in range(40, 480, 60):  # as digits of labels are, or pieces of broken strokes
        cv2.rectangle(pixels, (x, 160), (x + 9, 171), 0, 2)
    assert with_larger_letters(pixels, UNMOVED, LENGTH)[0] is pixels


def test_lines_of_a_hash_are_no_letters() -> None:
    pixels = drawing(12, num_letters=0)
    cv2.line(pixels, (40, 100), (120, 60), 0, 2)
    for index in range(8):
        cv2.line(pixels, (140 + 8 * index, 100 - index), (140 + 8 * index, 100 + index), 0, 2)
    assert with_larger_letters(pixels, UNMOVED, LENGTH)[0] is pixels


@pytest.mark.parametrize("font_size", [10, 12])
def test_molecules_with_tiny_labels_are_read(font_size: int) -> None:
    draw = rdkit_default(700, 500, fixedFontSize=font_size)
    molecules = [ASPIRIN, CAFFEINE, IBUPROFEN, PARACETAMOL]
    captions = Captioner.pretrained("molecules").caption([draw(inchi) for inchi in molecules])
    assert [caption.caption for caption in captions] == molecules


def test_positions_are_those_in_the_image_where_letters_were_enlarged() -> None:
    image = rdkit_default(700, 500, fixedFontSize=10)(CAFFEINE)
    clean = clean_image(image, lakeless_settings().cleaning)
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_GRAYSCALE)
    ys, xs = np.nonzero(pixels < 100)
    columns, rows = np.rint(clean.transform @ np.stack((xs, ys, np.ones_like(xs)))).astype(int)
    dark = cv2.erode(clean.pixels, np.ones((3, 3), np.uint8))  # a pixel beside counts
    assert np.mean(dark[rows, columns] < 200) > 0.9
