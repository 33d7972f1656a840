"""How long the review page takes for each page with 100,000 predictions in the table: `python -m bench.review_page`.

A lake is made in a temporary folder, the real server started on it, and each address asked one after another, as one
person would; the first line is the first request after the table has changed.
"""

import argparse
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cv2
import httpx
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from lib.reviewing.image_details import PREDICTION
from lib.reviewing.rejected_images import REJECTED
from lib.reviewing.review_log import COLUMNS
from lib.reviewing.training_history import METRICS

LIMIT_MS = 300
NIGHT = datetime(2026, 1, 1, 2, tzinfo=UTC)
NUM_COMMITS = 10


def main() -> None:
    """Make the lake, ask, print a table, and end with 1 if a page took longer than LIMIT_MS in the median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=100_000)
    parser.add_argument("--reviews", type=int, default=2_000)
    parser.add_argument("--requests", type=int, default=20, help="of each page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_lake(root, arguments.predictions, arguments.reviews)
        is_fast = measure(root, arguments.predictions, arguments.requests)
    sys.exit(0 if is_fast else 1)


def make_lake(root: Path, num_predictions: int, num_reviews: int) -> None:
    """Predictions with captions and alternatives as long as InChIs, their captions, images, and reviews."""
    lot = random.Random(0)

    def text() -> str:
        return "InChI=1S/" + "".join(lot.choices("CHNO0123456789-()/,", k=90))

    _, pixels = cv2.imencode(".png", np.full((200, 400), 255, np.uint8))
    image = pixels.tobytes() + bytes(8_000)  # about as large as a drawing
    for start in range(0, num_predictions, num_predictions // NUM_COMMITS):
        ids = [image_id(number) for number in range(start, start + num_predictions // NUM_COMMITS)]
        references = [text() for _ in ids]
        predictions = {
            "image_id": ids,
            "model_version": ["m1"] * len(ids),
            "caption": [text() for _ in ids],
            "confidence": [lot.random() for _ in ids],
            "is_valid": [lot.random() < 0.95 for _ in ids],
            "alternatives": [[{"caption": text(), "score": -1.0}] * 3 for _ in ids],
            "reference": references,
            "edit_distance": [lot.randrange(60) for _ in ids],
            "similarity": [lot.random() for _ in ids],
            "split": lot.choices(["test", "validation", "train"], k=len(ids)),
            "predicted_at": [NIGHT + timedelta(days=lot.randrange(30)) for _ in ids],
        }
        append(root, "caption_predictions", predictions, PREDICTION)
        captions = {"image_id": ids, "caption_index": [0] * len(ids), "caption": references}
        append(
            root, "captions", captions, {"image_id": pa.string(), "caption_index": pa.int32(), "caption": pa.string()}
        )
        for name in ("images_raw", "images_clean"):
            images = {"image_id": ids, "image": [image] * len(ids)}
            append(root, name, images, {"image_id": pa.string(), "image": pa.binary()})
    reviews = {name: [None] * num_reviews for name in COLUMNS} | {
        "review_id": [f"r{number}" for number in range(num_reviews)],
        "image_id": [image_id(lot.randrange(num_predictions)) for _ in range(num_reviews)],
        "model_version": ["m1"] * num_reviews,
        "verdict": ["accept"] * num_reviews,
        "reviewer": ["anna"] * num_reviews,
        "reviewed_at": [NIGHT + timedelta(seconds=number) for number in range(num_reviews)],
    }
    append(root, "caption_reviews", reviews, COLUMNS)
    make_history(root, num_predictions, lot)


def make_history(root: Path, num_images: int, lot: random.Random) -> None:
    """Rejected images, a fifth as many as there are others, and the reports of twenty trainings."""
    rejected = {name: [f"{name} of {lot.randrange(12)}"] * (num_images // 5) for name in REJECTED} | {
        "reason": lot.choices([f"reason {number}" for number in range(20)], k=num_images // 5),
        "stage": ["clean"] * (num_images // 5),
        "image_id": [image_id(number) for number in range(num_images // 5)],
        "rejected_at": [NIGHT + timedelta(seconds=number) for number in range(num_images // 5)],
    }
    append(root, "images_rejected", rejected, REJECTED)
    numbers = range(20_000)
    metrics = {name: [lot.random() for _ in numbers] for name in METRICS} | {
        "run_id": [f"m{number // 1000}" for number in numbers],
        **{name: [number % 1000 for number in numbers] for name in ("epoch", "step", "num_workers")},
        "reported_at": [NIGHT + timedelta(seconds=number) for number in numbers],
    }
    append(root, "training_metrics", metrics, METRICS)


def image_id(number: int) -> str:
    """The id of the image of that number."""
    return f"{number * 2654435761 % 2**32:08x}"


def append(root: Path, name: str, rows: dict[str, Any], columns: dict[str, pa.DataType]) -> None:
    """One commit."""
    table = pa.table({column: pa.array(rows[column], kind) for column, kind in columns.items()})
    write_deltalake(str(root / name), table, mode="append")


def measure(root: Path, num_predictions: int, num_requests: int) -> bool:
    """Print milliseconds by page; whether all medians are below LIMIT_MS."""
    command = [sys.executable, "-m", "jobs.serve_reviews", "--set", f"storage.root={root}", "--set", "reviewing.port=0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = next(filter(None, (re.search(r"listens at (\S+)", line) for line in server.stderr)))
        with httpx.Client(base_url=found.group(1), timeout=60) as client:
            return print_times(client, num_predictions, num_requests)
    finally:
        server.terminate()
        server.wait()


def print_times(client: httpx.Client, num_predictions: int, num_requests: int) -> bool:
    """Ask every page; the numbers are of the machine as it is, with all that runs beside."""
    ids = [image_id(number) for number in range(0, num_predictions, num_predictions // num_requests)]
    first_ms = milliseconds(client, "/")
    print(f"{'the queue, first request':40} {first_ms:6.0f} ms")
    pages = {
        "the queue": ["/"] * num_requests,
        "the queue, a later page": [f"/?{urlencode({'after_image': one, 'after_model': 'm1'})}" for one in ids],
        "the queue, part of a caption": [f"/?{urlencode({'text': one[:3]})}" for one in ids],
        "the queue, filtered": ["/?reason=far&confidence_to=0.5&state=all"] * num_requests,
        "an image": [f"/image?{urlencode({'image_id': one, 'model_version': 'm1'})}" for one in ids],
        "an image's file": [f"/files/raw?{urlencode({'image_id': one})}" for one in ids],
        "the overview": ["/overview"] * num_requests,
        "a thumbnail": [f"/files/thumbnail?{urlencode({'image_id': one})}" for one in ids],
        "the newest reviews": ["/reviews"] * num_requests,
    }
    medians = {}
    pages["a review, and the image after it"] = pages["an image"]
    for name, addresses in pages.items():
        measured = milliseconds_of_review if name.startswith("a review") else milliseconds
        times = [measured(client, address) for address in addresses]
        medians[name] = statistics.median(times)
        print(f"{name:40} {medians[name]:6.0f} ms in the median, {max(times):6.0f} ms at most")
    return max(medians.values()) < LIMIT_MS


def milliseconds(client: httpx.Client, address: str) -> float:
    """The time from the request to the last byte of its answer."""
    started = time.perf_counter()
    client.get(address).raise_for_status()
    return 1000 * (time.perf_counter() - started)


def milliseconds_of_review(client: httpx.Client, address: str) -> float:
    """The time from sending an image's form to the last byte of the next image's page."""
    shown = client.get(address).text
    form = re.search(r'action="/review">(.*?)</form>', shown, re.DOTALL)
    assert form
    fields = {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)">', form.group(1))}
    started = time.perf_counter()
    client.post("/review", data=fields | {"verdict": "accept"}, follow_redirects=True).raise_for_status()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
