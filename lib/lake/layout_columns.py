"""The columns of a layout, in image_layouts and in layout files: the type of each list, and its comment."""

import pyarrow as pa

LAYOUT_COLUMNS = {
    "atom_x": ("float", "Pixels from the left edge, one per atom in the InChI's order, then explicit hydrogens."),
    "atom_y": ("float", "Pixels from the top edge, one per atom in the InChI's order, then explicit hydrogens."),
    "bond_begin": ("int", "Index of each bond's first atom, from 0."),
    "bond_end": ("int", "Index of each bond's second atom, from 0."),
    "bond_order": ("float", "Order of each bond as drawn: 1, 2 or 3."),
    "bond_wedge": ("int", "0 plain, 1 wedge, 2 hashed wedge; narrow at the first atom."),
}
LAYOUT_FILE_SCHEMA = pa.schema(
    [("image_id", pa.string())]
    + [(name, pa.list_(pa.float32() if kind == "float" else pa.int32())) for name, (kind, _) in LAYOUT_COLUMNS.items()]
)
