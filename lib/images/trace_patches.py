"""Cuts the patches of edges and nodes out of a drawing, scaled to one length of edges.

H W height and width of an image, E edges, A nodes.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.geometry import middle_of_widest_gap
from model.trace_kinds import NODE_EDGE_PX, NODE_HEIGHT, NODE_WIDTH, PATCH_HEIGHT, PATCH_WIDTH

LEFT, RIGHT = 8.0, 24.0  # columns of the two points
MIDDLE = (PATCH_HEIGHT - 1) / 2  # row of both
SHORTEST_PX = 3.0  # points closer than this have nothing between them
OPEN_LENGTH = 0.85  # length of an edge to nothing, over that of its point's other edges: its end is a letter


def edge_patches(ink: NDArray[np.float32], ends: NDArray[np.float32]) -> NDArray[np.float32]:
    """The patches (E, 16, 32) between points (E, 2, 2), x and y in pixels of ink (H, W), 1 = ink; 0 if too close.

    Each is turned to run from left to right.
    """
    patches = np.zeros((len(ends), PATCH_HEIGHT, PATCH_WIDTH), np.float32)
    along = (ends[:, 1] - ends[:, 0]) / (RIGHT - LEFT)  # one column of a patch, in pixels of the image
    for patch, (left, _), (x, y) in zip(patches, ends, along, strict=True):
        if np.hypot(x, y) * (RIGHT - LEFT) < SHORTEST_PX:
            continue
        turn = np.array([[x, -y], [y, x]], np.float32)
        matrix = np.column_stack((turn, left - turn @ np.array([LEFT, MIDDLE], np.float32)))
        cv2.warpAffine(
            ink, matrix, (PATCH_WIDTH, PATCH_HEIGHT), patch, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=0
        )
    return patches


def node_patches(ink: NDArray[np.float32], positions_xy: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    """The patches (A, 24, 48) around points (A, 2) in pixels of ink (H, W), where edges are `length` pixels long."""
    patches = np.zeros((len(positions_xy), NODE_HEIGHT, NODE_WIDTH), np.float32)
    scale = max(length, SHORTEST_PX) / NODE_EDGE_PX  # one pixel of a patch, in pixels of the image
    middle = np.array([(NODE_WIDTH - 1) / 2, (NODE_HEIGHT - 1) / 2], np.float32)
    for patch, position in zip(patches, positions_xy, strict=True):
        matrix = np.column_stack((scale * np.eye(2), position - scale * middle)).astype(np.float32)
        cv2.warpAffine(ink, matrix, (NODE_WIDTH, NODE_HEIGHT), patch, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return patches


def open_edges(
    positions_xy: NDArray[np.float32], edges: NDArray[np.int64], points: Sequence[int]
) -> NDArray[np.float32]:
    """Ends (O, 2, 2) of an edge more at each of some points (A, 2), between those of its edges that are furthest apart.

    Each has one of the edges (E, 2) at least.
    """
    ends = np.zeros((len(points), 2, 2), np.float32)
    for row, point in zip(ends, points, strict=True):
        touching = edges[(edges == point).any(axis=1)]
        away = positions_xy[touching.sum(axis=1) - point] - positions_xy[point]
        angle = middle_of_widest_gap(np.arctan2(away[:, 1], away[:, 0]).tolist())
        length = OPEN_LENGTH * float(np.linalg.norm(away, axis=1).mean())
        row[:] = positions_xy[point] + [[0, 0], [length * np.cos(angle), length * np.sin(angle)]]
    return ends
