"""Writes a contact sheet of images before and after cleaning, for eyes.

`python -m bench.contact_sheet --set landing.path=FOLDER --output sheet.png [--num-images 8]`
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image
from lib.images.decoding import decode_image
from lib.images.strokes import Pixels
from lib.job_entry import argument_parser, exit_with_one_sentence, settings_named
from lib.landing.archives import list_arrivals, read_arrivals
from lib.landing.zone import list_landing_zone
from lib.sections.images import CleaningSettings
from lib.settings import Settings

GAP_PX = 14
LARGEST = (300, 480)  # height and width in pixels; larger images are shown smaller
BACKGROUND, FRAME, WRITING = 244, 205, 90  # grey levels


def main() -> None:
    """Read the arguments and write the sheet."""
    parser = argument_parser("contact_sheet", __doc__ or "")
    parser.add_argument("--output", required=True, help="PNG file to write")
    parser.add_argument("--num-images", type=int, default=8, help="rows of the sheet (default: %(default)s)")
    arguments = parser.parse_args()

    def work() -> None:
        settings = settings_named(arguments)
        sheet = contact_sheet(settings, arguments.num_images)
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(arguments.output, sheet)
        print(f"wrote {arguments.output}: arrived | cleaned")

    exit_with_one_sentence(work)


def contact_sheet(settings: Settings, num_images: int) -> Pixels:
    """The first images of the landing zone, a row each: as arrived | cleaned, or why it was rejected."""
    return pairs_sheet(islice(_images(settings), num_images), settings.cleaning)


def pairs_sheet(images: Iterable[bytes], cleaning: CleaningSettings) -> Pixels:
    """Images, a row each: as arrived | cleaned, or why it was rejected."""
    pairs = [_pair(image, cleaning) for image in images]
    widths = [max(pixels.shape[1] for pixels in column) for column in zip(_headings(), *pairs, strict=True)]
    rows = [np.hstack([_centred(words, 30, width) for words, width in zip(_headings(), widths, strict=True)])]
    for pair in pairs:
        height = max(pixels.shape[0] for pixels in pair)
        rows.append(np.hstack([_centred(pixels, height, width) for pixels, width in zip(pair, widths, strict=True)]))
    return np.vstack(rows)


def _images(settings: Settings) -> Iterator[bytes]:
    zone = list_landing_zone(settings.landing)
    for file in zone.images + zone.archives:
        arrivals = (arrival for arrival in list_arrivals(file, settings.landing) if not arrival.reason)
        yield from (image for _, image, _, _ in read_arrivals(arrivals) if image is not None)


def _pair(image: bytes, cleaning: CleaningSettings) -> tuple[Pixels, Pixels]:
    try:
        arrived, cleaned = decode_image(image, cleaning), clean_image(image, cleaning).pixels
    except CorruptImageError as error:
        return _words("no image"), _words(error.reason)
    return _shown(arrived), _shown(cleaned)


def _shown(pixels: Pixels) -> Pixels:
    """The image in BGR at its own size, or smaller to fit, in a thin frame."""
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.ndim == 3 else cv2.COLOR_GRAY2BGR)
    scale = min(LARGEST[0] / pixels.shape[0], LARGEST[1] / pixels.shape[1], 1.0)
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(pixels, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(FRAME, FRAME, FRAME))


def _headings() -> tuple[Pixels, Pixels]:
    return _words("as it arrived"), _words("cleaned")


def _words(text: str) -> Pixels:
    tile = np.full((24, 10 * len(text) + 20, 3), BACKGROUND, np.uint8)
    cv2.putText(tile, text, (8, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (WRITING, WRITING, WRITING), 1, cv2.LINE_AA)
    return tile


def _centred(pixels: Pixels, height: int, width: int) -> Pixels:
    """The tile in the middle of a cell of at least that height and width, with a gap around."""
    missing_height, missing_width = max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])
    top, left = missing_height // 2, missing_width // 2
    margins = (GAP_PX + top, GAP_PX + missing_height - top, GAP_PX + left, GAP_PX + missing_width - left)
    return cv2.copyMakeBorder(pixels, *margins, cv2.BORDER_CONSTANT, value=(BACKGROUND, BACKGROUND, BACKGROUND))


if __name__ == "__main__":
    main()
