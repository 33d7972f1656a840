"""The kinds of edges and of nodes that readers tell apart, and the sizes of their patches: nothing that needs torch."""

# A wedge is solid, a hash a row of lines; both are narrow at the first point, or turned round at the second.
KINDS = ("nothing", "single", "double", "triple", "wedge", "hash", "turned wedge", "turned hash")
NOTHING, SINGLE, DOUBLE, TRIPLE, WEDGE, HASH, TURNED_WEDGE, TURNED_HASH = range(len(KINDS))
TURNED_ROUND = (NOTHING, SINGLE, DOUBLE, TRIPLE, TURNED_WEDGE, TURNED_HASH, WEDGE, HASH)  # kinds from the other end
PATCH_HEIGHT, PATCH_WIDTH = 16, 32  # pixels of an edge's patch
# C is a corner or end of strokes, or written out; CF3 and OCF3 are labels.
NODE_KINDS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "P", "B", "Si", "Se", "H", "CF3", "OCF3")
NODE_HEIGHT, NODE_WIDTH = 24, 48  # pixels of a node's patch
NODE_EDGE_PX = 20.0  # length of an edge in a node's patch
