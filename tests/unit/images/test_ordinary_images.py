"""Drawings on any paper, framed, captioned, enlarged: `pytest tests/unit/images/test_ordinary_images.py`.

A drawing sent otherwise must come out of cleaning as the drawing itself does.
"""

import subprocess
import sys
import tracemalloc
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw
from rdkit import Chem

from bench.image_variations import IMAGE_VARIATIONS, framed, noisy, png, rdkit_default, with_words
from bench.lakeless_settings import lakeless_settings
from lib.captioning.captioner import Captioner
from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image
from lib.images.page_marks import without_page_marks
from lib.images.paper import darkest_channel
from lib.images.strokes import edge_width, stroke_width, typical_stroke_length
from lib.images.thinning import local_ink, middle_lines, thin_if_wide, thin_strokes, wedges_of
from lib.molecules.drawing_noise import erase_line, remove_stroke_pixels
from lib.molecules.rdkit_drawing import draw_with_rdkit
from lib.sections.images import CleaningSettings
from lib.sections.molecules import Pen
from tests.known_molecules import ASPIRIN, CAFFEINE, IBUPROFEN

ACETONE = "InChI=1S/C3H6O/c1-3(2)4/h1-2H3"
ALANINE = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"
DIYNE = "InChI=1S/C6H6O2/c7-5-3-1-2-4-6-8/h7-8H,5-6H2"
LACTIC_ACID = "InChI=1S/C3H6O3/c1-2(4)3(5)6/h2,4H,1H3,(H,5,6)/t2-/m0/s1"
SAME = 0.9  # fraction of the ink of either image that lies on or beside ink of the other

MOLECULES = [ASPIRIN, CAFFEINE, DIYNE]
OF_ANOTHER_SHAPE = ("turned by 2 degrees", "photographed on a desk")  # these do not lie on the drawing


def settings(**changes: object) -> CleaningSettings:
    asked = lakeless_settings()
    return asked.cleaning.model_copy(update=changes)


def drawn(inchi: str, bond_length: float = 40, line_width: int = 1) -> np.ndarray:
    return draw_with_rdkit(inchi, Pen(bond_length, 29, line_width, "BuiltinTelexRegular")).pixels


def cleaned(image: bytes, **changes: object) -> np.ndarray:
    return clean_image(image, settings(**changes)).pixels


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Fraction of ink in common, a pixel beside counted in, where the two lie best on each other."""
    inks = []
    for pixels in (one, other):
        ink = (pixels < 200).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(ink)
        inks.append(ink[top : top + height, left : left + width])
    sides = zip(*(ink.shape for ink in inks), strict=True)
    if any(abs(mine - theirs) > 0.08 * max(mine, theirs) + 2 for mine, theirs in sides):
        return 0.0
    height, width = inks[0].shape
    first, second = inks[0], cv2.resize(inks[1], (width, height), interpolation=cv2.INTER_NEAREST)
    near = [cv2.dilate(ink, np.ones((3, 3), np.uint8)) for ink in (first, second)]
    return min((first & near[1]).sum() / first.sum(), (second & near[0]).sum() / second.sum())


@pytest.mark.parametrize("inchi", MOLECULES)
@pytest.mark.parametrize("name", [name for name in IMAGE_VARIATIONS if name not in OF_ANOTHER_SHAPE])
def test_a_drawing_sent_otherwise_is_cleaned_to_the_same_image(name: str, inchi: str) -> None:
    pixels = drawn(inchi)
    assert likeness(cleaned(png(pixels)), cleaned(IMAGE_VARIATIONS[name](pixels))) > SAME


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("paper of 252", {"is_normalised": False}),
        ("paper fading to 225", {"is_normalised": False}),
        ("ink of 150", {"is_normalised": False, "rejects_shapes": False}),
        ("white on black", {"is_normalised": False}),
        ("yellow on black", {"is_normalised": False}),
        ("frame of 1 px", {"longest_line": 0}),
        ("frame at the rim", {"longest_line": 0}),
        ("underlined", {"longest_line": 0}),
        ("scan edge", {"longest_line": 0}),
        ("green graph paper", {"is_normalised": False}),
        ("scratched", {"is_normalised": False}),
        ("slide with a heading", {"is_normalised": False}),
        ("line of text below", {"words_apart_from": 0}),
        ("number below", {"words_apart_from": 0}),
    ],
)
def test_each_step_is_what_does_it(name: str, step: dict[str, object]) -> None:
    pixels = drawn(ASPIRIN)
    try:
        without = likeness(cleaned(png(pixels)), cleaned(IMAGE_VARIATIONS[name](pixels), **step))
    except CorruptImageError:
        return
    assert without < SAME or name.startswith("paper")
    if name.startswith("paper"):  # paper that is not quite white looks white to a threshold, but not to the network
        image = IMAGE_VARIATIONS[name](pixels)
        grey, white = ((255.0 - cleaned(one, **changes)).sum() for one, changes in ((image, step), (png(pixels), {})))
        assert grey > 1.15 * white
        assert (255.0 - cleaned(image)).sum() < 1.05 * white


@pytest.mark.parametrize("inchi", [ASPIRIN, CAFFEINE, IBUPROFEN])
@pytest.mark.parametrize("name", OF_ANOTHER_SHAPE)
def test_a_drawing_seen_from_one_side_is_read(name: str, inchi: str) -> None:
    (caption,) = Captioner.pretrained("molecules").caption([IMAGE_VARIATIONS[name](drawn(inchi))])
    assert caption.caption == inchi


def test_whether_ink_is_light_is_told_by_how_light_its_colour_looks() -> None:
    pixels = drawn(ASPIRIN)
    navy, maroon = (0, 0, 63), (166, 0, 0)  # levels 7 and 50
    image = np.where(pixels[..., None] == 0, maroon, navy).astype(np.uint8)
    assert np.array_equal(darkest_channel(image) < 128, pixels == 0)


@pytest.mark.parametrize("margin", [0, 1, 3, 12])
@pytest.mark.parametrize("smiles", ["CC#CC#CC", "C#CC#C", "C=C", "C1CC2CCC12", "C1CC2C1C1CCC21"])
def test_a_bond_from_end_to_end_of_a_drawing_is_no_scratch(smiles: str, margin: int) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    pixels = drawn(Chem.MolToInchi(molecule))
    rows, columns = np.nonzero(pixels < 255)
    tight = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    image = np.pad(tight, margin, constant_values=255)
    assert without_page_marks(image) is image


def test_ruled_lines_leave_paper_of_its_own_colour() -> None:
    paper, rules = np.uint8([250, 240, 190]), np.uint8([150, 170, 160])
    unruled = np.minimum(paper, drawn(ASPIRIN)[..., None])
    ruled = unruled.copy()
    ruled[15::31] = np.minimum(ruled[15::31], rules)
    np.testing.assert_array_equal(without_page_marks(ruled), unruled)


@pytest.mark.parametrize("inchi", [ASPIRIN, DIYNE])
def test_columns_of_text_on_both_sides_of_a_drawing_go(inchi: str) -> None:
    pixels = drawn(inchi, 60)
    columns = np.nonzero(pixels < 255)[1]
    text = np.full((len(pixels), 150), 255, np.uint8)
    for y in range(12, len(pixels), 14):
        cv2.putText(text, "washed with water and dried", (0, y), cv2.FONT_HERSHEY_SIMPLEX, 0.33, 0, 1, cv2.LINE_AA)
    room = np.full((len(pixels), 20), 255, np.uint8)
    page = np.hstack((text, room, pixels[:, columns.min() : columns.max() + 1], room, text))
    assert likeness(cleaned(png(pixels)), cleaned(png(page))) > SAME


@pytest.mark.parametrize("inchi", [ASPIRIN, CAFFEINE])
def test_only_strokes_in_pieces_are_mended(inchi: str) -> None:
    whole = cv2.resize(drawn(inchi), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    assert np.array_equal(cleaned(png(whole)), cleaned(png(whole), mend_reach_px=0))
    worn = png(remove_stroke_pixels(drawn(inchi), 0.15, np.random.default_rng(0)))
    mended, unmended = ((255.0 - cleaned(worn, mend_reach_px=reach, stroke_length_px=None)).sum() for reach in (3, 0))
    assert mended > 1.02 * unmended  # ink


@pytest.mark.parametrize(("bond_length", "line_width"), [(40, 2), (80, 4), (100, 8)])
def test_wide_strokes_come_out_as_thin_as_those_the_network_learns(bond_length: int, line_width: int) -> None:
    wide = png(drawn(ASPIRIN, bond_length, line_width))
    usual = stroke_width(cleaned(png(drawn(ASPIRIN))))
    assert stroke_width(cleaned(wide)) < 1.15 * usual < stroke_width(cleaned(wide, thin_from=0))
    assert likeness(cleaned(png(drawn(ASPIRIN))), cleaned(wide)) > 0.8


def bent(is_wedge: bool, is_turned: bool = False) -> np.ndarray:
    """A zigzag with strokes of 7 px, one of them a wedge or not."""
    points = np.array([(40 + 87 * step, 100 + 50 * (step % 2)) for step in range(6)])
    pixels = np.full((230, 520), 255, np.uint8)
    cv2.polylines(pixels, [points], False, 0, 7)
    if is_wedge:
        cv2.fillConvexPoly(pixels, np.array([points[2], points[3] + (8, -14), points[3] + (-8, 14)]), 0)
    return pixels[::-1, ::-1] if is_turned else pixels


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_wedge_among_wide_strokes_stays_wide(is_turned: bool) -> None:
    wedge, plain = (cleaned(png(bent(is_wedge, is_turned))) for is_wedge in (True, False))
    widest = [cv2.distanceTransform((pixels < 160).astype(np.uint8), cv2.DIST_L2, 5).max() for pixels in (wedge, plain)]
    assert widest[0] >= 1.5 * widest[1]
    assert wedge.shape == plain.shape


def test_two_wide_strokes_that_touch_are_no_wedge() -> None:
    ink = np.zeros((120, 300), np.uint8)
    for y in (50, 57):
        cv2.line(ink, (40, y), (240, y), 1, 8)
    assert not wedges_of(ink, 8.0, 110.0).any()
    cv2.fillConvexPoly(ink, np.array([(40, 53), (240, 35), (240, 71)]), 1)
    assert wedges_of(ink, 8.0, 110.0)[53, 220] == 1


def test_the_short_strokes_of_a_hash_are_no_bridges() -> None:
    pixels = bent(False)
    for step in range(10):
        x = 60 + 12 * step
        cv2.line(pixels, (x, 200 - step), (x, 200 + step), 0, 2)
    pieces = [
        cv2.connectedComponents((image < 128).astype(np.uint8))[0]
        for image in (pixels, thin_strokes(pixels, 6.0, 100.0, 0.042))
    ]
    assert pieces[0] == pieces[1] == 12  # paper, the zigzag and ten strokes


def test_a_pale_thin_stroke_beside_a_dark_wide_one_is_ink() -> None:
    pixels = np.full((40, 60), 255, np.uint8)
    pixels[18:22, 31:] = 0  # a bond
    pixels[12:28, 26:28] = 140  # a letter that ends three pixels before it
    ink = local_ink(pixels, 4)
    assert ink[12:28, 26:28].all()
    assert not ink[12:17, 29:].any()
    assert ink[18:22, 31:].all()


def test_the_letters_of_a_tiny_drawing_stay_whole() -> None:
    tiny = cv2.resize(drawn(ASPIRIN), None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    assert np.array_equal(cleaned(png(tiny)), cleaned(png(tiny), thin_from=0))


@pytest.mark.parametrize("line_width", [1, 3, 8])
def test_the_length_of_strokes_does_not_depend_on_their_width(line_width: int) -> None:
    assert typical_stroke_length(drawn(CAFFEINE, 100, line_width)) == pytest.approx(0.8 * 100, rel=0.12)


def test_a_label_whose_bond_is_lost_stays_in_a_worn_drawing_alone() -> None:
    hexanol = "InChI=1S/C6H14O/c1-2-3-4-5-6-7/h7H,2-6H2,1H3"
    whole, layout = draw_with_rdkit(hexanol, Pen(40, 29, 1, "BuiltinTelexRegular"))
    ends = np.stack((layout.atom_x, layout.atom_y), axis=1)[[layout.bond_begin[5], layout.bond_end[5]]]
    ends += (ends[::-1] - ends) * -0.25  # all of the bond goes
    unworn = erase_line(whole, *ends)
    worn = remove_stroke_pixels(unworn, 0.15, np.random.default_rng(0))
    kept, is_kept = [], {"words_apart_from": 0}
    for pixels in (unworn, worn):
        kept.append(np.array_equal(cleaned(png(pixels)), cleaned(png(pixels), **is_kept)))
    assert kept == [False, True]


@pytest.mark.parametrize("inchi", MOLECULES)
def test_labels_near_their_bonds_stay(inchi: str) -> None:
    image = png(drawn(inchi))
    np.testing.assert_array_equal(cleaned(image), cleaned(image, words_apart_from=0))


def test_the_middle_of_a_triple_bond_between_labels_is_no_rule() -> None:
    pixels = drawn("InChI=1S/C2H2O2/c3-1-2-4/h3-4H")
    np.testing.assert_array_equal(cleaned(png(pixels)), cleaned(png(pixels), longest_line=0))


@pytest.mark.parametrize("shape", ["circle", "frame", "line", "disc", "table"])
def test_a_shape_alone_is_rejected_as_no_drawing(shape: str) -> None:
    page = np.full((300, 400), 255, np.uint8)
    if shape in ("circle", "disc"):
        cv2.circle(page, (200, 150), 90, 0, -1 if shape == "disc" else 1)
    elif shape == "frame":
        page = framed(page, 1, 20)
    elif shape == "table":
        for at in range(0, 181, 60):
            page[40 + at, 80:261] = page[40:221, 80 + at] = 0
    else:
        cv2.line(page, (40, 150), (360, 150), 0, 1)
    with pytest.raises(CorruptImageError, match="no_drawing"):
        cleaned(png(page))
    assert cleaned(png(page), rejects_shapes=False).size


@pytest.mark.parametrize("deviation", [30, 60])
def test_noise_alone_is_rejected_as_blank(deviation: int) -> None:
    with pytest.raises(CorruptImageError, match="blank_image"):
        cleaned(png(noisy(np.full((300, 400), 255, np.uint8), deviation, 200)))


@pytest.mark.parametrize("ring", ["C6H12/c1-2-4-6-5-3-1/h1-6H2", "C4H8/c1-2-4-3-1/h1-4H2", "C3H6/c1-2-3-1/h1-3H2"])
def test_rings_alone_are_drawings(ring: str) -> None:
    assert cleaned(png(drawn(f"InChI=1S/{ring}", bond_length=60))).size


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("inchi", [LACTIC_ACID, ALANINE])
def test_the_lines_of_a_hash_do_not_decide_the_scale(inchi: str, factor: int) -> None:
    small, large = (rdkit_default(500 * times, 400 * times)(inchi) for times in (1, factor))
    scales = [clean_image(image, settings()).transform[0, 0] for image in (small, large)]
    assert scales[0] / scales[1] == pytest.approx(factor, rel=0.2)


def test_places_follow_a_drawing_with_wide_strokes() -> None:
    drawing = draw_with_rdkit(CAFFEINE, Pen(60, 29, 4, "BuiltinTelexRegular"))
    found = clean_image(png(drawing.pixels), settings())
    positions_xy = np.stack([drawing.layout.atom_x, drawing.layout.atom_y, np.ones(len(drawing.layout.atom_x))])
    x, y = found.transform @ positions_xy
    near = cv2.dilate((found.pixels < 200).astype(np.uint8), np.ones((7, 7), np.uint8))
    assert near[np.rint(y).astype(int), np.rint(x).astype(int)].all()


def test_middle_lines_keep_the_number_of_pieces() -> None:
    ink = (drawn(ASPIRIN, 60, 6) < 128).astype(np.uint8)
    thin = middle_lines(ink)
    assert cv2.connectedComponents(thin)[0] == cv2.connectedComponents(ink)[0]
    assert stroke_width(np.where(thin > 0, 0, 255).astype(np.uint8)) < 1.2


@pytest.mark.parametrize(("words", "gap", "size"), [("Compound 12", -9, 0.45), ("(12)", 10, 1.6)])
def test_a_line_of_text_goes_where_no_label_would_be_so_near_and_large_letters_go_too(
    words: str, gap: int, size: float
) -> None:
    pixels = drawn(ASPIRIN)
    assert likeness(cleaned(png(pixels)), cleaned(png(with_words(pixels, words, gap, size)))) > SAME


@pytest.mark.parametrize("num_lines", [1, 3])
@pytest.mark.parametrize("inchi", [ACETONE, ASPIRIN, DIYNE])
def test_a_paragraph_larger_than_the_drawing_goes(inchi: str, num_lines: int) -> None:
    pixels = drawn(inchi)
    with_text = pixels
    for _ in range(num_lines):
        with_text = with_words(with_text, "the mixture was stirred at 20 C", 0)
    assert likeness(cleaned(png(pixels)), cleaned(png(with_text))) > SAME


def surrounded(pixels: np.ndarray, outline: str) -> np.ndarray:
    """A drawing in the left cell of a table of two, in an ellipse or in a frame with round corners."""
    height, width = (side + 120 for side in pixels.shape)
    page = Image.new("L", (width + 100, height), 255)
    page.paste(Image.fromarray(pixels), (60, 60))
    pen, box = ImageDraw.Draw(page), (5, 5, width - 5, height - 5)
    if outline == "ellipse":
        pen.ellipse(box, outline=0, width=2)
    elif outline == "round corners":
        pen.rounded_rectangle(box, radius=50, outline=0, width=2)
    else:
        pen.rectangle((5, 5, width + 90, height - 5), outline=0, width=2)
        pen.line((width, 5, width, height - 5), fill=0, width=2)
    return np.asarray(page)


@pytest.mark.parametrize("outline", ["table", "ellipse", "round corners"])
@pytest.mark.parametrize("inchi", [ACETONE, ASPIRIN])
def test_what_surrounds_the_drawing_goes(inchi: str, outline: str) -> None:
    pixels = drawn(inchi)
    assert likeness(cleaned(png(pixels)), cleaned(png(surrounded(pixels, outline)))) > SAME


@pytest.mark.parametrize("bond_length", [40, 60])
def test_a_level_chain_with_double_bonds_is_no_frame(bond_length: int) -> None:
    steps = np.arange(20)
    points = np.stack((20 + 0.87 * bond_length * steps, 30 + 0.5 * bond_length * (steps % 2)), axis=1)
    pixels = np.full((90, int(points.max()) + 20), 255, np.uint8)
    cv2.polylines(pixels, [np.rint(points).astype(int)], False, 0, 1)
    for begin, end in zip(points[::2], points[1::2], strict=True):
        beside = bond_length * np.array([0.06, -0.1])
        inner = np.array([0.7 * begin + 0.3 * end, 0.3 * begin + 0.7 * end]) + beside
        cv2.line(pixels, *np.rint(inner).astype(int).tolist(), 0, 1)
    np.testing.assert_array_equal(cleaned(png(pixels)), cleaned(png(pixels), longest_line=0))


def test_words_that_ink_joins_to_the_drawing_stay() -> None:
    pixels = with_words(drawn(ASPIRIN), "12", 0)
    column = int(np.flatnonzero((pixels[-20:] < 128).any(axis=0))[0])
    top = int(np.flatnonzero(pixels[:, column] < 128)[0]) if (pixels[:, column] < 128).any() else 0
    joined = pixels.copy()
    joined[top:, column] = 0
    assert (cleaned(png(joined)) < 200).sum() > (cleaned(png(pixels)) < 200).sum()


def dashes(side: int) -> np.ndarray:
    """A sheet (side, side) of short lines, each further from the next than a bond from its label."""
    pixels = np.full((side, side), 255, np.uint8)
    for x in range(10, side - 12, 18):
        pixels[10:-10:8, x : x + 12] = 0
    return pixels


def test_a_sheet_of_a_thousand_dashes_takes_no_more_memory_than_another_image_of_its_size() -> None:
    image = png(dashes(400))
    cleaned(image)  # what is set up once is not counted
    tracemalloc.start()
    cleaned(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 400 * 400  # bytes


CLEAN_WITH_LITTLE_MEMORY = """
import resource, sys
from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image
from lib.settings import load_settings
settings = load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused"]).cleaning
image = sys.stdin.buffer.read()
clean_image(image, settings)  # which imports what it needs
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for more in range(1, 17):  # half mebibytes
    resource.setrlimit(resource.RLIMIT_AS, (used + (more << 19), resource.RLIM_INFINITY))
    try:
        clean_image(image, settings)
    except CorruptImageError as error:
        print(error)
"""


def test_an_image_that_the_memory_does_not_suffice_for_is_rejected_for_now() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLEAN_WITH_LITTLE_MEMORY], input=png(dashes(1000)), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    for step in ("decoding", "cleaning"):
        assert f"out_of_memory: {step} it needs more memory than there is" in done.stdout.decode()


def test_edges_are_as_wide_as_they_are_blurred() -> None:
    pixels = np.full((200, 200), 255, np.uint8)
    cv2.line(pixels, (20, 100), (180, 100), 0, 9)
    assert edge_width(pixels) == pytest.approx(1)
    blurred = [edge_width(cv2.GaussianBlur(pixels, (0, 0), deviation)) for deviation in (1, 2)]
    # The mean square of a Gaussian's steps is 1 / (2 sqrt(pi) deviation).
    assert blurred == pytest.approx([2 * np.sqrt(np.pi) * deviation for deviation in (1, 2)], rel=0.05)
    assert edge_width(np.full((20, 20), 255, np.uint8)) == 0


@pytest.mark.parametrize(("line_width", "is_thinned"), [(1, False), (7, True)])
def test_blurred_fine_strokes_are_not_thinned(line_width: int, is_thinned: bool) -> None:
    blurred = cv2.GaussianBlur(drawn(ASPIRIN, 60, line_width), (0, 0), 1.5)
    length = typical_stroke_length(blurred)
    assert length is not None
    assert stroke_width(blurred) > 0.055 * length
    assert (thin_if_wide(blurred, length, False, settings()) is not blurred) == is_thinned


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (2, 300), (3, 3)])
def test_a_strip_of_noise_is_cleaned_or_rejected(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    with suppress(CorruptImageError):
        assert cleaned(png(pixels)).size
