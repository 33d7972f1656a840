"""The kinds of edges and of nodes that the graph reader tells apart: nothing that needs torch."""

# A wedge is solid, a hash a row of lines; both are narrow at the first point, or turned round at the second.
KINDS = ("nothing", "single", "double", "triple", "wedge", "hash", "turned wedge", "turned hash")
NOTHING, SINGLE, DOUBLE, TRIPLE, WEDGE, HASH, TURNED_WEDGE, TURNED_HASH = range(len(KINDS))
TURNED_ROUND = (NOTHING, SINGLE, DOUBLE, TRIPLE, TURNED_WEDGE, TURNED_HASH, WEDGE, HASH)  # kinds from the other end
STEREO = (WEDGE, HASH, TURNED_WEDGE, TURNED_HASH)
# What may be written at a node: an element, or a group by its SMILES in atom_labels.py. C is a corner or end of
# strokes, or written out.
WRITTEN_KINDS = (
    *("C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se", "H"),
    *("CC", "CCC", "CCCC", "C(C)C", "CC(C)C", "C(C)(C)C", "c1ccccc1", "Cc1ccccc1"),
    *("C(F)(F)F", "C(Cl)(Cl)Cl", "C(F)F", "C#N", "[CH]=O", "C[OH]", "C[NH2]", "C(C)=O", "C(=O)[OH]", "C(=O)OC"),
    *("C(=O)OCC", "C(=O)OC(C)(C)C", "C(=O)OCc1ccccc1", "C(=O)c1ccccc1", "C(=O)[NH2]", "C(=O)[NH]C", "OC", "OCC"),
    *("OC(F)(F)F", "OC(C)=O", "OCc1ccccc1", "Oc1ccccc1", "OS(=O)(=O)C(F)(F)F", "O[Si](C)(C)C(C)(C)C"),
    *("[N+](=O)[O-]", "[NH]C", "N(C)C", "N(CC)CC", "[NH]C(C)=O", "[NH]c1ccccc1", "[NH]C(=O)OC(C)(C)C", "N=[N+]=[N-]"),
    *("SC", "S(C)(=O)=O", "S(=O)(=O)[NH2]", "S(=O)(=O)[OH]", "S(=O)(=O)c1ccc(C)cc1", "S(=O)(=O)c1ccccc1"),
    *("[Si](C)(C)C", "[Si](C)(C)C(C)(C)C"),
)
CHARGES = (0, 1, -1)  # of a node
# Of a node: hydrogens written with its element, at those elements where every drawer writes them.
MAX_HYDROGENS, WITH_HYDROGENS = 3, ("N", "O", "S", "P", "Se")
PATCH_HEIGHT, PATCH_WIDTH = 48, 144  # pixels around a node, from which its label is read
# Pixels of a patch along the way between two points, from which what joins them is read, and of the way in it.
EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH, EDGE_PX = 32, 72, 36
