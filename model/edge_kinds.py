"""The kinds of edges that the edge reader tells apart, and the size of its patches: nothing that needs torch."""

# A wedge is solid, a hash a row of lines; both are narrow at the first point, or turned round at the second.
KINDS = ("nothing", "single", "double", "triple", "wedge", "hash", "turned wedge", "turned hash")
NOTHING, SINGLE, DOUBLE, TRIPLE, WEDGE, HASH, TURNED_WEDGE, TURNED_HASH = range(len(KINDS))
TURNED_ROUND = (NOTHING, SINGLE, DOUBLE, TRIPLE, TURNED_WEDGE, TURNED_HASH, WEDGE, HASH)  # kinds from the other end
PATCH_HEIGHT, PATCH_WIDTH = 16, 32  # pixels of a patch
