"""Cleaning, images per second on one core, beside the textbook's cleaning in the same run.

`python -m bench.cleaning_speed [--num-drawings 500]`
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import islice

import cv2
import numpy as np

from lib.images.cleaning import clean_image, decode_png, encode_png
from lib.molecules.drawing_batches import draw_batches
from lib.sections.images import CleaningSettings
from lib.settings import load_settings

PUBLISHED_PER_SECOND = 2_500_000 / (6 * 3600)  # a published pipeline: 2.5 M drawings in 6 hours, cluster undisclosed


def main() -> None:
    """Draw, clean in both ways by turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=500, help="drawings to clean (default: %(default)s)")
    num_drawings = parser.parse_args().num_drawings
    settings = load_settings("molecules", "local", [f"drawing.num_drawings={num_drawings}", "drawing.num_processes=1"])
    drawings = (drawing.png for batch in draw_batches(settings.drawing) for drawing in batch.drawings)
    images = list(islice(drawings, num_drawings))

    ways = {
        "ours": partial(clean, settings=settings.cleaning),
        "textbook": partial(textbook_clean, settings=settings.cleaning),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):  # by turns, so that a busy moment of the machine meets both
        for name, way in ways.items():
            rates[name].append(per_second(way, images))
    ours, textbook = np.median(rates["ours"]), np.median(rates["textbook"])
    print(f"cleaning {len(images)} drawings, one core, images per second (median of 5 runs)")
    print(f"  ours                                               {ours:8.0f}")
    print(
        f"  textbook: median blur, closing, resize             {textbook:8.0f}   "
        f"ours / textbook = {ours / textbook:.2f}"
    )
    print(
        f"  published, whole cluster of undisclosed size       {PUBLISHED_PER_SECOND:8.0f}   "
        f"one core of ours / all of theirs = {ours / PUBLISHED_PER_SECOND:.2f}"
    )


def per_second(way: Callable[[bytes], bytes], images: list[bytes]) -> float:
    """Images per second of one way of cleaning."""
    started = time.perf_counter()
    for image in images:
        way(image)
    return len(images) / (time.perf_counter() - started)


def clean(image: bytes, settings: CleaningSettings) -> bytes:
    """Our cleaning, from the bytes that arrived to the bytes that are stored."""
    return encode_png(clean_image(image, settings).pixels)


def textbook_clean(image: bytes, settings: CleaningSettings) -> bytes:
    """What tutorials do: blur specks away, close gaps with a square, scale to the canvas whatever the shape."""
    pixels = decode_png(image)
    pixels = cv2.medianBlur(pixels, 3)
    pixels = 255 - cv2.morphologyEx(255 - pixels, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return encode_png(cv2.resize(pixels, (settings.canvas_width_px, settings.canvas_height_px)))


if __name__ == "__main__":
    main()
