"""Batches of drawings: what one process draws in one go. A batch is the same whichever process draws it, and when.

Kept free of heavy imports: worker processes start by importing this file.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import count, islice
from typing import NamedTuple

import cv2
import numpy as np
from rdkit import Chem, rdBase

from lib.errors import CaptionlakeError
from lib.molecules.drawing import draw_molecule
from lib.molecules.layout import Layout
from lib.molecules.sources import (
    is_unseen,
    label_molecule,
    parse_smiles,
    read_smiles_file,
    recombine,
    shipped_smiles,
    with_heavy_hydrogen,
    with_random_stereo,
)
from lib.sections.molecules import DrawingSettings

BATCH_SIZE = 32  # molecules; part of what a seed means, so changing it changes every landing zone
BATCHES_AHEAD = 3  # per process, so that none waits for work and little is drawn in vain at the end
ID_DIGITS = 12


class MoleculeBatch(NamedTuple):
    """Molecules to draw: given ones and a number of recombined ones. `number` seeds what is left to chance."""

    number: int
    smiles: tuple[str, ...]
    num_recombined: int


class DrawnMolecule(NamedTuple):
    """A drawing ready to be written."""

    image_id: str
    inchi: str
    png: bytes
    layout: Layout


class DrawnBatch(NamedTuple):
    """The drawings of a batch, in its order, and how many of its molecules gave none."""

    drawings: list[DrawnMolecule]
    num_unreadable: int  # lines that are no SMILES
    num_unsuitable: int  # molecules that `label_molecule` refuses


def plan_molecules(settings: DrawingSettings) -> Iterator[MoleculeBatch]:
    """Batches in the order they are to be written: from the SMILES file until it ends, otherwise without end.

    The molecules come in an order drawn from the seed. Raises SettingsError if the file cannot be used.
    """
    smiles = read_smiles_file(settings.smiles_file) if settings.smiles_file else shipped_smiles()
    order = iter(np.random.default_rng(settings.seed).permutation(len(smiles)).tolist())
    num_given = BATCH_SIZE if settings.smiles_file else round(BATCH_SIZE * (1 - settings.recombined_fraction))
    for number in count():
        given = tuple(smiles[index] for index in islice(order, num_given))
        if settings.smiles_file and not given:
            return
        yield MoleculeBatch(number, given, 0 if settings.smiles_file else BATCH_SIZE - len(given))


def draw_batch(batch: MoleculeBatch, settings: DrawingSettings) -> DrawnBatch:
    """Draw the molecules of one batch that can be drawn."""
    rng = np.random.default_rng([settings.seed, batch.number])
    with rdBase.BlockLogs():
        parsed = [parse_smiles(smiles) for smiles in batch.smiles]
        molecules = [molecule for molecule in parsed if molecule is not None]
        num_unreadable = len(parsed) - len(molecules)
        molecules += recombine(batch.num_recombined, rng)
        if not settings.smiles_file:
            molecules = [
                with_random_stereo(molecule, rng) if rng.random() < settings.stereo_fraction else molecule
                for molecule in molecules
            ]
            molecules = [
                with_heavy_hydrogen(molecule, rng) if rng.random() < settings.isotope_fraction else molecule
                for molecule in molecules
            ]
        drawings = [drawn for molecule in molecules if (drawn := _draw(molecule, settings)) is not None]
    return DrawnBatch(drawings, num_unreadable, len(molecules) - len(drawings))


def draw_batches(settings: DrawingSettings) -> Generator[DrawnBatch, None, None]:
    """Draw batch after batch in as many processes as the settings say; closing the iterator ends them.

    Raises CaptionlakeError if a process dies, which RDKit can bring about with some molecules.
    """
    num_processes = settings.num_processes or os.cpu_count() or 1
    batches = plan_molecules(settings)
    if num_processes == 1:
        yield from (draw_batch(batch, settings) for batch in batches)
        return
    # Not forked: threads (a progress bar's, OpenCV's) do not survive a fork.
    pool = ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn"), initializer=begin_worker)
    ahead: deque[tuple[MoleculeBatch, Future[DrawnBatch]]] = deque()
    try:
        while True:
            for batch in islice(batches, num_processes * BATCHES_AHEAD - len(ahead)):
                ahead.append((batch, pool.submit(draw_batch, batch, settings)))
            if not ahead:
                return
            batch, future = ahead.popleft()
            yield future.result()
    except BrokenProcessPool:
        raise CaptionlakeError(
            f"a process that draws molecules died at batch {batch.number} or soon after it (of "
            f"{batch.smiles[0] if batch.smiles else 'recombined molecules'}, ...): RDKit can crash on some molecules"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def id_of_drawing(inchi: str, seed: int) -> str:
    """The name of the image of a molecule: 12 hexadecimal digits."""
    return hashlib.blake2b(f"{seed}:{inchi}".encode()).hexdigest()[:ID_DIGITS]


def _draw(molecule: Chem.Mol, settings: DrawingSettings) -> DrawnMolecule | None:
    inchi = label_molecule(molecule, settings.min_heavy_atoms, settings.max_heavy_atoms)
    if inchi is None or (settings.only_unseen and not is_unseen(inchi)):
        return None
    image_id = id_of_drawing(inchi, settings.seed)
    pixels, layout = draw_molecule(inchi, settings, np.random.default_rng(int(image_id, 16)))
    is_encoded, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_BILEVEL, 1])
    assert is_encoded, image_id
    return DrawnMolecule(image_id, inchi, png.tobytes(), layout)


def begin_worker() -> None:
    """Prepare a process that draws: one thread, deaf to Ctrl-C, and ending with its parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, workers of a parent that was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
