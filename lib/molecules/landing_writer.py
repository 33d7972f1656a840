"""Writes a landing zone laid out as the real collection is: a zip of images in nested folders, captions, layouts."""

import csv
import logging
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lib.errors import SettingsError
from lib.lake.layout_columns import LAYOUT_FILE_SCHEMA
from lib.molecules.drawing_batches import DrawnBatch, DrawnMolecule, draw_batches
from lib.progress import show_progress
from lib.sections.molecules import DrawingSettings

logger = logging.getLogger(__name__)

CAPTIONS_FILE, LAYOUTS_FILE, IMAGES_FILE = "train_labels.csv", "train_layouts.parquet", "train.zip"
LAYOUTS_PER_ROW_GROUP = 8192


def write_landing_zone(settings: DrawingSettings, folder: str) -> int:
    """Draw molecules into `folder` (a path or URL) and return how many.

    Files that are there already are replaced, each at once and only when all are complete: images last, so that they
    never lack captions. They are built on local disk first, since a zip is not written from end to end and volumes and
    object stores take nothing else. Raises SettingsError if no molecule can be drawn.
    """
    with tempfile.TemporaryDirectory(prefix="drawings-") as built:
        num_drawings = _build(Path(built), settings)
        if not num_drawings:
            raise SettingsError(f"drawing.smiles_file {settings.smiles_file} holds no molecule that can be drawn")
        _publish(Path(built), folder)
    return num_drawings


def path_in_zip(image_id: str) -> str:
    """Where an image lies in the zip: 000011a64c74 in train/0/0/0/000011a64c74.png."""
    return f"train/{image_id[0]}/{image_id[1]}/{image_id[2]}/{image_id}.png"


def _build(folder: Path, settings: DrawingSettings) -> int:
    with (
        closing(draw_batches(settings)) as batches,
        closing(_DrawingWriter(folder)) as writer,
        show_progress("draw_molecules", settings.num_drawings, "drawings") as line,
    ):
        num_drawings = 0
        for drawings in _distinct(batches, settings):
            writer.write(drawings)
            num_drawings += len(drawings)
            line.advance(len(drawings))
    return num_drawings


def _distinct(batches: Iterable[DrawnBatch], settings: DrawingSettings) -> Iterator[list[DrawnMolecule]]:
    """The drawings of each batch that no earlier one had, until there are as many as asked for."""
    seen: set[str] = set()
    num_unreadable = num_unsuitable = num_repeated = 0
    for batch in batches:
        num_unreadable += batch.num_unreadable
        num_unsuitable += batch.num_unsuitable
        fresh = {drawing.image_id: drawing for drawing in batch.drawings if drawing.image_id not in seen}
        num_repeated += len(batch.drawings) - len(fresh)
        drawings = list(fresh.values())[: settings.num_drawings - len(seen)]
        seen.update(drawing.image_id for drawing in drawings)
        yield drawings
        if len(seen) == settings.num_drawings:
            break
    reasons = {
        "lines that are not SMILES": num_unreadable,
        "molecules of other sizes, elements or with an InChI that does not come back the same": num_unsuitable,
        "molecules that were drawn before": num_repeated,
    }
    if left_out := [f"{number} {reason}" for reason, number in reasons.items() if number]:
        logger.info("left out: %s", ", ".join(left_out))
    if len(seen) < settings.num_drawings:
        logger.warning(
            "%d drawings asked for, %d molecules found in %s", settings.num_drawings, len(seen), settings.smiles_file
        )


class _DrawingWriter:
    """The three files of a landing zone while they are being written."""

    def __init__(self, folder: Path) -> None:
        self._zip = zipfile.ZipFile(folder / IMAGES_FILE, "w", zipfile.ZIP_STORED)  # PNG is compressed already
        self._captions = (folder / CAPTIONS_FILE).open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._captions, lineterminator="\n")
        self._rows.writerow(["image_id", "InChI"])
        self._layouts = pq.ParquetWriter(folder / LAYOUTS_FILE, LAYOUT_FILE_SCHEMA)
        self._waiting: list[dict[str, object]] = []

    def write(self, drawings: list[DrawnMolecule]) -> None:
        for drawing in drawings:
            # Dated 1980, as zip files begin, so that the same seed gives the same bytes.
            member = zipfile.ZipInfo(path_in_zip(drawing.image_id))
            member.external_attr = 0o644 << 16
            self._zip.writestr(member, drawing.png)
            self._rows.writerow([drawing.image_id, drawing.inchi])
            self._waiting.append({"image_id": drawing.image_id, **drawing.layout._asdict()})
        if len(self._waiting) >= LAYOUTS_PER_ROW_GROUP:
            self._write_layouts()

    def close(self) -> None:
        self._write_layouts()
        self._layouts.close()
        self._captions.close()
        self._zip.close()

    def _write_layouts(self) -> None:
        if self._waiting:
            self._layouts.write_table(pa.Table.from_pylist(self._waiting, LAYOUT_FILE_SCHEMA))
            self._waiting.clear()


def _publish(built: Path, folder: str) -> None:
    """Copy complete files under hidden names that no reader looks at, then rename them."""
    filesystem, root = fsspec.core.url_to_fs(folder)
    filesystem.makedirs(root, exist_ok=True)
    names = (CAPTIONS_FILE, LAYOUTS_FILE, IMAGES_FILE)
    for name in names:
        filesystem.put_file(str(built / name), f"{root}/.{name}.partial")
    for name in names:
        filesystem.mv(f"{root}/.{name}.partial", f"{root}/{name}")
