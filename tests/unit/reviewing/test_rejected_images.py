"""Rejected images by reason with their newest examples, and thumbnails of whatever they are."""

from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.lake_figures import LakeFigures
from lib.reviewing.rejected_images import Example, Rejected
from lib.reviewing.thumbnails import MAX_HEIGHT_PX, MAX_WIDTH_PX
from tests.unit.reviewing.review_page import ReviewPage
from tests.unit.reviewing.reviewed_lake import NIGHT, image, write


def reject(root: Path, *images: tuple[str, str], stage: str = "clean") -> None:
    rows = [
        {
            "image_id": image_id,
            "stage": stage,
            "reason": reason,
            "detail": f"seen in {image_id}",
            "rejected_at": NIGHT + timedelta(minutes=number),
        }
        for number, (image_id, reason) in enumerate(images)
    ]
    write(root, "images_rejected", rows)


def test_reasons_come_with_their_newest_images(tmp_path: Path) -> None:
    reject(tmp_path, ("empty", "empty_file"), *((f"b{number}", "blank_image") for number in range(6)))
    found = LakeFigures(DeltaRows(str(tmp_path))).rejected.newest()
    newest = tuple(Example(f"b{number}", f"seen in b{number}") for number in (5, 4, 3, 2))
    assert found == [
        Rejected("clean", "blank_image", 6, newest),
        Rejected("clean", "empty_file", 1, (Example("empty", "seen in empty"),)),
    ]


def test_images_that_are_there_are_shown_and_others_are_named(tmp_path: Path) -> None:
    reject(tmp_path, ("here", "blank_image"), ("gone <b>", "blank_image"))
    write(tmp_path, "images_raw", [{"image_id": "here", "image": image("x")}, {"image_id": "other", "image": b""}])
    shown = ReviewPage(tmp_path).get("/overview").text
    assert 'src="/files/thumbnail?image_id=here" alt="Rejected as blank_image: here"' in shown
    assert "gone &lt;b&gt;" in shown
    assert shown.count("/files/thumbnail") == 1
    reject(tmp_path, ("here", "duplicate_image_id"), ("other", "duplicate_image_id"), stage="ingest")
    again = ReviewPage(tmp_path).get("/overview").text
    assert "duplicate_image_id" in again
    assert again.count("/files/thumbnail") == 1  # the image of that name in images_raw is the one that was kept


@pytest.mark.parametrize("size", [(3000, 40), (40, 3000), (20, 30), (1, 1)])
def test_a_thumbnail_is_small_whatever_the_image_is(tmp_path: Path, size: tuple[int, int]) -> None:
    _, content = cv2.imencode(".tif", np.full(size, 200, np.uint8))
    write(tmp_path, "images_raw", [{"image_id": "a", "image": content.tobytes()}])
    answer = ReviewPage(tmp_path).get("/files/thumbnail", image_id="a")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    height, width = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED).shape[:2]
    assert 1 <= height <= MAX_HEIGHT_PX
    assert 1 <= width <= MAX_WIDTH_PX


@pytest.mark.parametrize("content", [b"", b"GARBAGE", b"\x89PNG\r\n\x1a\n" + b"x" * 30, b"<svg onload=alert(1)>"])
def test_an_image_that_cannot_be_decoded_has_a_sign_instead(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "images_raw", [{"image_id": "a", "image": content}])
    page = ReviewPage(tmp_path)
    answer = page.client.get("/files/thumbnail?image_id=a", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/static/no_image.svg")
    assert page.client.get(answer.headers["location"]).headers["content-type"] == "image/svg+xml"
    assert page.get("/files/thumbnail", image_id="b").status_code == 404


def test_a_thumbnail_follows_its_image(tmp_path: Path) -> None:
    write(tmp_path, "images_raw", [{"image_id": "a", "image": image("x")}])
    page = ReviewPage(tmp_path)
    before = page.get("/files/thumbnail", image_id="a").content
    write(tmp_path, "images_raw", [{"image_id": "a", "image": image("other")}], mode="overwrite")
    assert page.get("/files/thumbnail", image_id="a").content != before
