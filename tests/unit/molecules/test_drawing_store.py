"""Drawings kept and worn to train on: `pytest tests/unit/molecules/test_drawing_store.py`."""

import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rdkit import Chem

from lib.errors import NotationError, SettingsError
from lib.images.cleaning import clean_image, encode_png
from lib.images.strokes import stroke_width, typical_stroke_length
from lib.images.wear_removal import mend_strokes
from lib.molecules import drawing_feed, drawing_store
from lib.molecules.drawing import draw_molecule
from lib.molecules.drawing_feed import DrawingFeed
from lib.molecules.drawing_marks import LABELS, mark_labels, mark_positions
from lib.molecules.drawing_store import MAX_GROUPS, DrawingStore, all_tokens, as_cleaned, fill_store
from lib.molecules.drawing_training import publish, train_on_drawings
from lib.molecules.drawing_wear import mend_sheets, shrink_sheets, turn_sheets, worn_batch
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import free_style
from lib.molecules.indigo_drawing import lay_out_with_indigo
from lib.molecules.layout import Layout
from lib.molecules.rdkit_drawing import lay_out_with_rdkit
from lib.molecules.smiles import inchi_of_smiles
from lib.molecules.sources import is_unseen
from lib.settings import Settings, load_settings
from model.batches import Batch
from model.checkpoint import has_checkpoint, load_provenance, load_training_state
from model.training_loop import TrainingState
from model.vocabulary import Vocabulary
from model.workers import Worker
from tests.unit.molecules.drawn_molecules import SMILES as FORTY

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "Clc1ccncc1",
    "CCN(CC)CC",
    "O=C1CCCCC1",
    "C#CCO",
    "CC(C)CBr",
    "c1ccc2ccccc2c1",
]


def settings(tmp_path: Path, *overrides: str) -> Settings:
    (tmp_path / "molecules.smi").write_text("\n".join(SMILES))
    paths = [f"{key}={tmp_path}" for key in ("landing.path", "storage.root")]
    return load_settings(
        "molecules",
        "local",
        [
            *paths,
            f"drawing.smiles_file={tmp_path}/molecules.smi",
            "drawing.num_processes=1",
            "drawing.isotope_fraction=0",
            *overrides,
        ],
    )


def fill(folder: Path, asked: Settings) -> None:
    fill_store(folder, asked.drawing, asked.cleaning)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    fill(folder / "drawings", settings(folder))
    return folder


def clean_batch(store: DrawingStore, folder: Path, *overrides: str) -> Batch:
    """Every drawing of the store without wear."""
    nothing = [
        f"wear.{name}=0"
        for name in (
            "dropped_bond_fraction",
            "cleaned_fraction",
            "whole_fraction",
            "upside_down_fraction",
            "turned_fraction",
            "thick_fraction",
            "blurred_fraction",
        )
    ]
    ranges = ["wear.missing_pixel_fraction=[0, 0]", "wear.speck_density=[0, 0]", "wear.scale=[1, 1]"]
    asked = settings(folder, *nothing, *ranges, *overrides)
    vocabulary = Vocabulary.from_tokens(all_tokens(store))
    indices = range(len(store))
    return worn_batch(store, indices, vocabulary, asked.wear, asked.cleaning, seed=3, device=torch.device("cpu"))


@pytest.mark.parametrize(("drawers", "bonds"), [("{indigo: 0, rdkit: 1}", set()), ("{indigo: 1}", {"/", "\\"})])
def test_what_names_no_configuration_is_given_one_in_the_fraction_asked_for_where_the_drawer_shows_it(
    tmp_path: Path, drawers: str, bonds: set[str]
) -> None:
    (tmp_path / "centres.smi").write_text("CCC(C)O\n" * 12 + "CCC=CCO\n" * 12)
    for fraction, expected in ((0, set()), (1, {"[C@H]", "[C@@H]"} | bonds)):
        folder = tmp_path / str(fraction)
        overrides = (f"drawing.smiles_file={tmp_path}/centres.smi", f"drawing.stereo_fraction={fraction}")
        fill(folder, settings(tmp_path, *overrides, f"drawing.drawers={drawers}"))
        tokens = set(all_tokens(DrawingStore(folder)))
        assert tokens - {"O", "(", ")", "=", "C"} == expected


def test_molecules_get_a_group_in_the_fraction_asked_for(tmp_path: Path) -> None:
    (tmp_path / "naphthalene.smi").write_text("c1ccc2ccccc2c1\n" * 40)
    written = {}
    for fraction in (0, 1):
        overrides = f"drawing.smiles_file={tmp_path}/naphthalene.smi", f"drawing.group_fraction={fraction}"
        fill(tmp_path / str(fraction), settings(tmp_path, *overrides, "drawing.stereo_fraction=0"))
        store = DrawingStore(tmp_path / str(fraction))
        written[fraction] = {"".join(store.writing(index, 0)[0]) for index in range(len(store))}
    assert len({inchi_of_smiles(text) for text in written[0]}) == 1
    assert len({inchi_of_smiles(text) for text in written[1]}) > 15
    num_atoms = [Chem.MolFromSmiles(text).GetNumAtoms() for text in written[1]]
    assert min(num_atoms) >= 10 + MAX_GROUPS


def test_wide_strokes_are_stored_as_thin_as_cleaning_makes_them(tmp_path: Path) -> None:
    widths = []
    for thin_from in (0, 0.055):
        overrides = ("drawing.drawers={indigo: 0, rdkit: 1}", "drawing.line_width_px=4", "drawing.reduced_fraction=0")
        folder = tmp_path / str(thin_from)
        fill(folder, settings(tmp_path, *overrides, f"cleaning.thin_from={thin_from}"))
        store = DrawingStore(folder)
        drawings = [store.drawing(index) for index in range(len(store))]
        widths.append(np.mean([stroke_width(np.where(one.ink, 0, 255).astype(np.uint8)) for one in drawings]))
        for one in drawings:
            near = cv2.dilate(one.ink.astype(np.uint8), np.ones((15, 15), np.uint8))
            columns, rows = np.rint(one.positions_xy).astype(int).T
            assert near[rows.clip(0, len(near) - 1), columns.clip(0, near.shape[1] - 1)].all()
    assert widths[1] < 0.6 * widths[0]


def test_molecules_get_heavy_hydrogen_in_the_fraction_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "drawings", settings(tmp_path, "drawing.isotope_fraction=1"))
    store = DrawingStore(tmp_path / "drawings")
    written = ["".join(store.writing(index, 0)[0]) for index in range(len(store))]
    assert all("[2H]" in text or "[3H]" in text for text in written)


def test_a_molecule_that_is_kept_from_training_is_not_drawn_with_another_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Chem.MolToInchi(Chem.MolFromSmiles("CCC(C)O"))
    monkeypatch.setattr(drawing_store, "is_unseen", lambda inchi: inchi == kept)
    asked, rng = settings(tmp_path, "drawing.stereo_fraction=1"), np.random.default_rng(0)
    rows = [drawing_store._row(smiles, asked.drawing, asked.cleaning, rng) for smiles in ("CCC(C)O", "CCC(C)N")]
    assert [row is None for row in rows] == [True, False]


def test_a_store_keeps_every_molecule_once_and_goes_on_where_it_stopped(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    written = {inchi_of_smiles("".join(store.writing(index, 0)[0])) for index in range(len(store))}
    assert written == {inchi for text in SMILES if not is_unseen(inchi := inchi_of_smiles(text))}
    before = [path.stat().st_mtime_ns for path in sorted((folder / "drawings").glob("*.arrow"))]
    fill(folder / "drawings", settings(folder))
    assert [path.stat().st_mtime_ns for path in sorted((folder / "drawings").glob("*.arrow"))] == before


def test_drawings_of_other_settings_are_not_mixed_in(folder: Path) -> None:
    with pytest.raises(SettingsError, match="holds drawings made with other settings"):
        fill(folder / "drawings", settings(folder, "drawing.line_width_px=2"))


def test_settings_of_drawings_that_were_torn_while_they_were_written_are_others(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "drawings", tmp_path / "torn")
    about = tmp_path / "torn" / "about.json"
    about.write_text(about.read_text()[:20])
    with pytest.raises(SettingsError, match="holds drawings made with other settings"):
        fill(tmp_path / "torn", settings(folder))


def test_a_model_takes_no_ones_place_where_no_drawing_was_kept_back_to_compare(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"those of the model there")
    with pytest.raises(SettingsError, match="has 8 drawings, too few to compare the model"):
        publish(tmp_path / "made", tmp_path, folder, settings(folder))


@pytest.mark.parametrize("has_coordgen_layout", [False, True])
def test_layouts_are_in_lengths_of_a_bond(has_coordgen_layout: bool) -> None:
    layout = lay_out_with_rdkit("InChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H", has_coordgen_layout)
    ends = np.stack((layout.atom_x, layout.atom_y), axis=1)
    lengths = np.linalg.norm(ends[layout.bond_begin] - ends[layout.bond_end], axis=1)
    assert lengths == pytest.approx(1.0, abs=0.02)


def test_both_orientations_are_the_same_molecule_in_another_order(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    indices = range(len(store))
    upright, upside_down = (["".join(store.writing(index, turn)[0]) for index in indices] for turn in (0, 180))
    assert upright != upside_down
    assert [inchi_of_smiles(text) for text in upright] == [inchi_of_smiles(text) for text in upside_down]


@pytest.fixture(scope="module", params=["indigo", "rdkit", "coordgen"])
def drawn_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DrawingStore:
    """The forty molecules, stereo and all, those that a drawer would draw higher than wide turned."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "forty.smi").write_text("\n".join(FORTY))
    drawers = {"indigo": 0} | {request.param: 1}
    overrides = f"drawing.smiles_file={folder}/forty.smi", f"drawing.drawers={drawers}"
    fill(folder / "drawings", settings(folder, *overrides, "drawing.min_heavy_atoms=2"))
    return DrawingStore(folder / "drawings")


def test_marks_of_a_stored_drawing_lie_on_its_ink_cropped_and_turned(drawn_store: DrawingStore) -> None:
    hydrogen, bond_kinds = LABELS.index("explicit hydrogen"), slice(LABELS.index("single bond"), LABELS.index("wedge"))
    near, num_hydrogens = [], 0
    for index in range(len(drawn_store)):
        drawing = drawn_store.drawing(index)
        height, width = drawing.ink.shape
        assert width > 0.8 * height
        assert min(drawing.ink.any(axis=0)[[0, -1]].min(), drawing.ink.any(axis=1)[[0, -1]].min())  # no paper around
        distances = cv2.distanceTransform((~np.pad(drawing.ink, 9)).astype(np.uint8), cv2.DIST_L2, 5)
        x, y = (np.rint(drawing.positions_xy) + 9).astype(int).T
        num_atoms = len(drawing.positions_xy) - len(drawing.bonds)
        assert drawing.labels[num_atoms:, bond_kinds].sum(axis=1).tolist() == [1] * len(drawing.bonds)
        middles = drawing.positions_xy[drawing.bonds.astype(int)].mean(axis=1)
        np.testing.assert_allclose(middles, drawing.positions_xy[num_atoms:], atol=0.01)
        near += (distances[y, x] <= 5).tolist()
        num_hydrogens += int(drawing.labels[:, hydrogen].sum())
        assert not drawing.labels[num_atoms:, hydrogen].any()
    assert len(near) > 500
    assert np.mean(near) > 0.97
    assert num_hydrogens >= 3


def test_marks_lie_on_the_ink_they_name_upright_and_upside_down(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    for fraction in (0, 1):
        batch = clean_batch(store, folder, f"wear.upside_down_fraction={fraction}", "cleaning.max_scale=1")
        letters = [LABELS.index(name) for name in ("N", "O", "Cl", "Br")]
        near = torch.nn.functional.max_pool2d(batch.images, 7, stride=1, padding=3)
        count = 0
        for row in range(len(store)):
            for index, labels in zip(batch.marks.positions_xy[row], batch.marks.labels[row], strict=True):
                if labels[letters].any():
                    x, y = index.round().int().tolist()
                    assert near[row, 0, y, x] > 0.3
                    count += 1
        assert count >= 10


def test_a_batch_without_wear_is_what_cleaning_makes_of_the_drawing(folder: Path) -> None:
    """Ink of the same amount at the same size: the two ways to the network's image agree."""
    store = DrawingStore(folder / "drawings")
    batch = clean_batch(store, folder)
    for row in range(len(store)):
        drawing = store.drawing(row)
        pixels = np.where(np.pad(drawing.ink, 30), 0, 255).astype(np.uint8)
        cleaned = 1 - clean_image(encode_png(pixels), settings(folder).cleaning).pixels / 255
        ours = batch.images[row, 0].numpy()
        sides = [np.ptp(np.argwhere(image > 0.2), axis=0) for image in (cleaned, ours)]
        assert sides[0] == pytest.approx(sides[1], rel=0.4)  # the length of strokes is measured there, known here


def test_wear_is_the_seeds_and_hides_and_adds_as_much_as_asked(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    clean = clean_batch(store, folder)
    worn = clean_batch(store, folder, "wear.missing_pixel_fraction=[0.5, 0.5]")
    assert worn.images.sum() == pytest.approx(0.5 * clean.images.sum().item(), rel=0.15)
    assert torch.equal(worn.images, clean_batch(store, folder, "wear.missing_pixel_fraction=[0.5, 0.5]").images)
    specked = clean_batch(store, folder, "wear.speck_density=[0.01, 0.01]")
    assert specked.images.sum() > 1.1 * clean.images.sum()
    dropped = clean_batch(store, folder, "wear.dropped_bond_fraction=1")
    assert dropped.images.sum() < 0.8 * clean.images.sum()


def test_whole_images_keep_their_ink_and_are_neither_specked_nor_mended(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    wear = ("wear.missing_pixel_fraction=[0.3, 0.3]", "wear.speck_density=[0.01, 0.01]", "wear.cleaned_fraction=0.5")
    untouched = clean_batch(store, folder).images
    assert torch.equal(clean_batch(store, folder, *wear, "wear.whole_fraction=1").images, untouched)
    half = clean_batch(store, folder, *wear, "wear.whole_fraction=0.5").images
    is_whole = [torch.equal(one, other) for one, other in zip(half, untouched, strict=True)]
    assert 0 < sum(is_whole) < len(is_whole)


def test_strokes_are_thickened_blurred_and_turned_in_the_fraction_asked_for(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    clean = clean_batch(store, folder)
    thick, blurred, turned = (
        clean_batch(store, folder, f"wear.{name}_fraction=1", "wear.max_turn_deg=20")
        for name in ("thick", "blurred", "turned")
    )
    assert thick.images.sum() > 1.6 * clean.images.sum()
    assert blurred.images.sum() == pytest.approx(clean.images.sum().item(), rel=0.02)
    assert blurred.images.square().sum() < 0.7 * clean.images.square().sum()
    assert turned.marks is not None
    assert clean.marks is not None
    is_mark = clean.marks.labels.any(dim=2)
    assert (turned.marks.positions_xy - clean.marks.positions_xy).abs()[is_mark].max() > 2
    assert turned.images.sum() == pytest.approx(clean.images.sum().item(), rel=0.1)


def bond_lengths(batch: Batch) -> list[float]:
    """In pixels: twice the way from an atom to the middle of a bond, which is the nearest mark."""
    assert batch.marks is not None
    distances = torch.cdist(batch.marks.positions_xy, batch.marks.positions_xy)  # (B, M, M)
    is_mark = batch.marks.labels.any(dim=2)  # (B, M), the rest is padding
    distances[~(is_mark[:, :, None] & is_mark[:, None])] = torch.inf
    distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    nearest = distances.amin(dim=2)  # (B, M)
    return [2 * row[row.isfinite()].median().item() for row in nearest]


def test_a_batch_has_one_scale_whichever_worker_has_it_and_batches_differ(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    asked = settings(folder, "wear.scale=[0.6, 1.0]", "training.batch_size=4")
    vocabulary = Vocabulary.from_tokens(all_tokens(store))

    def first_batch(epoch: int, rank: int) -> Batch:
        state = TrainingState(epoch=epoch)
        return next(DrawingFeed(store, vocabulary, asked, state, torch.device("cpu"), Worker(rank, 2)).batches())

    lengths = np.array(
        [[length for rank in (0, 1) for length in bond_lengths(first_batch(epoch, rank))] for epoch in range(6)]
    )  # (6, 4)
    assert np.ptp(lengths, axis=1).max() < 0.06 * lengths.mean()
    assert np.ptp(lengths.mean(axis=1)) > 0.15 * lengths.mean()


def test_helpers_make_the_same_batches_epoch_after_epoch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DrawingStore(folder / "drawings")
    asked = settings(folder, "training.batch_size=4")
    vocabulary = Vocabulary.from_tokens(all_tokens(store))

    def two_epochs(num_helpers: int) -> list[Batch]:
        state = TrainingState()
        feed = DrawingFeed(store, vocabulary, asked, state, torch.device("cpu"), num_helpers=num_helpers)
        first = list(feed.batches())
        state.epoch = 1
        return first + list(feed.batches())

    alone = two_epochs(0)
    monkeypatch.setattr(drawing_feed, "lay_out", None)  # helpers, which are other processes, still have it
    helped = two_epochs(1)
    assert len(alone) == len(helped) == 2 * (len(store) // 4)
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.tokens, other.tokens)
    assert not torch.equal(alone[0].images, alone[-1].images)


def test_a_store_goes_to_another_process_as_the_name_of_its_folder(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    packed = pickle.dumps(store)
    assert len(packed) < 1000 < sum(path.stat().st_size for path in (folder / "drawings").glob("*.arrow"))
    assert np.array_equal(pickle.loads(packed).drawing(3).ink, store.drawing(3).ink)


def test_mending_sheets_is_mending_strokes() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((60, 90), 255, np.uint8)
    cv2.line(pixels, (5, 8), (80, 50), 0, 1)
    pixels[rng.random(pixels.shape) < 0.2] = 255
    pixels[rng.random(pixels.shape) < 0.01] = 0
    sheet = torch.from_numpy(pixels == 0)[None, None].to(torch.bfloat16)
    assert np.array_equal(mend_sheets(sheet, 3)[0, 0].float().numpy() == 1, mend_strokes(pixels, 3) == 0)


def test_shrinking_keeps_the_ink_and_is_opencvs_area() -> None:
    sheet = (torch.rand(1, 1, 40, 60, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    shrunk = shrink_sheets(sheet, torch.tensor([0.5]), torch.zeros(1, 2), 20, 30)
    expected = cv2.resize(sheet[0, 0].numpy(), (30, 20), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrunk[0, 0].numpy(), expected, atol=0.01)
    moved = shrink_sheets(sheet, torch.tensor([0.5]), torch.tensor([[2.0, 3.0]]), 30, 40)
    torch.testing.assert_close(moved[:, :, 2:22, 3:33], shrunk)


def test_turning_sheets_takes_the_places_along() -> None:
    sheet = torch.zeros(1, 1, 41, 61)
    sheet[0, 0, 10, 45] = 1
    turned, positions_xy = turn_sheets(sheet, torch.tensor([[[45.0, 10.0]]]), torch.tensor([0.3]))
    y, x = turned[0, 0].nonzero()[0].tolist()
    assert (x, y) != (45, 10)
    assert positions_xy[0, 0].tolist() == pytest.approx([x, y], abs=1)


@pytest.mark.parametrize("scale", [1.0, 0.625])
def test_strokes_are_as_long_as_the_drawing_is_large(scale: float, tmp_path: Path) -> None:
    asked = settings(tmp_path, "drawing.reduced_fraction=1", f"drawing.reduced_scale={scale}").drawing
    aspirin = inchi_of_smiles(SMILES[0])
    length = typical_stroke_length(draw_molecule(aspirin, asked, np.random.default_rng(0)).pixels)
    assert length == pytest.approx(0.8 * 40 * scale, rel=0.15 if scale == 1 else 0.3)  # pale strokes are lost there
    assert typical_stroke_length(np.full((50, 50), 255, np.uint8)) is None


def test_labels_say_what_atoms_and_bonds_are() -> None:
    acid = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"
    numbers = np.zeros(0, np.float32)
    layout = Layout(
        np.arange(6, dtype=np.float32),
        np.zeros(6, np.float32),
        np.array([0, 1, 1, 2, 2]),
        np.array([1, 2, 3, 4, 5]),
        np.array([1, 1, 1, 2, 1]),
        np.array([0, 0, 1, 0, 0]),
    )
    named = [{LABELS[index] for index in np.flatnonzero(row)} for row in mark_labels(acid, layout)]
    assert named[1] >= {"C", "3 neighbours", "1 hydrogens", "stereo centre"}
    assert named[3] >= {"N", "1 neighbours", "2 hydrogens"}
    assert "wedge" in named[6 + 2]
    assert "double bond" in named[6 + 3]
    assert mark_positions(layout)[6 + 2].tolist() == [2.0, 0.0]
    with pytest.raises(NotationError, match="the 0 atoms of the layout are not those of a molecule of 6"):
        mark_labels(acid, layout._replace(atom_x=numbers))


ALANINE = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"


def test_hydrogens_that_the_drawer_made_explicit_have_a_label_of_their_own() -> None:
    layout = lay_out_with_indigo(ALANINE)
    atoms = [{LABELS[index] for index in np.flatnonzero(row)} for row in mark_labels(ALANINE, layout)][:7]
    assert len(layout.atom_x) == 7
    assert atoms[6] == {"explicit hydrogen", "1 neighbours"}
    assert not any("explicit hydrogen" in named for named in atoms[:6])
    assert "4 neighbours" in atoms[1]  # as drawn
    assert not any("hydrogens" in label for label in atoms[1])
    assert {"C", "stereo centre"} <= atoms[1]
    deuterated = "InChI=1S/CH4O/c1-2/h2H,1H3/i1D3"
    rows = mark_labels(deuterated, lay_out_with_indigo(deuterated))
    assert rows[:5, LABELS.index("explicit hydrogen")].tolist() == [0, 0, 1, 1, 1]  # drawn as D, atoms of the InChI


@pytest.mark.parametrize(
    "change",
    [
        lambda layout: layout._replace(atom_x=layout.atom_x[:-1], atom_y=layout.atom_y[:-1]),
        lambda layout: layout._replace(atom_x=np.append(layout.atom_x, 0), atom_y=np.append(layout.atom_y, 0)),
        lambda layout: layout._replace(bond_end=np.append(layout.bond_end[:-1], 0)),
        lambda layout: layout._replace(
            bond_begin=np.append(layout.bond_begin, 0),
            bond_end=np.append(layout.bond_end, 6),
            bond_order=np.append(layout.bond_order, 1),
            bond_wedge=np.append(layout.bond_wedge, 0),
        ),
        lambda layout: layout._replace(bond_begin=np.where(layout.bond_end == 3, 0, layout.bond_begin)),
    ],
    ids=[
        "an atom too few",
        "an atom without a bond",
        "a hydrogen without its bond",
        "a hydrogen with two bonds",
        "another bond",
    ],
)
def test_a_layout_of_other_atoms_or_bonds_is_refused(change: Callable[[Layout], Layout]) -> None:
    layout = lay_out_with_indigo(ALANINE)
    mark_labels(ALANINE, layout)
    with pytest.raises(NotationError, match="layout"):
        mark_labels(ALANINE, change(layout))


def test_a_step_with_fewer_drawings_than_workers_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("on a GPU one worker does it all")
    with pytest.raises(SettingsError, match="batch_size 2 is too few for 3 workers"):
        train_on_drawings(settings(tmp_path, "training.batch_size=2"), tmp_path / "made", num_workers=3)
    assert not (tmp_path / "made").exists()


def test_a_notation_that_drawings_are_not_kept_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"captions\.notation is inchi, drawings are kept in smiles_drawn_kekule"):
        train_on_drawings(settings(tmp_path, "captions.notation=inchi"), tmp_path / "made", num_workers=1)


def test_a_network_that_goes_on_sees_other_wear_in_another_order(folder: Path) -> None:
    store = DrawingStore(folder / "drawings")
    asked = settings(folder, "training.batch_size=4")
    vocabulary = Vocabulary.from_tokens(all_tokens(store))

    def first_batch(seen_before: int) -> Batch:
        feed = DrawingFeed(store, vocabulary, asked, TrainingState(), torch.device("cpu"), seen_before=seen_before)
        return next(feed.batches())

    once, again, later = (first_batch(seen_before).images for seen_before in (0, 0, 8))
    assert torch.equal(once, again)
    assert later.shape != once.shape or not torch.equal(later, once)


@pytest.mark.slow
def test_training_that_was_killed_goes_on_and_replaces_a_model_that_reads_worse(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chains = ["C" * before + middle + "C" * after for before in range(1, 9) for middle in "NO" for after in range(1, 9)]
    (tmp_path / "molecules.smi").write_text("\n".join(chains))
    made, published = tmp_path / "made", tmp_path / "published"
    command = [sys.executable, "-m", "jobs.train_on_drawings", "--folder", str(made)]
    changes = {
        "landing.path": "unused",
        "storage.root": tmp_path,
        "drawing.smiles_file": tmp_path / "molecules.smi",
        "drawing.num_processes": 1,
        "cluster.num_workers": 2,
        "training.start_from": "null",
        "training.batch_size": 4,
        "training.num_epochs": 1,
        "training.learning_rate": 0.003,
        "training.log_interval_steps": 1,
        "training.checkpoint_interval_steps": 2,
        "captioner.grid_width": 32,
        "captioner.width": 32,
        "captioner.embedding_width": 16,
        "captioner.num_attention_heads": 2,
        "training.average_decay": 0.5,
    }
    command += [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not has_checkpoint(made / "latest"):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    shutil.copytree(made / "latest", published)
    (published / "README.md").write_text("its card")
    interrupted = load_training_state(published)
    assert interrupted is not None

    finishing = [*command, "--publish", published, "--verbose"]
    finished = subprocess.run(finishing, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr[-2000:]
    steps = [int(text) for text in re.findall(r"step (\d+)", finished.stderr)]
    assert steps[0] == interrupted["state"]["step"] + 1
    losses = [float(text) for text in re.findall(r"loss ([\d.]+), rate", finished.stderr)]
    assert losses[-1] < losses[0]
    sizes = [(index / "weights.safetensors").stat().st_size for index in (made / "captioner", published)]
    assert sizes[1] == pytest.approx(0.5 * sizes[0], rel=0.2)
    assert (published / "README.md").read_text() == "its card"
    provenance = load_provenance(published)
    assert (provenance["num_workers"], provenance["drawings_seen"]) == (2, 4 * steps[-1])

    changes |= {"training.start_from": published, "training.learning_rate": 0.3, "training.num_epochs": 1}
    asked = load_settings("molecules", "local", [f"{key}={value}" for key, value in changes.items()])
    with caplog.at_level("WARNING"):
        publish(train_on_drawings(asked, made, num_workers=1), published, made, asked)
    assert f"{published} is left as it is: loss" in caplog.text
    assert load_provenance(published) == provenance
    assert load_provenance(made / "captioner")["drawings_seen_before"] == provenance["drawings_seen"]


def test_dense_hashes_are_kept_as_they_are_or_made_sparser(tmp_path: Path) -> None:
    """As cleaning leaves them: worn drawings keep every line, others lose some."""
    rng = np.random.default_rng(2)
    style = free_style((58.0, 58.0), rng)._replace(num_hash_lines=16, stroke_px=1.0, wedge_width=0.3, has_circles=False)
    drawing = draw_freely("InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1", style, rng)
    cleaning = settings(tmp_path).cleaning
    num_components = [
        cv2.connectedComponents((as_cleaned(drawing, cleaning, is_sparser).pixels == 0).astype(np.uint8))[0]
        for is_sparser in (False, True)
    ]
    assert num_components[0] >= num_components[1] + 6


@pytest.mark.slow
def test_drawing_that_is_told_to_stop_does_not_finish_its_shards(tmp_path: Path) -> None:
    words = [f"storage.root={tmp_path}", f"landing.path={tmp_path}", "drawing.num_drawings=4096", "drawing.seed=3"]
    command = [sys.executable, "-m", "jobs.train_on_drawings", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        [*command, *(word for one in words for word in ("--set", one))], stderr=subprocess.PIPE, text=True
    )
    store = tmp_path / "drawings"
    while not (store / "about.json").is_file():
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(3)  # its workers draw
    process.send_signal(signal.SIGTERM)
    assert "run the same command again" in process.communicate(timeout=240)[1]
    assert not list(store.glob("*.arrow"))
