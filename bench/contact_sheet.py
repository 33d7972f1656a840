"""Writes a contact sheet of pictures before and after cleaning, for eyes.

`python -m bench.contact_sheet --set landing.path=FOLDER --output sheet.png [--num-images 8]`
"""

from pathlib import Path

import cv2
import numpy as np

from lib.errors import CorruptImageError
from lib.image_cleaning import Pixels, clean_image, decode_image
from lib.job_entry import argument_parser, exit_with_one_sentence
from lib.landing_zone import list_arrivals, list_landing_zone, read_arrivals
from lib.settings import Settings, load_settings

GAP_PX = 12
TILE = (300, 480)  # height and width of each picture on the sheet, in pixels


def main() -> None:
    """Read the arguments and write the sheet."""
    parser = argument_parser("contact_sheet", __doc__ or "")
    parser.add_argument("--output", required=True, help="PNG file to write")
    parser.add_argument("--num-images", type=int, default=8, help="rows of the sheet (default: %(default)s)")
    arguments = parser.parse_args()

    def work() -> None:
        settings = load_settings(arguments.dataset, arguments.environment, arguments.overrides, arguments.conf)
        sheet = contact_sheet(settings, arguments.num_images)
        Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(arguments.output, sheet)
        print(f"wrote {arguments.output}: arrived | cleaned")

    exit_with_one_sentence(work)


def contact_sheet(settings: Settings, num_images: int) -> Pixels:
    """The first pictures of the landing zone, a row each: as arrived | cleaned, or why it was rejected."""
    zone = list_landing_zone(settings.landing)
    rows = []
    for file in zone.pictures + zone.archives:
        for _, image, _, _ in read_arrivals(a for a in list_arrivals(file, settings.landing) if not a.reason):
            if image is not None:
                rows.append(_row(image, settings))
            if len(rows) == num_images:
                return np.vstack(rows)
    return np.vstack(rows)


def _row(image: bytes, settings: Settings) -> Pixels:
    try:
        arrived = decode_image(image, settings.cleaning)
        cleaned = clean_image(image, settings.cleaning).pixels
    except CorruptImageError as error:
        arrived, cleaned = np.full(TILE, 255, np.uint8), np.full(TILE, 255, np.uint8)
        cv2.putText(cleaned, error.reason, (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 2)
    return np.hstack([_tile(arrived), _tile(cleaned)])


def _tile(pixels: Pixels) -> Pixels:
    """The picture at its own size, or smaller to fit, on a framed tile; RGB becomes OpenCV's BGR."""
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.ndim == 3 else cv2.COLOR_GRAY2BGR)
    scale = min(TILE[0] / pixels.shape[0], TILE[1] / pixels.shape[1], 1.0)
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE[0] + GAP_PX, TILE[1] + GAP_PX, 3), 225, np.uint8)
    tile[: pixels.shape[0], : pixels.shape[1]] = pixels
    return tile


if __name__ == "__main__":
    main()
