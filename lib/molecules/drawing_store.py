"""Clean drawings as packed bits with what their drawer knows, in Arrow files that training maps into memory.

Drawing costs as much as learning, so each molecule is drawn once; wear, turns and shifts come when a batch is made.
A stored drawing is cropped to its ink and is as cleaning leaves one: not higher than wide, and without wide strokes.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rdkit import Chem, rdBase

from lib.errors import NotationError, SettingsError
from lib.fingerprints import fingerprint
from lib.images.geometry import is_sideways
from lib.images.hashes import sparser_hashes
from lib.images.strokes import typical_stroke_length
from lib.images.thinning import thin_if_wide
from lib.molecules.drawing import choose_drawer, draw_unworn
from lib.molecules.drawing_batches import begin_worker
from lib.molecules.drawing_marks import mark_labels, mark_positions
from lib.molecules.drawing_noise import INK, PAPER
from lib.molecules.layout import Drawing, turn
from lib.molecules.smiles import write_smiles
from lib.molecules.sources import (
    is_unseen,
    label_molecule,
    parse_smiles,
    read_smiles_file,
    shipped_smiles,
    with_heavy_hydrogen,
    with_random_group,
    with_random_stereo,
)
from lib.progress import show_progress
from lib.sections.images import CleaningSettings
from lib.sections.molecules import DrawingSettings
from model.whole_writes import written_whole

NOTATION = "smiles_drawn_kekule"  # of the tokens kept
DRAWINGS_PER_SHARD = 1024
SPARSER_FRACTION = 0.5  # of the drawings have hashes made sparser, as cleaning does with those that are not worn
MAX_GROUPS = 4  # that are put on a molecule
THINNED_INK_BELOW = 160  # grey level of a pixel of which three eighths are ink
ORIENTATIONS_DEG: tuple[Literal[0, 180], ...] = (0, 180)  # in which cleaning can leave a drawing

SCHEMA = pa.schema(
    [
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("bond_length", pa.float32()),  # in pixels
        ("bits", pa.binary()),  # rows of the image one after another, eight pixels a byte, 1 = ink, padded at the end
        ("positions_xy", pa.list_(pa.float32())),  # x, y of each mark in pixels: atoms in the InChI's order, then bonds
        ("labels", pa.binary()),  # of each mark, len(LABELS) bytes of 0 or 1
        ("bonds", pa.list_(pa.int16())),  # the two atoms of each bond
        *((f"tokens_{turn_deg}", pa.string()) for turn_deg in ORIENTATIONS_DEG),  # separated by spaces
        *((f"atoms_{turn_deg}", pa.list_(pa.int16())) for turn_deg in ORIENTATIONS_DEG),  # that each token names, or -1
    ]
)


class StoredDrawing(NamedTuple):
    """A drawing as it was made, without wear, turned by 0 degrees."""

    ink: np.ndarray  # (H, W) bool
    positions_xy: np.ndarray  # (M, 2) float32
    labels: np.ndarray  # (M, L) uint8
    bonds: np.ndarray  # (B, 2) int16


class DrawingStore:
    """The shards of a folder, read where they lie. Raises SettingsError if they hold no drawing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        paths = sorted(folder.glob("*.arrow"))
        self._batches = [
            batch for path in paths for batch in pa.ipc.open_file(pa.memory_map(str(path))).read_all().to_batches()
        ]
        if not self._batches:
            raise SettingsError(f"no drawings in {folder}: it is another folder, or no molecule could be drawn")
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._folder,)  # another process reads the files itself

    def __len__(self) -> int:
        return int(self._starts[-1])

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Height and width of each drawing at one scale (N,), in lengths of its bonds."""
        lengths = np.concatenate([batch["bond_length"].to_numpy() for batch in self._batches])
        heights, widths = (
            np.concatenate([batch[name].to_numpy() for batch in self._batches]) for name in ("height", "width")
        )
        return heights / lengths, widths / lengths

    def lengths(self) -> np.ndarray:
        """Number of tokens of each drawing's caption (N,)."""
        lengths = [pc.list_value_length(batch["atoms_0"]).to_numpy(zero_copy_only=False) for batch in self._batches]
        return np.concatenate(lengths)

    def drawing(self, index: int) -> StoredDrawing:
        """The drawing of that index."""
        batch, row = self._find(index)
        height, width = batch["height"][row].as_py(), batch["width"][row].as_py()
        bits = np.frombuffer(batch["bits"][row].as_buffer(), np.uint8)
        positions_xy = _floats(batch["positions_xy"], row).reshape(-1, 2)
        labels = np.frombuffer(batch["labels"][row].as_buffer(), np.uint8).reshape(len(positions_xy), -1)
        ink = np.unpackbits(bits, count=height * width).reshape(height, width).view(bool)
        return StoredDrawing(ink, positions_xy, labels, _floats(batch["bonds"], row).reshape(-1, 2))

    def writing(self, index: int, turn_deg: int) -> tuple[list[str], np.ndarray]:
        """The tokens of a drawing turned by so many degrees, and the mark (T,) that each names, -1 for none."""
        batch, row = self._find(index)
        return batch[f"tokens_{turn_deg}"][row].as_py().split(" "), _floats(batch[f"atoms_{turn_deg}"], row)

    def _find(self, index: int) -> tuple[pa.RecordBatch, int]:
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._batches[shard], index - int(self._starts[shard])


def _floats(column: pa.ListArray, row: int) -> np.ndarray:
    values: np.ndarray = column[row].values.to_numpy(zero_copy_only=False)
    return values


def fill_store(folder: Path, settings: DrawingSettings, cleaning: CleaningSettings) -> None:
    """Draw the molecules of drawing.smiles_file (or RDKit's own), drawing.num_drawings at most, that are not there yet.

    Killed and called again, it goes on with the next shard. Raises SettingsError if the folder holds other drawings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    not_of_a_drawing = {"num_drawings", "num_processes", "smiles_file"}
    described = {
        "drawing": settings.model_dump(mode="json", exclude=not_of_a_drawing),
        "thinning": [cleaning.thin_from, cleaning.thin_to],
    }
    about = folder / "about.json"
    if about.is_file() and about.read_text() != json.dumps(described):
        raise SettingsError(
            f"{folder} holds drawings made with other settings of drawing (or cleaning.thin_from, thin_to): "
            "remove it or name another"
        )
    with written_whole(about) as file:
        file.write_text(json.dumps(described))
    smiles = read_smiles_file(settings.smiles_file) if settings.smiles_file else shipped_smiles()
    order = np.random.default_rng(settings.seed).permutation(len(smiles))[: settings.num_drawings].tolist()
    shards = [order[start : start + DRAWINGS_PER_SHARD] for start in range(0, len(order), DRAWINGS_PER_SHARD)]
    names = [f"{number:05d}-{fingerprint([smiles[index] for index in shard])}" for number, shard in enumerate(shards)]
    for stale in folder.glob("*.arrow"):  # of other molecules, or another number of them
        if stale.stem not in names:
            stale.unlink()
    for torn in folder.glob(".*.written"):  # by a call that was killed
        torn.unlink()
    missing = [
        (folder / f"{name}.arrow", [smiles[index] for index in shard])
        for name, shard in zip(names, shards, strict=True)
        if not (folder / f"{name}.arrow").is_file()
    ]
    if not missing:
        return
    # Not forked: threads (OpenCV's, a progress bar's) do not survive a fork.
    pool = ProcessPoolExecutor(
        settings.num_processes or os.cpu_count() or 1, multiprocessing.get_context("spawn"), initializer=begin_worker
    )
    try:
        with show_progress("draw", sum(len(shard) for _, shard in missing)) as line:
            num_done = 0
            for count in pool.map(_write_shard, *zip(*missing, strict=True), repeat(settings), repeat(cleaning)):
                num_done += count
                line.update(num_done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():  # who is told to stop does not wait for shards that are begun
            child.terminate()


def _write_shard(path: Path, smiles: list[str], settings: DrawingSettings, cleaning: CleaningSettings) -> int:
    rng = np.random.default_rng([settings.seed, int(path.name[:5])])
    with rdBase.BlockLogs():
        rows = [row for text in smiles if (row := _row(text, settings, cleaning, rng)) is not None]
    with written_whole(path) as written, pa.ipc.new_file(str(written), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, SCHEMA))
    return len(smiles)


def _row(
    smiles: str, settings: DrawingSettings, cleaning: CleaningSettings, rng: np.random.Generator
) -> dict[str, object] | None:
    """A molecule drawn, as a row of SCHEMA; None for one that is held out or cannot be drawn and written."""
    molecule = parse_smiles(smiles)
    drawer = choose_drawer(settings, rng)
    if molecule is None or is_unseen(Chem.MolToInchi(molecule)):
        return None
    for _ in range(MAX_GROUPS):
        if rng.random() >= settings.group_fraction:
            break
        molecule = with_random_group(molecule, rng)
    if rng.random() < settings.stereo_fraction:
        # RDKit draws a double bond without a configuration like one that has it: there only centres can be told apart.
        molecule = with_random_stereo(molecule, rng, centres_alone=drawer != "indigo")
    if rng.random() < settings.isotope_fraction:
        molecule = with_heavy_hydrogen(molecule, rng)
    inchi = label_molecule(molecule, settings.min_heavy_atoms, settings.max_heavy_atoms)
    if inchi is None or is_unseen(inchi):
        return None
    try:
        drawing, bond_length_px, _ = draw_unworn(inchi, drawer, settings, rng)
        drawing = as_cleaned(drawing, cleaning, rng.random() < SPARSER_FRACTION)
        if is_sideways(drawing.pixels):
            drawing = turn(drawing, is_clockwise=True)
        left, top, width, height = cv2.boundingRect((drawing.pixels == 0).view(np.uint8))
        ink = drawing.pixels[top : top + height, left : left + width] == 0
        layout = drawing.layout._replace(atom_x=drawing.layout.atom_x - left, atom_y=drawing.layout.atom_y - top)
        positions_xy, labels = mark_positions(layout), mark_labels(inchi, layout)
        writings = {turn_deg: write_smiles(inchi, layout, True, turn_deg) for turn_deg in ORIENTATIONS_DEG}
    except NotationError:
        return None
    return {
        "height": height,
        "width": width,
        "bond_length": bond_length_px,
        "bits": np.packbits(ink).tobytes(),
        "positions_xy": positions_xy.ravel(),
        "labels": labels.tobytes(),
        "bonds": np.stack((layout.bond_begin, layout.bond_end), axis=1).ravel().astype(np.int16),
        **{f"tokens_{turn_deg}": " ".join(writing.tokens) for turn_deg, writing in writings.items()},
        **{f"atoms_{turn_deg}": writing.marks for turn_deg, writing in writings.items()},
    }


def as_cleaned(drawing: Drawing, cleaning: CleaningSettings, has_sparser_hashes: bool) -> Drawing:
    """The drawing with strokes made thin that cleaning makes thin even where they are worn; as large as it was."""
    length = typical_stroke_length(drawing.pixels) if cleaning.thin_from else None
    if not length:
        return drawing
    pixels = sparser_hashes(drawing.pixels, length) if has_sparser_hashes else drawing.pixels
    pixels = thin_if_wide(pixels, length, is_worn=True, settings=cleaning)
    if pixels.shape != drawing.pixels.shape:
        height, width = drawing.pixels.shape
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        pixels = np.where(pixels < THINNED_INK_BELOW, INK, PAPER).astype(np.uint8)
    return drawing._replace(pixels=pixels)


def all_tokens(store: DrawingStore) -> Iterator[str]:
    """Every token of every writing of the store."""
    for index in range(len(store)):
        for turn_deg in ORIENTATIONS_DEG:
            yield from store.writing(index, turn_deg)[0]
