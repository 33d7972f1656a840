"""Draws molecules in free styles: any layout, size, stroke, font, wedge, abbreviation and turn.

Everything is put as ink on a grid some times finer than the image, which is then scanned: averaged and cut at a grey
level. Places are in pixels of the image, x to the right and y down.
"""

from collections.abc import Callable

import cv2
import numpy as np
from rdkit import Chem

from lib.molecules.atom_labels import Group, Label, Run, atom_label, free_side, group_label, groups_of
from lib.molecules.drawing_noise import INK, PAPER
from lib.molecules.free_sheet import Sheet, across_of, draw_double_bond, draw_line, draw_wedge, write_label
from lib.molecules.free_style import FreeStyle
from lib.molecules.indigo_drawing import lay_out_with_indigo
from lib.molecules.layout import Drawing, Layout
from lib.molecules.rdkit_drawing import lay_out_with_rdkit
from lib.molecules.smiles import amides_of, drawn_molecule, read_inchi

MARGIN = 0.8  # of paper around the drawing, in lengths of a bond
ROOM = 4.0  # for labels around the atoms before the image is cropped, in lengths of a bond
SMOOTH_UP_TO_PX = 44  # length of a bond up to which the fine grid is four times as fine as the image, else twice
SAMPLES = 48  # points along a bond that are tried as the end of its label
_LAY_OUT: dict[str, Callable[[str], Layout]] = {
    "indigo": lay_out_with_indigo,
    "rdkit": lay_out_with_rdkit,
    "coordgen": lambda inchi: lay_out_with_rdkit(inchi, has_coordgen_layout=True),
}


def draw_freely(inchi: str, style: FreeStyle, rng: np.random.Generator) -> Drawing:
    """Draw a molecule without wear. Raises NotationError if the one who lays it out cannot.

    Atoms of an abbreviated group lie where its label stands on its first atom; its bonds are not in the layout.
    """
    layout = _turned(_with_median_bond(_LAY_OUT[style.layout](inchi)), style)
    if style.has_amides:
        layout = _with_amides(inchi, layout)
    molecule = drawn_molecule(inchi, layout)
    seen = Chem.Mol(molecule)
    Chem.SanitizeMol(seen)  # rings in Kekule form become aromatic again
    groups = [
        group for group in groups_of(seen, rng, style.known_fraction) if rng.random() < style.abbreviated_fraction
    ]
    layout, hidden = _abbreviated(layout, groups)
    labels = _labels(molecule, layout, groups, hidden, style)

    positions_xy = np.stack((layout.atom_x, layout.atom_y), axis=1)
    fine = 4 if style.bond_length_px <= SMOOTH_UP_TO_PX else 2
    unit = style.bond_length_px * fine
    left, top = positions_xy.min(axis=0) - ROOM
    width, height = np.ptp(positions_xy, axis=0) + 2 * ROOM + (0, 1.5 * bool(style.beside))
    sheet = Sheet(np.zeros((int(height * unit), int(width * unit)), np.uint8), unit, style)
    points = (positions_xy - (left, top)) * unit
    boxes = {atom: write_label(sheet, points[atom], label) for atom, label in labels.items()}
    rings = _circled_rings(inchi, layout) if style.has_circles else []
    _draw_bonds(sheet, points, layout, boxes, molecule, rings)
    _number_atoms(sheet, points, layout, hidden | labels.keys(), rng)
    if style.beside:
        below = points[:, 1].max() + 1.4 * unit
        write_label(sheet, np.array([sheet.ink.shape[1] / 2, below]), Label((Run(style.beside, 0),), 0))
    return _scanned(sheet, layout, points, fine)


def _scanned(sheet: Sheet, layout: Layout, points: np.ndarray, fine: int) -> Drawing:
    margin = round(MARGIN * sheet.unit)
    x, y, width, height = cv2.boundingRect(sheet.ink)
    cropped = np.pad(sheet.ink[y : y + height, x : x + width], margin)
    size = (-(-cropped.shape[1] // fine), -(-cropped.shape[0] // fine))
    grey = 255 - cv2.resize(
        np.pad(cropped, ((0, size[1] * fine - cropped.shape[0]), (0, size[0] * fine - cropped.shape[1]))),
        size,
        interpolation=cv2.INTER_AREA,
    )
    seen = (points - (x - margin, y - margin) + 0.5) / fine - 0.5
    pixels = np.where(grey < sheet.style.ink_below, INK, PAPER).astype(np.uint8)
    return Drawing(pixels, layout._replace(atom_x=seen[:, 0].astype(np.float32), atom_y=seen[:, 1].astype(np.float32)))


def _with_median_bond(layout: Layout) -> Layout:
    ends = np.stack((layout.atom_x, layout.atom_y), axis=1)
    lengths = np.linalg.norm(ends[layout.bond_begin] - ends[layout.bond_end], axis=1)
    length = float(np.median(lengths)) if len(lengths) else 1.0
    return layout._replace(atom_x=layout.atom_x / length, atom_y=layout.atom_y / length)


def _turned(layout: Layout, style: FreeStyle) -> Layout:
    """Turned, and mirrored with wedges for hashes, which leaves every configuration as it is."""
    x, wedge = layout.atom_x, layout.bond_wedge
    if style.is_mirrored:
        x, wedge = -x, np.array([0, 2, 1], wedge.dtype)[wedge]
    angle = np.deg2rad(style.turn_deg)
    return layout._replace(
        atom_x=x * np.cos(angle) - layout.atom_y * np.sin(angle),
        atom_y=x * np.sin(angle) + layout.atom_y * np.cos(angle),
        bond_wedge=wedge,
    )


def _with_amides(inchi: str, layout: Layout) -> Layout:
    """Bond orders with O=C-NH for each HO-C=N, as chemists draw what standard InChI does not tell apart."""
    orders = layout.bond_order.copy()
    pairs = np.stack((layout.bond_begin, layout.bond_end), axis=1)
    for oxygen, carbon, nitrogen in amides_of(read_inchi(inchi)):
        orders[(np.sort(pairs) == sorted((oxygen, carbon))).all(axis=1)] = 2
        orders[(np.sort(pairs) == sorted((carbon, nitrogen))).all(axis=1)] = 1
    return layout._replace(bond_order=orders)


def _abbreviated(layout: Layout, groups: list[Group]) -> tuple[Layout, set[int]]:
    """The layout with every atom of a group where its first is, and the atoms that are not drawn themselves."""
    x, y = layout.atom_x.copy(), layout.atom_y.copy()
    hidden: set[int] = set()
    group_of: dict[int, int] = {}
    for number, group in enumerate(groups):
        x[list(group.atoms)], y[list(group.atoms)] = x[group.atoms[0]], y[group.atoms[0]]
        hidden |= set(group.atoms[1:])
        group_of |= dict.fromkeys(group.atoms, number)
    ends = zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True)
    kept = [group_of.get(begin, -1) != group_of.get(end, -2) for begin, end in ends]
    bonds = {name: getattr(layout, name)[kept] for name in Layout._fields if name.startswith("bond")}
    return layout._replace(atom_x=x, atom_y=y, **bonds), hidden


def _labels(
    molecule: Chem.Mol, layout: Layout, groups: list[Group], hidden: set[int], style: FreeStyle
) -> dict[int, Label]:
    positions_xy = np.stack((layout.atom_x, layout.atom_y), axis=1)
    num_atoms, first_of = molecule.GetNumAtoms(), {group.atoms[0]: group for group in groups}
    labels = {}
    for index in range(len(positions_xy)):
        if index in hidden:
            continue
        others = _neighbours(layout, index)
        directions = _directions(positions_xy, layout, index)
        if index in first_of:
            side = free_side(directions, can_stack=False)
            labels[index] = group_label(first_of[index], side)
        elif index >= num_atoms:
            labels[index] = atom_label("H", 0, 0, 0, "right")
        else:
            atom = molecule.GetAtomWithIdx(index)
            num_hydrogens = atom.GetTotalNumHs() - int((others >= num_atoms).sum())
            is_plain_carbon = atom.GetSymbol() == "C" and not atom.GetFormalCharge() and not atom.GetIsotope()
            is_end = len(others) <= 1
            if (
                is_plain_carbon
                and len(others)
                and not (
                    (is_end and style.writes_methyl)
                    or (style.writes_chains and num_hydrogens == 2 and len(others) == 2)
                    or (style.writes_carbons and not atom.IsInRing())
                )
            ):
                continue
            symbol, isotope = atom.GetSymbol(), atom.GetIsotope()
            if symbol == "H" and style.has_isotope_letters:
                symbol, isotope = {2: "D", 3: "T"}.get(isotope, "H"), 0
            side = free_side(directions, can_stack=True)
            labels[index] = atom_label(symbol, num_hydrogens, atom.GetFormalCharge(), isotope, side)
    return labels


def _neighbours(layout: Layout, index: int) -> np.ndarray:
    return np.concatenate((layout.bond_end[layout.bond_begin == index], layout.bond_begin[layout.bond_end == index]))


def _directions(positions_xy: np.ndarray, layout: Layout, index: int) -> np.ndarray:
    """The directions (N, 2), of length 1, in which an atom's bonds go."""
    along = positions_xy[_neighbours(layout, index)] - positions_xy[index]
    return np.asarray(along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6))


def _circled_rings(inchi: str, layout: Layout) -> list[list[int]]:
    """Aromatic rings of six whose atoms are all drawn."""
    molecule = read_inchi(inchi)
    drawn = {frozenset(ends) for ends in zip(layout.bond_begin.tolist(), layout.bond_end.tolist(), strict=True)}
    return [
        list(ring)
        for ring in molecule.GetRingInfo().AtomRings()
        if len(ring) == 6
        and all(molecule.GetAtomWithIdx(atom).GetIsAromatic() for atom in ring)
        and all(frozenset((ring[at - 1], atom)) in drawn for at, atom in enumerate(ring))
    ]


def _draw_bonds(
    sheet: Sheet,
    points: np.ndarray,
    layout: Layout,
    boxes: dict[int, np.ndarray],
    molecule: Chem.Mol,
    circled: list[list[int]],
) -> None:
    in_circle = {frozenset((ring[at - 1], atom)) for ring in circled for at, atom in enumerate(ring)}
    for ring in circled:
        middle = points[ring].mean(axis=0)
        radius = 0.62 * float(np.linalg.norm(points[ring] - middle, axis=1).mean())
        cv2.circle(sheet.ink, np.rint(middle).astype(int).tolist(), round(radius), 255, max(1, round(sheet.stroke)))
    rings = [list(ring) for ring in molecule.GetRingInfo().AtomRings()]
    for begin, end, order, wedge in zip(
        layout.bond_begin.tolist(),
        layout.bond_end.tolist(),
        layout.bond_order.tolist(),
        layout.bond_wedge.tolist(),
        strict=True,
    ):
        first, last = _clipped(points[begin], points[end], boxes.get(begin), boxes.get(end))
        if wedge:
            draw_wedge(sheet, first, last, wedge)
        elif order == 2 and frozenset((begin, end)) not in in_circle:
            inside = _inner_side(points, begin, end, rings, layout)
            draw_double_bond(sheet, first, last, inside, begin not in boxes, end not in boxes)
        else:
            draw_line(sheet, first, last)
            if order == 3:
                across = across_of(first, last) * sheet.style.spacing * sheet.unit
                draw_line(sheet, first + across, last + across)
                draw_line(sheet, first - across, last - across)


def _number_atoms(
    sheet: Sheet, points: np.ndarray, layout: Layout, left_out: set[int], rng: np.random.Generator
) -> None:
    """Write small numbers beside some of the atoms, on the side on which they have no bond."""
    for index in np.flatnonzero(rng.random(len(points)) < sheet.style.numbered_fraction).tolist():
        if index not in left_out:
            away = -_directions(points, layout, index).sum(axis=0)
            away = away / max(float(np.linalg.norm(away)), 0.5) if np.linalg.norm(away) > 0.2 else np.array([0.7, -0.7])
            write_label(sheet, points[index] + 0.4 * sheet.unit * away, Label((Run(str(index + 1), 1),), 0))


def _clipped(
    first: np.ndarray, last: np.ndarray, first_boxes: np.ndarray | None, last_boxes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a bond outside the labels at its ends."""
    along = np.linspace(0, 1, SAMPLES)
    positions_xy = first + along[:, None] * (last - first)
    low, high = 0.0, 1.0
    if first_boxes is not None and (covered := _inside(positions_xy, first_boxes)).any():
        low = along[np.flatnonzero(covered)[-1]]
    if last_boxes is not None and (covered := _inside(positions_xy, last_boxes)).any():
        high = along[np.flatnonzero(covered)[0]]
    if low >= high:  # the labels touch: a stub between them stays
        low, high = 0.45, 0.55
    return first + low * (last - first), first + high * (last - first)


def _inside(positions_xy: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    x, y = positions_xy[:, :1], positions_xy[:, 1:]
    inside = (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 3])
    return np.asarray(inside.any(axis=1))


def _inner_side(points: np.ndarray, begin: int, end: int, rings: list[list[int]], layout: Layout) -> np.ndarray | None:
    """Towards what a double bond's second line lies: the middle of a ring, or its neighbours; None = it is centred."""
    around = [ring for ring in rings if begin in ring and end in ring]
    if around:
        return points[min(around, key=lambda ring: (abs(len(ring) - 6), len(ring)))].mean(axis=0)
    pairs = np.stack((layout.bond_begin, layout.bond_end), axis=1)
    neighbours = [
        [int(pair.sum()) - atom for pair in pairs if atom in pair and int(pair.sum()) - atom != other]
        for atom, other in ((begin, end), (end, begin))
    ]
    if not neighbours[0] or not neighbours[1] or len(neighbours[0]) + len(neighbours[1]) > 3:
        return None
    return points[neighbours[0] + neighbours[1]].mean(axis=0)
