"""Images with known captions that no training saw: drawings by each drawer, and scans with a table of labels."""

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import Draw

from lib.errors import NotationError, SettingsError
from lib.molecules.drawing import draw_molecule
from lib.molecules.drawing_batches import id_of_drawing
from lib.molecules.sources import (
    is_unseen,
    label_molecule,
    parse_smiles,
    read_smiles_file,
    shipped_smiles,
    with_random_stereo,
)
from lib.settings import Settings

STEREO_FRACTION = 0.6  # of molecules that name no stereo, given some: as in the real collection a third has stereo then
DRAWERS = {"collection": "indigo", "rdkit": "rdkit", "coordgen": "coordgen", "free styles": "free"}


class Sample(NamedTuple):
    """An image and what it shows."""

    image_id: str
    inchi: str
    image: bytes  # PNG

    @property
    def has_stereo(self) -> bool:
        """Whether the InChI names the configuration of a centre or of a double bond."""
        return "/t" in self.inchi or "/b" in self.inchi


def unseen_molecules(settings: Settings) -> Iterator[str]:
    """InChIs of molecules that are kept from training, in an order drawn from the seed."""
    yield from (inchi for inchi, _ in unseen_with_inchi(settings))


def unseen_with_inchi(settings: Settings) -> Iterator[tuple[str, Chem.Mol]]:
    """The same with the molecules as their SMILES say them: amides are amides, not what the InChI makes of them."""
    drawing = settings.drawing
    smiles = read_smiles_file(drawing.smiles_file) if drawing.smiles_file else shipped_smiles()
    rng = np.random.default_rng(drawing.seed)
    known = set()
    for index in rng.permutation(len(smiles)).tolist():
        with rdBase.BlockLogs():
            molecule = parse_smiles(smiles[index])
            if molecule is None or not is_unseen(Chem.MolToInchi(molecule)):  # type: ignore[no-untyped-call]
                continue
            if rng.random() < STEREO_FRACTION:
                molecule = with_random_stereo(molecule, rng)
            inchi = label_molecule(molecule, drawing.min_heavy_atoms, drawing.max_heavy_atoms)
        if inchi is not None and inchi not in known:
            known.add(inchi)
            yield inchi, molecule


def drawn_samples(settings: Settings, drawer: str) -> Iterator[Sample]:
    """Drawings of unseen molecules by one drawer, worn as the settings say."""
    drawing = settings.drawing.model_copy(update={"drawers": {drawer: 1.0}})
    for inchi in unseen_molecules(settings):
        image_id = id_of_drawing(inchi, drawing.seed)
        try:
            pixels = draw_molecule(inchi, drawing, np.random.default_rng(int(image_id, 16))).pixels
        except NotationError:
            continue
        yield Sample(image_id, inchi, cv2.imencode(".png", pixels)[1].tobytes())


def plain_samples(settings: Settings) -> Iterator[Sample]:
    """Drawings of unseen molecules as RDKit's MolToImage makes them for anyone: in colour and not worn."""
    for inchi, molecule in unseen_with_inchi(settings):
        png = io.BytesIO()
        Draw.MolToImage(molecule).save(png, "PNG")
        yield Sample(id_of_drawing(inchi, settings.drawing.seed), inchi, png.getvalue())


def scanned_samples(folder: Path) -> list[Sample]:
    """The images of a folder that its labels.csv (image_id, InChI) names. Raises SettingsError if there is none."""
    labels = folder / "labels.csv"
    if not labels.is_file():
        raise SettingsError(f"{folder} has no labels.csv with the columns image_id and InChI")
    paths = {path.stem: path for path in folder.iterdir() if path.suffix.lower() in (".png", ".tif", ".tiff", ".jpg")}
    with labels.open(newline="") as lines:
        rows = [(row["image_id"], row["InChI"]) for row in csv.DictReader(lines)]
    rows = [row for row in rows if row[0] in paths]
    # In an order that says nothing of the images, so that the first few stand for all.
    rows.sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return [Sample(image_id, inchi, paths[image_id].read_bytes()) for image_id, inchi in rows]
