"""The same drawing as others would send it: on other paper, in other ink, enlarged, framed, with words beside it.

A variation makes an image (bytes) of a drawing without wear, pixels (H, W) uint8, 0 ink, 255 paper. None mirrors the
molecule.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image
from rdkit.Chem.Draw import rdMolDraw2D

from lib.molecules.rdkit_drawing import draw_with_rdkit, prepare_molecule
from lib.sections.molecules import Pen

Pixels = np.ndarray
A4_AT_300_DPI = (3508, 2480)  # height and width in pixels
INK_OF_MARGIN = 29  # pixels of paper around the ink of a drawing


def png(pixels: Pixels) -> bytes:
    """PNG bytes of (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA."""
    return _encoded(pixels, "PNG")


def jpeg(pixels: Pixels, quality: int) -> bytes:
    """JPEG bytes."""
    return _encoded(pixels, "JPEG", quality=quality)


def _encoded(pixels: Pixels, file_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def on_paper(pixels: Pixels, paper: float | Pixels, ink: float = 0) -> Pixels:
    """The drawing with ink and paper of those levels, (H, W) float."""
    fractions: Pixels = pixels / 255
    return ink + fractions * (paper - ink)


def noisy(pixels: Pixels, deviation: float, paper: float = 255) -> Pixels:
    """Gaussian noise on every pixel."""
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape)
    return _as_bytes(on_paper(pixels, paper) + noise)


def gradient(pixels: Pixels, darkest: float) -> Pixels:
    """Paper that darkens evenly from the upper left to the lower right."""
    height, width = pixels.shape
    along = (np.arange(height)[:, None] / height + np.arange(width) / width) / 2
    return _as_bytes(on_paper(pixels, 255 - (255 - darkest) * along))


def coloured(pixels: Pixels, paper: tuple[int, int, int], ink: tuple[int, int, int]) -> Pixels:
    """Ink and paper of those colours (RGB)."""
    return _as_bytes(np.stack([on_paper(pixels, *pair) for pair in zip(paper, ink, strict=True)], axis=2))


def on_transparent(pixels: Pixels, ink: int) -> Pixels:
    """Ink of that level on nothing (RGBA); what is transparent is white."""
    colour = np.where(pixels < 255, ink, 255).astype(np.uint8)
    return np.dstack([colour, colour, colour, 255 - pixels])


def scaled(pixels: Pixels, factor: float, interpolation: int) -> Pixels:
    """Enlarged or shrunk."""
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=interpolation)


def _beside_white(pixels: Pixels) -> Pixels:
    """Grey paper with a white margin beside it, a fifth as wide."""
    return np.pad(pixels, ((0, 0), (0, pixels.shape[1] // 5)), constant_values=255)


def _flashed(pixels: Pixels) -> Pixels:
    """Grey paper, white where a flash is reflected in one corner."""
    height, width = pixels.shape
    far = np.hypot(np.arange(height)[:, None] / height, np.arange(width) / width)
    return _as_bytes(on_paper(pixels, 150 + 105 * np.exp(-((far / 0.3) ** 2))))


def on_desk(pixels: Pixels) -> Pixels:
    """A page that covers three fifths of a photograph of a dark desk."""
    height, width = (round(side * 0.14) for side in pixels.shape)
    page = _as_bytes(on_paper(pixels, 230))
    around = np.pad(np.full_like(page, 70), ((height, height), (width, width)), constant_values=70)
    photograph = noisy(around, 10)
    photograph[height:-height, width:-width] = page
    return photograph


def photographed(pixels: Pixels) -> Pixels:
    """A page on a brown desk, seen a little from one side, in light that falls off, a little blurred.

    The desk is less than half of the photograph.
    """
    page = np.pad(scaled(pixels, 2, cv2.INTER_CUBIC), 150, constant_values=255)
    desk, paper = np.array([95, 70, 50]), np.array([243, 238, 228])
    around = [(round(0.12 * side),) * 2 for side in page.shape]
    scene = np.pad(page[..., None] / 255 * paper, (*around, (0, 0)))
    is_desk = np.pad(np.zeros(page.shape, bool), around, constant_values=True)
    scene[is_desk] = desk
    height, width = is_desk.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    inset = np.array([[0.05, 0.03], [-0.02, 0.05], [-0.05, -0.02], [0.02, -0.04]]) * (width, height)
    seen = cv2.getPerspectiveTransform(corners, (corners + inset).astype(np.float32))
    scene = cv2.warpPerspective(scene, seen, (width, height), borderValue=desk.tolist())
    x, y = np.arange(width) / width, np.arange(height)[:, None] / height
    light = 0.62 + 0.38 * np.clip(1.2 - 0.7 * x - 0.4 * y, 0, 1)
    noise = np.random.default_rng(1).normal(0, 5, scene.shape)
    return _as_bytes(cv2.GaussianBlur(scene * light[..., None], (0, 0), 1) + noise)


def on_page(pixels: Pixels) -> Pixels:
    """Enlarged three times, as 300 dpi make of it, and somewhere on an A4 page."""
    large = scaled(pixels, 3, cv2.INTER_CUBIC)
    page = np.full([max(side, large_side) for side, large_side in zip(A4_AT_300_DPI, large.shape, strict=True)], 255)
    page = page.astype(np.uint8)
    top, left = (page.shape[0] - large.shape[0]) // 3, (page.shape[1] - large.shape[1]) // 2
    page[top : top + large.shape[0], left : left + large.shape[1]] = large
    return page


def framed(pixels: Pixels, thickness: int, inset: int) -> Pixels:
    """A rectangle around the drawing, that many pixels from the rim."""
    found = pixels.copy()
    height, width = pixels.shape
    for step in range(inset, inset + thickness):
        cv2.rectangle(found, (step, step), (width - 1 - step, height - 1 - step), 0, 1)
    return found


def underlined(pixels: Pixels) -> Pixels:
    """A line below the drawing, nearly as wide as the image."""
    found = _with_room_below(pixels, 10)
    height, width = found.shape
    cv2.line(found, (8, height - 12), (width - 9, height - 12), 0, 1)
    return found


def with_words(pixels: Pixels, words: str, gap: int, size: float = 0.5) -> Pixels:
    """Words below the drawing, their upper edge `gap` pixels below its margin."""
    found = _with_room_below(pixels, gap + round(50 * size))
    (width, height), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    position = max(4, (found.shape[1] - width) // 2), pixels.shape[0] + gap + height
    cv2.putText(found, words, position, cv2.FONT_HERSHEY_SIMPLEX, size, 0, 1)
    return found


def scan_edge(pixels: Pixels) -> Pixels:
    """Black along the left and upper rim, where the page did not cover the glass."""
    found = np.pad(pixels, ((12, 0), (9, 0)), constant_values=255)
    found[:5] = found[:, :6] = 0
    return found


def turned(pixels: Pixels, angle_deg: float) -> Pixels:
    """Turned a little, as pages lie on the glass."""
    height, width = pixels.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1)
    return cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=255)


def _with_room_below(pixels: Pixels, room: int) -> Pixels:
    return np.pad(pixels, ((0, room), (0, 0)), constant_values=255)


def _as_bytes(levels: Pixels) -> Pixels:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def patched(pixels: Pixels, colour: tuple[int, int, int]) -> Pixels:
    """A patch of a colour (RGB) behind the middle of the left half, as a highlighter leaves."""
    height, width = pixels.shape
    patch = np.full((height, width, 3), 255, np.uint8)
    patch[height // 5 : 4 * height // 5, width // 10 : 6 * width // 10] = colour
    return np.minimum(patch, pixels[..., None])


def dithered(pixels: Pixels, ink: int) -> Pixels:
    """Enlarged three times in grey ink, then black and white: an image of two levels shows grey as a pattern."""
    grey = _as_bytes(on_paper(scaled(pixels, 3, cv2.INTER_NEAREST), 255, ink))
    return np.asarray(Image.fromarray(grey).convert("1").convert("L"))


def with_discs(pixels: Pixels, radius: int, colour: tuple[int, int, int]) -> Pixels:
    """Discs of a pale colour (RGB) behind some parts of the drawing, as atoms are highlighted."""
    paper = np.full((*pixels.shape, 3), 255, np.uint8)
    ys, xs = np.nonzero(pixels < 128)
    for index in np.linspace(0, len(ys) - 1, 8).astype(int):
        cv2.circle(paper, (int(xs[index]), int(ys[index])), radius, colour, -1)
    return np.minimum(paper, pixels[..., None])


def ruled(
    pixels: Pixels, step: int, is_squared: bool = False, colour: tuple[int, int, int] = (170, 190, 230)
) -> Pixels:
    """Paper with lines every `step` pixels, across or both ways, pale blue unless a colour is given."""
    paper = np.full((*pixels.shape, 3), 255, np.uint8)
    paper[step // 2 :: step] = colour
    if is_squared:
        paper[:, step // 2 :: step] = colour
    return np.minimum(paper, pixels[..., None])


def scratched(pixels: Pixels, grey: int) -> Pixels:
    """With a line of one pixel from top to bottom and another from left to right, through the drawing."""
    found = pixels.copy()
    rows, columns = np.nonzero(pixels < 255)
    for line in (found[(2 * rows.min() + rows.max()) // 3], found[:, (columns.min() + 2 * columns.max()) // 3]):
        np.minimum(line, grey, out=line)
    return found


def on_slide(pixels: Pixels) -> Pixels:
    """Below a heading, white on a dark bar."""
    bar = np.full((60, pixels.shape[1]), 60, np.uint8)
    cv2.putText(bar, "Results", (20, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 2)
    return np.vstack((bar, pixels))


def between_paragraphs(pixels: Pixels) -> Pixels:
    """Between lines of small text, above and below."""
    height = pixels.shape[0]
    found = np.pad(pixels, ((80, 80), (0, 0)), constant_values=255)
    for y in (*range(14, 80, 15), *range(height + 94, height + 160, 15)):
        words = "the product was washed with water and dried over sodium sulfate, then"
        cv2.putText(found, words, (3, y), cv2.FONT_HERSHEY_SIMPLEX, 0.35, 0, 1, cv2.LINE_AA)
    return found


def watermarked(pixels: Pixels, word: str, grey: int) -> Pixels:
    """A word in large pale letters behind the drawing."""
    height, width = pixels.shape
    paper = np.full_like(pixels, 255)
    scale = width / cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 1, 1)[0][0]
    cv2.putText(paper, word, (0, round(height * 0.7)), cv2.FONT_HERSHEY_SIMPLEX, scale, grey, max(2, round(3 * scale)))
    return np.minimum(paper, pixels)


IMAGE_VARIATIONS: dict[str, Callable[[Pixels], bytes]] = {
    "as drawn": png,
    "paper of 252": lambda pixels: png(_as_bytes(on_paper(pixels, 252))),
    "paper fading to 225": lambda pixels: png(gradient(pixels, 225)),
    "noise of sigma 3": lambda pixels: png(noisy(pixels, 3)),
    "noise of sigma 8, paper of 240": lambda pixels: png(noisy(pixels, 8, 240)),
    "ink of 150": lambda pixels: png(_as_bytes(on_paper(pixels, 255, 150))),
    "white on black": lambda pixels: png(255 - pixels),
    "white on transparent": lambda pixels: png(on_transparent(pixels, 255)),
    "black on transparent": lambda pixels: png(on_transparent(pixels, 0)),
    "sepia": lambda pixels: png(coloured(pixels, (240, 225, 190), (90, 60, 30))),
    "blue on white": lambda pixels: png(coloured(pixels, (255, 255, 255), (40, 40, 255))),
    "yellow on black": lambda pixels: png(coloured(pixels, (0, 0, 0), (255, 255, 0))),
    "black on yellow": lambda pixels: png(coloured(pixels, (255, 255, 0), (0, 0, 0))),
    "black on cyan": lambda pixels: png(coloured(pixels, (0, 255, 255), (0, 0, 0))),
    "black on dark green": lambda pixels: png(coloured(pixels, (60, 160, 80), (0, 0, 0))),
    "white on orange": lambda pixels: png(coloured(pixels, (255, 140, 0), (255, 255, 255))),
    "white on a blue slide": lambda pixels: png(coloured(pixels, (70, 150, 220), (255, 255, 255))),
    "on a white table": lambda pixels: png(_beside_white(_as_bytes(on_paper(pixels, 180)))),
    "with a flash": lambda pixels: png(_flashed(pixels)),
    "on a dark desk": lambda pixels: png(on_desk(pixels)),
    "photographed on a desk": lambda pixels: png(photographed(pixels)),
    "black on grey 100": lambda pixels: png(_as_bytes(on_paper(pixels, 100))),
    "white on grey 140": lambda pixels: png(_as_bytes(on_paper(pixels, 140, 255))),
    "JPEG of quality 50": lambda pixels: jpeg(pixels, 50),
    "JPEG of quality 20": lambda pixels: jpeg(pixels, 20),
    "blurred by a pixel": lambda pixels: png(cv2.GaussianBlur(pixels, (0, 0), 1)),
    "half size": lambda pixels: png(scaled(pixels, 0.5, cv2.INTER_AREA)),
    "twice as large, nearest": lambda pixels: png(scaled(pixels, 2, cv2.INTER_NEAREST)),
    "3 times as large, nearest": lambda pixels: png(scaled(pixels, 3, cv2.INTER_NEAREST)),
    "3 times as large, cubic": lambda pixels: png(scaled(pixels, 3, cv2.INTER_CUBIC)),
    "4 times as large, cubic": lambda pixels: png(scaled(pixels, 4, cv2.INTER_CUBIC)),
    "dithered, ink of 90": lambda pixels: png(dithered(pixels, 90)),
    "dithered, ink of 150": lambda pixels: png(dithered(pixels, 150)),
    "A4 page at 300 dpi": lambda pixels: png(on_page(pixels)),
    "frame at the rim": lambda pixels: png(framed(pixels, 1, 0)),
    "frame of 1 px": lambda pixels: png(framed(pixels, 1, 8)),
    "frame of 3 px": lambda pixels: png(framed(pixels, 3, 8)),
    "underlined": lambda pixels: png(underlined(pixels)),
    "number below": lambda pixels: png(with_words(pixels, "12", 0)),
    "line of text below": lambda pixels: png(with_words(pixels, "Compound 12 (87 %, m.p. 143 C)", 4, 0.45)),
    "scan edge": lambda pixels: png(scan_edge(pixels)),
    "green graph paper": lambda pixels: png(ruled(pixels, 20, is_squared=True, colour=(120, 190, 130))),
    "scratched": lambda pixels: png(scratched(pixels, 90)),
    "slide with a heading": lambda pixels: png(on_slide(pixels)),
    "between paragraphs": lambda pixels: png(between_paragraphs(pixels)),
    "marked yellow": lambda pixels: png(patched(pixels, (255, 255, 0))),
    "pink discs behind atoms": lambda pixels: png(with_discs(pixels, 9, (255, 127, 127))),
    "on a grey patch": lambda pixels: png(patched(pixels, (190, 190, 190))),
    "ruled paper": lambda pixels: png(ruled(pixels, 31)),
    "squared paper": lambda pixels: png(ruled(pixels, 23, is_squared=True)),
    "fine squared paper": lambda pixels: png(ruled(pixels, 10, is_squared=True)),
    "watermark": lambda pixels: png(watermarked(pixels, "DRAFT", 215)),
    "turned by 2 degrees": lambda pixels: png(turned(pixels, 2)),
}


def _pen(bond_length: float, line_width: int) -> Callable[[str], bytes]:
    """Draw again with another pen."""
    pen = Pen(bond_length, INK_OF_MARGIN, line_width, "BuiltinTelexRegular")
    return lambda inchi: png(draw_with_rdkit(inchi, pen).pixels)


def rdkit_default(width: int, height: int, **options: object) -> Callable[[str], bytes]:
    """Draw again as RDKit does where nothing else is asked for: in colour, with grey edges."""

    def draw(inchi: str) -> bytes:
        canvas = rdMolDraw2D.MolDraw2DCairo(width, height)
        for name, value in options.items():
            setattr(canvas.drawOptions(), name, value)
        rdMolDraw2D.PrepareAndDrawMolecule(canvas, prepare_molecule(inchi))
        canvas.FinishDrawing()
        drawn: bytes = canvas.GetDrawingText()
        return drawn

    return draw


DRAWN_AGAIN: dict[str, Callable[[str], bytes]] = {
    "strokes of 2 px": _pen(40, 2),
    "strokes of 3 px": _pen(40, 3),
    "strokes of 2 px, bonds of 25 px": _pen(25, 2),
    "strokes of 4 px, bonds of 80 px": _pen(80, 4),
    "strokes of 8 px, bonds of 100 px": _pen(100, 8),
    "RDKit's default, 300 x 300": rdkit_default(300, 300),
    "RDKit's default, 700 x 500": rdkit_default(700, 500),
    "RDKit's default, small letters": rdkit_default(700, 500, fixedFontSize=8),
    "RDKit's default, atom numbers": rdkit_default(700, 500, addAtomIndices=True),
}
