"""Clean drawings to batches of worn ones: what drawing_noise and cleaning do to one image, done to many as tensors.

One path for CPUs and GPUs: stored drawings become sheets of ink, and everything after that happens on the device
that trains. B batch, H W height and width of sheets, h w of the network's images, T tokens, M marks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lib.images.wear_removal import MENDED_FROM, line_kernels
from lib.molecules.drawing_noise import erase_line
from lib.molecules.drawing_store import DrawingStore, StoredDrawing
from lib.sections.images import CleaningSettings
from lib.sections.molecules import WearSettings
from model.batches import Batch, Marks, pad_captions, pad_marks, round_up
from model.precision import has_fast_bf16
from model.vocabulary import Vocabulary

SHEET_MARGIN_PX = 16  # paper around the ink of a sheet
MAX_OFFSET_PX = 40  # from the upper left corner, in the network's pixels
STROKE_PER_BOND = 0.8  # letters hide the ends of bonds, and inner lines of double bonds are shorter


@dataclass(frozen=True)
class LaidOut:
    """Drawings that lie side by side, not yet worn; small enough to be handed from process to process."""

    sheets: Tensor  # (B, H, W / 8) uint8, eight pixels a byte, 1 = ink; each drawing at the upper left, in a margin
    sizes: np.ndarray  # (B, 2), height and width of each drawing
    stroke_lengths: np.ndarray  # (B,), about what images.strokes.typical_stroke_length finds
    tokens: Tensor  # (B, T + 1), as in Batch
    marks: Marks  # in pixels of the sheets


def worn_batch(
    store: DrawingStore,
    indices: Sequence[int],
    vocabulary: Vocabulary,
    wear: WearSettings,
    cleaning: CleaningSettings,
    seed: int,
    device: torch.device,
) -> Batch:
    """The drawings of those indices, each worn in its own way; the same for the same seed and device."""
    return wear_out(lay_out(store, indices, vocabulary, wear, seed), wear, cleaning, seed, device)


def lay_out(
    store: DrawingStore, indices: Sequence[int], vocabulary: Vocabulary, wear: WearSettings, seed: int
) -> LaidOut:
    """The drawings of those indices, some without some of their bonds or upside down: what a GPU would be slow at."""
    rng = np.random.default_rng(seed)
    captions, marks, drawings = [], [], []
    for index in indices:
        drawing = store.drawing(index)
        is_upside_down = rng.random() < wear.upside_down_fraction
        written, marks_of_tokens = store.writing(index, 180 if is_upside_down else 0)
        drawing = _drop_bonds(drawing, wear.dropped_bond_fraction, rng)
        drawings.append(_upside_down(drawing) if is_upside_down else drawing)
        captions.append(vocabulary.encode(written))
        marks.append(
            {
                "positions_xy": drawings[-1].positions_xy + SHEET_MARGIN_PX,
                "labels": drawing.labels,
                "marks_of_tokens": marks_of_tokens,
            }
        )
    tokens = pad_captions(captions)
    return LaidOut(
        _as_sheets(drawings),
        np.array([drawing.ink.shape for drawing in drawings]),
        np.array([_stroke_length(drawing) for drawing in drawings]),
        tokens,
        pad_marks(marks, tokens.shape[1]),
    )


def _drop_bonds(drawing: StoredDrawing, fraction: float, rng: np.random.Generator) -> StoredDrawing:
    dropped = np.flatnonzero(rng.random(len(drawing.bonds)) < fraction)
    if not len(dropped):
        return drawing
    ink = drawing.ink.astype(np.uint8)
    for begin, end in drawing.bonds[dropped]:
        ink = erase_line(ink, drawing.positions_xy[begin], drawing.positions_xy[end], paper=0)
    return drawing._replace(ink=ink.view(bool))


def _upside_down(drawing: StoredDrawing) -> StoredDrawing:
    height, width = drawing.ink.shape
    return drawing._replace(ink=drawing.ink[::-1, ::-1], positions_xy=(width - 1, height - 1) - drawing.positions_xy)


def wear_out(
    laid_out: LaidOut, wear: WearSettings, cleaning: CleaningSettings, seed: int, device: torch.device
) -> Batch:
    """The images (B, 1, h, w) of drawings that lie side by side, with ink = 1, each worn in its own way."""
    rng = np.random.default_rng([seed, 1])  # other numbers than those by which bonds were dropped
    random = torch.Generator(device).manual_seed(seed)
    marks, count = laid_out.marks.to(device), len(laid_out.sheets)

    def draw(low: float, high: float) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, count).astype(np.float32)).to(device)

    def chosen(fraction: float) -> Tensor:
        return torch.from_numpy(np.flatnonzero(rng.random(count) < fraction)).to(device)

    sheets, positions_xy = _unpack(laid_out.sheets.to(device)), marks.positions_xy.clone()
    turned = chosen(wear.turned_fraction)
    if len(turned):
        angles = torch.deg2rad(draw(-wear.max_turn_deg, wear.max_turn_deg))[turned]
        sheets[turned], positions_xy[turned] = turn_sheets(sheets[turned], positions_xy[turned], angles)
    missing, density = draw(*wear.missing_pixel_fraction), draw(*wear.speck_density)
    cleaned, whole = chosen(wear.cleaned_fraction), chosen(wear.whole_fraction)
    missing[whole] = 0
    density[torch.cat((cleaned, whole))] = 0
    sheets = add_specks(remove_ink(sheets, missing, random), density, random)
    mended = cleaned[~torch.isin(cleaned, whole)]  # cleaning mends what is worn alone
    if cleaning.mend_reach_px and len(mended):
        sheets[mended] = mend_sheets(sheets[mended], cleaning.mend_reach_px)
    thick = chosen(wear.thick_fraction)
    if len(thick):
        sheets[thick] = torch.nn.functional.max_pool2d(sheets[thick], 2, stride=1, padding=1)[..., 1:, 1:]

    margin = cleaning.crop_margin_px or 0
    sizes = laid_out.sizes + 2 * margin
    scales = np.minimum(cleaning.canvas_height_px / sizes[:, 0], cleaning.canvas_width_px / sizes[:, 1])
    if cleaning.stroke_length_px:
        scales = np.minimum(scales, cleaning.stroke_length_px / laid_out.stroke_lengths)
    scales = np.minimum(scales, cleaning.max_scale) * rng.uniform(*wear.scale, count)
    ends = np.ceil(sizes * scales[:, None])  # (B, 2)
    height, width = (round_up(int(side)) for side in ends.max(axis=0))
    offsets = rng.uniform(0, 1, (count, 2)) * np.minimum(np.array([height, width]) - ends, MAX_OFFSET_PX)
    # Where the ink's box begins in a sheet goes to its margin from the offset.
    starts = offsets - (SHEET_MARGIN_PX - margin) * scales[:, None]
    scale = torch.from_numpy(scales).to(device, torch.float32)
    start = torch.from_numpy(starts).to(device, torch.float32)
    images = shrink_sheets(sheets, scale, start, height, width)
    blurred = chosen(wear.blurred_fraction)
    if len(blurred):
        images[blurred] = torch.nn.functional.avg_pool2d(images[blurred], 3, stride=1, padding=1)
    # Pixel centres, not corners, correspond: x' + 0.5 = scale (x + 0.5) + start.
    positions_xy = (positions_xy + 0.5) * scale[:, None, None] + start.flip(1)[:, None] - 0.5
    images = images.contiguous(memory_format=torch.channels_last)
    return Batch(images, laid_out.tokens.to(device), replace(marks, positions_xy=positions_xy))


def _stroke_length(drawing: StoredDrawing) -> float:
    """What images.strokes.typical_stroke_length finds in such a drawing, about."""
    ends = drawing.positions_xy[drawing.bonds]  # (B, 2, 2)
    return STROKE_PER_BOND * float(np.median(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)))


def _as_sheets(drawings: list[StoredDrawing]) -> Tensor:
    """Drawings side by side (B, H, W / 8), as LaidOut has them."""
    height = max(drawing.ink.shape[0] for drawing in drawings) + 2 * SHEET_MARGIN_PX
    width = max(drawing.ink.shape[1] for drawing in drawings) + 2 * SHEET_MARGIN_PX
    sheets = np.zeros((len(drawings), height, width), bool)
    for sheet, drawing in zip(sheets, drawings, strict=True):
        rows, columns = drawing.ink.shape
        sheet[SHEET_MARGIN_PX : SHEET_MARGIN_PX + rows, SHEET_MARGIN_PX : SHEET_MARGIN_PX + columns] = drawing.ink
    return torch.from_numpy(np.packbits(sheets, axis=2))


def _unpack(packed: Tensor) -> Tensor:
    """Sheets (B, 1, H, W) of (B, H, W / 8) bytes."""
    bits = packed[..., None] >> torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device) & 1  # (B, H, W / 8, 8)
    return bits.flatten(2)[:, None].to(torch.bfloat16)  # which holds 0, 1 and counts up to 256 exactly


def turn_sheets(sheets: Tensor, positions_xy: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Turn sheets (B, 1, H, W) and positions_xy (B, M, 2) about the middle by angles (B,) in radians."""
    height, width = sheets.shape[2:]
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=sheets.device)
    sine, cosine = angles.sin(), angles.cos()
    turn = torch.stack((torch.stack((cosine, -sine), 1), torch.stack((sine, cosine), 1)), 1)  # (B, 2, 2)
    # Each pixel takes what lies where the opposite turn leads: a matrix's transpose, for sides from -1 to 1.
    back = (middle[:, None] * turn / middle).transpose(1, 2)  # (B, 2, 2)
    back = torch.nn.functional.pad(back, (0, 1))  # (B, 2, 3)
    sources = torch.nn.functional.affine_grid(back, [len(sheets), 1, height, width], align_corners=True)
    taken = torch.nn.functional.grid_sample(sheets.float(), sources, mode="nearest", align_corners=True)
    return taken.to(sheets.dtype), (positions_xy - middle) @ turn.transpose(1, 2) + middle


def remove_ink(sheets: Tensor, fractions: Tensor, random: torch.Generator) -> Tensor:
    """Turn each ink pixel of sheets (B, 1, H, W) to paper with the probability of its sheet's fraction (B,)."""
    ink = sheets.nonzero(as_tuple=True)
    lots = torch.rand(len(ink[0]), generator=random, device=sheets.device)
    sheets[ink] = (lots >= fractions[ink[0]]).to(sheets.dtype)
    return sheets


def add_specks(sheets: Tensor, densities: Tensor, random: torch.Generator) -> Tensor:
    """Ink pixels of sheets (B, 1, H, W) here and there, as many a pixel as the densities (B,) say."""
    pixels = sheets[0].numel()
    counts = torch.poisson(densities * pixels, generator=random).long()  # (B,)
    owners = torch.repeat_interleave(torch.arange(len(sheets), device=sheets.device), counts)
    spots = (torch.rand(len(owners), generator=random, device=sheets.device) * pixels).long().clamp(max=pixels - 1)
    sheets.flatten(1)[owners, spots] = 1
    return sheets


def mend_sheets(sheets: Tensor, reach_px: int) -> Tensor:
    """What images.wear_removal.mend_strokes does, to sheets (B, 1, H, W) with ink = 1."""
    height, width = sheets.shape[2:]
    ink = torch.nn.functional.pad(sheets.to(torch.uint8), [reach_px] * 4)
    mended = sheets.to(torch.uint8)
    for kernel in line_kernels(reach_px):  # sums of shifted bytes are far faster than a convolution of one channel
        shifted = [ink[..., y : y + height, x : x + width] for y, x in np.argwhere(kernel).tolist()]
        support = shifted[0] + shifted[1]
        for one in shifted[2:]:
            support += one
        # 1 where the support is enough, else 0: twice as fast as comparing bytes.
        bits = len(shifted).bit_length()
        support += 2**bits - math.ceil(MENDED_FROM * len(shifted))
        support >>= bits
        mended |= support
    return mended.to(sheets.dtype)


def shrink_sheets(sheets: Tensor, scales: Tensor, starts: Tensor, height: int, width: int) -> Tensor:
    """Images (B, 1, height, width) of sheets scaled by their `scales` (B,), by the fraction of ink under each pixel.

    `starts` (B, 2) is where, in rows and columns of the image, the upper left corner of each sheet comes to lie.
    """
    # An emulation of bf16 would take most of the time that a batch takes to make.
    dtype = sheets.dtype if has_fast_bf16(sheets.device) else torch.float32
    down = _overlaps(height, sheets.shape[2], scales, starts[:, 0], dtype)  # (B, height, H)
    across = _overlaps(width, sheets.shape[3], scales, starts[:, 1], dtype)  # (B, width, W)
    return (down[:, None] @ sheets.to(dtype) @ across[:, None].transpose(2, 3)).float()


def _overlaps(length: int, sheet_length: int, scales: Tensor, starts: Tensor, dtype: torch.dtype) -> Tensor:
    """The fraction of each of `length` image pixels that each of `sheet_length` sheet pixels covers (B, l, L)."""
    edges = torch.arange(sheet_length + 1, device=scales.device) * scales[:, None] + starts[:, None]  # (B, L + 1)
    near, far = edges[:, :-1], edges[:, 1:]  # (B, L)
    first = near.floor()
    overlaps = torch.zeros(len(scales), length, sheet_length, dtype=dtype, device=scales.device)  # (B, l, L)
    for step in range(math.ceil(float(scales.max())) + 1):  # as many image pixels as a sheet pixel can touch
        pixels = first + step
        fractions = (torch.minimum(far, pixels + 1) - torch.maximum(near, pixels)).clamp(min=0)  # (B, L)
        fractions *= (pixels >= 0) & (pixels < length)
        overlaps.scatter_add_(1, pixels.clamp(0, length - 1).long()[:, None], fractions[:, None].to(dtype))
    return overlaps
