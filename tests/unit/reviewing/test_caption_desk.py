"""Corrections are checked by the notation of the dataset, and captions drawn where it can draw."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from lib.reviewing.caption_desk import BARE, COVERED, DRAWN_ALONE, CaptionDesk, decoded_png
from lib.serving.refusals import RefusedRequestError
from tests.known_molecules import ASPIRIN, ETHANOL
from tests.unit.serving.served import drawing

PHENETHYLAMINE = "InChI=1S/C8H11N/c9-7-6-8-4-2-1-3-5-8/h1-5H,6-7,9H2"

COMPLEX = "InChI=1S/3C5H8O2.Co/c3*1-4(6)3-5(2)7;/h3*3H2,1-2H3;/q;;;+6"


@pytest.fixture(scope="module")
def desk() -> Iterator[CaptionDesk]:
    desk = CaptionDesk("smiles", 300)
    yield desk
    desk.close()


@pytest.mark.parametrize("typed", ["OCC", "CCO", ETHANOL, f" {ETHANOL}\n"])
def test_where_the_network_writes_other_tokens_captions_are_read_too(desk: CaptionDesk, typed: str) -> None:
    assert desk.standard_form(typed) == ETHANOL


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "type the right caption first"),
        ("C1CC", "this is not a well-formed InChI or SMILES of a molecule"),
        ("InChI=1S/C99/c1", "this is not a well-formed InChI or SMILES of a molecule"),
        ("\ud800", "type the right caption first"),
        ("C" * 301, "the correction has 301 characters; at most 300 are stored"),
    ],
)
def test_what_is_no_caption_is_refused_in_a_sentence(desk: CaptionDesk, typed: str, said: str) -> None:
    with pytest.raises(RefusedRequestError, match=said):
        desk.standard_form(typed)
    assert desk.standard_form("CCO") == ETHANOL  # whatever became of the process


@pytest.mark.parametrize("name", ["inchi", "smiles_drawn_kekule"])
def test_a_molecule_is_typed_as_inchi_or_smiles_in_every_notation(name: str) -> None:
    desk = CaptionDesk(name, 300)
    try:
        for typed in ("OCC", ETHANOL, ETHANOL.replace("1S", "1"), "InChI=1S/C2H6O/c3-2-1/h3H,2H2,1H3"):
            assert desk.standard_form(typed) == ETHANOL
        assert desk.standard_form(COMPLEX) == COMPLEX
        assert desk.standard_form(f"{ASPIRIN[:30]}\n {ASPIRIN[30:]}") == ASPIRIN  # as a page breaks it
        cut_off = ("InChI=1S/CH4", ASPIRIN[: ASPIRIN.index("/h")], ASPIRIN[: ASPIRIN.index(",(H")])
        # RDKit would read the first line, and take the rest for a name.
        for typed in (
            *cut_off,
            "CC(=O)Oc1ccccc1\nC(=O)O",
            "CC O",
            "CCO ethanol",
            "CCO |$_R1;;$|",
            f"{ETHANOL} ethanol",
        ):
            with pytest.raises(RefusedRequestError, match="this is not a well-formed InChI or SMILES of a molecule"):
                desk.standard_form(typed)
    finally:
        desk.close()


def test_words_are_taken_as_they_are_and_not_drawn() -> None:
    desk = CaptionDesk("words", 300)
    with pytest.raises(RefusedRequestError, match="this is not a caption with words"):
        desk.standard_form("?!")
    assert desk.standard_form("  Two dogs,\r\nrunning. ") == "Two dogs, running."
    assert not desk.can_draw
    assert desk.overlay("two dogs", (4, 4), bytes(16)) is None


def test_what_agrees_and_what_does_not_are_told_apart_by_colour(desk: CaptionDesk) -> None:
    pixels = cv2.imdecode(np.frombuffer(drawing(ASPIRIN), np.uint8), cv2.IMREAD_GRAYSCALE)

    def fractions(caption: str) -> dict[tuple[int, ...], float]:
        content = desk.overlay(caption, pixels.shape, pixels.tobytes())
        assert content is not None
        overlay = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert overlay.shape == (*pixels.shape, 4)
        shown = overlay[overlay[..., 3] > 100][:, :3]
        return {colour: float((shown == colour).all(axis=1).mean()) for colour in (COVERED, DRAWN_ALONE, BARE)}

    right, wrong = fractions(ASPIRIN), fractions(PHENETHYLAMINE)
    assert right[COVERED] > 0.9
    assert right[BARE] < 0.05 < wrong[BARE]
    assert right[COVERED] > wrong[COVERED]
    assert desk.overlay("no molecule", pixels.shape, pixels.tobytes()) is None


@pytest.mark.parametrize("image", [b"", b"no PNG"])
def test_a_damaged_image_is_refused_in_a_sentence(image: bytes) -> None:
    with pytest.raises(RefusedRequestError, match="the cleaned image is damaged: clean it again"):
        decoded_png(image)
