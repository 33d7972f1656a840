"""The network that writes captions: attention, decoder, captioner; no training, no files, no device.

Parameters of the pretrained model for molecules: 5,494,191.

image (B, C, H, W)
  -> Encoder            1,081,664  grid (B, P, G)     -> cells    8,738  labels of each position (B, P, L), for training
  -> keys, values         131,584  grid for attention, the same for both
token (B, T)
  -> embedding              9,728  (B, T, E)
  -> first LSTM         1,314,816  (B, T, D)          -> is_naming  513  coverage of the grid (B, T, P)
  -> first attention      131,328  what the last token names  (B, T, G)
  -> second LSTM        2,625,536  of both (B, T, D)
  -> second attention     131,840  what comes next, given the coverage (B, T, G)
  -> output                58,444  logits of the next token (B, T, V)

B batch, C channels, H W image height and width, T tokens, P image positions (cells), L labels of a cell, G grid
width, E embedding width, D width of the LSTMs, N attention heads, V vocabulary, K beams.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import STRIDES_PX, CaptionerConfig
from model.encoders import Encoder
from model.lstm import run_lstm

# Memories with which a step of one LSTM cell is faster than one of an LSTM, which prepares its weights for each call.
MAX_ROWS_OF_CELL = 100
TAUGHT_HEAD = 0  # index of the head of each attention that the attention loss trains; the others have no target


class Grid(NamedTuple):
    """An encoded batch of images as attention reads it: keys and values of each head."""

    keys: Tensor  # (B, N, G/N, P)
    values: Tensor  # (B, N, P, G/N)
    padding: Tensor | None = None  # (B, 1, 1, P), added to logits: 0, or -inf for padding; None = no padding

    def select(self, images: Tensor) -> "Grid":
        """Return the grid of some of the images, by index (int64, one an image wanted) or by mask (bool, (B,))."""
        padding = None if self.padding is None else self.padding[images]
        return Grid(self.keys[images], self.values[images], padding)

    def match(self, queries: Tensor) -> Tensor:
        """Return the attention logits (B, N, T, P) of queries (B, N, T, G/N)."""
        logits = queries @ self.keys
        return logits if self.padding is None else logits + self.padding


def join_grids(grids: Sequence[Grid]) -> Grid:
    """Return several grids (B_i, N, ..., P_i) as one, padded to the largest P; padding gets attention 0."""
    most = max(grid.keys.shape[3] for grid in grids)
    missing = [most - grid.keys.shape[3] for grid in grids]
    keys = [functional.pad(grid.keys, (0, count)) for grid, count in zip(grids, missing, strict=True)]
    values = [functional.pad(grid.values, (0, 0, 0, count)) for grid, count in zip(grids, missing, strict=True)]
    padding = [
        functional.pad(grid.keys.new_zeros(len(grid.keys), 1, 1, most - count), (0, count), value=-torch.inf)
        for grid, count in zip(grids, missing, strict=True)
    ]
    return Grid(torch.cat(keys), torch.cat(values), torch.cat(padding))


class State(NamedTuple):
    """The decoder's memory between steps, per image and beam: both LSTMs' states and the coverage."""

    first_hidden: Tensor  # (B, K, D)
    first_cell: Tensor  # (B, K, D)
    second_hidden: Tensor  # (B, K, D)
    second_cell: Tensor  # (B, K, D)
    coverage: Tensor  # (B, K, P), expected number of times that the caption so far named each position

    def select(self, images: Tensor) -> "State":
        """Return the state of some of the images, by index (int64, one an image wanted) or by mask (bool, (B,))."""
        return State(*(memory[images] for memory in self))

    def follow(self, beams: Tensor) -> "State":
        """Return the state whose beam k continues beam beams[b, k]; beams is int64 (B, K)."""
        return State(*(memory.gather(1, beams[..., None].expand_as(memory)) for memory in self))


class Explained(NamedTuple):
    """Logits with the encoder's labels and both attention maps, for the training losses."""

    logits: Tensor  # (B, T, V)
    cells: Tensor  # (B, P, L), logits of the labels of each position
    first_attention: Tensor  # (B, N, T, P), sums to 1 over P
    second_attention: Tensor  # (B, N, T, P)
    stride_px: int  # pixels of an image to one position


class Attention(nn.Module):
    """Multi-head scaled dot-product attention over a grid."""

    def __init__(self, width: int, grid_width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, grid_width)

    def forward(self, outputs: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Return contexts (B, T, G) and the attention map (B, N, T, P) of all outputs (B, T, D) at once."""
        attention = grid.match(self.queries(outputs)).softmax(dim=3)  # (B, N, T, P)
        # Plain products beat scaled_dot_product_attention on CPUs at these sizes, and the map comes free.
        contexts = attention @ grid.values  # (B, N, T, G/N)
        return contexts.transpose(1, 2).flatten(2), attention  # (B, T, G), (B, N, T, P)

    def queries(self, outputs: Tensor) -> Tensor:
        """Return the queries of each head (B, N, T, G/N) of outputs (B, T, D)."""
        queries: Tensor = self.query(outputs)  # (B, T, G)
        return queries.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class CoverageAttention(nn.Module):
    """Attention that also reads the coverage: how often the caption so far named each position (arXiv 1601.04811).

    Each head has a key vector and a value vector for coverage. They are added to the key and the value of a position,
    multiplied by its coverage. So the decoder can tell what is left to write and where a ring closes.
    """

    def __init__(self, width: int, grid_width: int, num_heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, grid_width, num_heads)
        self.key = nn.Parameter(torch.zeros(num_heads, 1, grid_width // num_heads))  # (N, 1, G/N)
        self.value = nn.Parameter(torch.zeros(num_heads, 1, grid_width // num_heads))  # (N, 1, G/N)

    def forward(self, outputs: Tensor, grid: Grid, coverage: Tensor) -> tuple[Tensor, Tensor]:
        """Return contexts (B, T, G) and the attention map (B, N, T, P), by outputs (B, T, D) and coverage (B, T, P)."""
        queries = self.attention.queries(outputs)  # (B, N, T, G/N)
        coverage = coverage.to(queries.dtype)[:, None]  # (B, 1, T, P)
        pull = (queries * self.key.to(queries.dtype)).sum(dim=3, keepdim=True)  # (B, N, T, 1)
        attention = torch.addcmul(grid.match(queries), pull, coverage).softmax(dim=3)  # (B, N, T, P)
        seen = (attention * coverage).sum(dim=3, keepdim=True)  # (B, N, T, 1)
        contexts = attention @ grid.values + seen * self.value.to(queries.dtype)  # (B, N, T, G/N)
        return contexts.transpose(1, 2).flatten(2), attention  # (B, T, G), (B, N, T, P)


class Decoder(nn.Module):
    """Two LSTMs, each followed by attention: the first finds what the last token names, the second the next token.

    The queries of the first attention come from the first LSTM, which reads tokens only, so a whole caption takes two
    LSTM calls in training instead of one call per token.
    """

    def __init__(self, config: CaptionerConfig, num_tokens: int) -> None:
        super().__init__()
        width, grid_width, num_heads = config.width, config.grid_width, config.num_attention_heads
        self.num_heads = num_heads
        self.dropout = config.dropout
        self.embedding = nn.Embedding(num_tokens, config.embedding_width)
        # One projection serves both attentions: a second would cost another tenth of the decoder's time.
        self.keys = nn.Linear(grid_width, grid_width)
        self.values = nn.Linear(grid_width, grid_width)
        self.first_lstm = nn.LSTM(config.embedding_width, width, batch_first=True)
        self.first_attention = Attention(width, grid_width, num_heads)
        self.is_naming = nn.Linear(width, 1)
        self.second_lstm = nn.LSTM(width + grid_width, width, batch_first=True)
        self.second_attention = CoverageAttention(width, grid_width, num_heads)
        self.output = nn.Linear(width + grid_width, num_tokens)

    def project(self, features: Tensor) -> Grid:
        """Return the keys and values of features (B, P, G); all steps of a caption use the same."""
        keys = self.keys(features).unflatten(2, (self.num_heads, -1)).permute(0, 2, 3, 1)  # (B, N, G/N, P)
        values = self.values(features).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, N, P, G/N)
        scale = keys.shape[2] ** -0.5
        return Grid((keys * scale).contiguous(), values.contiguous())

    def forward(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (B, T, V) and both attention maps (B, N, T, P) after each of the tokens (B, T)."""
        embedded = self._drop(self.embedding(tokens))  # (B, T, E)
        outputs = run_lstm(self.first_lstm, embedded)  # (B, T, D)
        contexts, first_attention = self.first_attention(outputs, grid)  # (B, T, G), (B, N, T, P)
        coverage = self._named(outputs, first_attention).cumsum(dim=1)  # (B, T, P)
        outputs = run_lstm(self.second_lstm, torch.cat((outputs, contexts), dim=2))  # (B, T, D)
        contexts, second_attention = self.second_attention(outputs, grid, coverage)  # (B, T, G), (B, N, T, P)
        logits = self.output(self._drop(torch.cat((outputs, contexts), dim=2)))  # (B, T, V)
        return logits, first_attention, second_attention

    def step(self, tokens: Tensor, grid: Grid, state: State) -> tuple[Tensor, State]:
        """Return logits (B, K, V) and the next state after one more token (B, K) of each beam; agrees with forward."""
        outputs, first = _advance(self.first_lstm, self.embedding(tokens), state.first_hidden, state.first_cell)
        contexts, attention = self.first_attention(outputs, grid)  # (B, K, G), (B, N, K, P)
        coverage = state.coverage + self._named(outputs, attention)  # (B, K, P)
        inputs = torch.cat((outputs, contexts), dim=2)  # (B, K, D + G)
        outputs, second = _advance(self.second_lstm, inputs, state.second_hidden, state.second_cell)
        contexts, _ = self.second_attention(outputs, grid, coverage)  # (B, K, G)
        logits = self.output(torch.cat((outputs, contexts), dim=2))  # (B, K, V)
        return logits, State(*first, *second, coverage)

    def _named(self, outputs: Tensor, first_attention: Tensor) -> Tensor:
        """Return how much the token just read names each position (B, T, P), from 0 to 1."""
        # In full precision: sums over a caption follow.
        return self.is_naming(outputs).sigmoid().float() * first_attention[:, TAUGHT_HEAD].float()

    def _drop(self, features: Tensor) -> Tensor:
        """Apply dropout to (B, T, D), with one mask for all tokens of a caption (arXiv 1512.05287)."""
        if not self.training or self.dropout == 0:
            return features
        kept = nn.functional.dropout(torch.ones_like(features[:, :1]), self.dropout)  # (B, 1, D)
        return features * kept  # (B, T, D)


def _advance(lstm: nn.LSTM, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run an LSTM one step from (B, K, D) memories; return outputs (B, K, D) and the new hidden and cell."""
    num_beams = inputs.shape[1]
    if inputs.shape[0] * num_beams <= MAX_ROWS_OF_CELL and not torch.is_grad_enabled():
        memory = torch.lstm_cell(inputs.flatten(0, 1), (hidden.flatten(0, 1), cell.flatten(0, 1)), *lstm.all_weights[0])
        new_hidden, new_cell = (part.unflatten(0, (-1, num_beams)) for part in memory)  # (B, K, D)
        return new_hidden, (new_hidden, new_cell)
    memory = (hidden.flatten(0, 1)[None], cell.flatten(0, 1)[None])  # (1, B * K, D)
    outputs, memory = lstm(inputs.flatten(0, 1)[:, None], memory)  # (B * K, 1, D)
    new_hidden, new_cell = (part[0].unflatten(0, (-1, num_beams)) for part in memory)  # (B, K, D)
    return outputs[:, 0].unflatten(0, (-1, num_beams)), (new_hidden, new_cell)


class Captioner(nn.Module):
    """An encoder and a decoder: images (B, C, H, W) with ink = 1 and paper = 0 to token logits (B, T, V)."""

    def __init__(self, config: CaptionerConfig, num_tokens: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder, config.num_channels, config.grid_width, config.is_encoder_frozen)
        self.decoder = Decoder(config, num_tokens)
        self.cells = nn.Linear(config.grid_width, config.num_cell_labels) if config.num_cell_labels else None

    def forward(self, images: Tensor, tokens: Tensor, image_indices: Tensor | None = None) -> Tensor:
        """Return logits (B, T, V) for the token after each of the tokens (B, T), which begin with <start>.

        image_indices (B,) name the image of each caption where they are not one for one: an image with several captions
        is encoded once.
        """
        grid = self.encode(images)
        logits: Tensor = self.decoder(tokens, _of_captions(grid, image_indices))[0]
        return logits

    def explain(self, images: Tensor, tokens: Tensor, image_indices: Tensor | None = None) -> Explained:
        """Return the logits of forward with the labels of each position and both attention maps: see Explained."""
        features = self.encoder(images)  # (B, P, G)
        grid = _of_captions(self.decoder.project(features), image_indices)
        logits, first_attention, second_attention = self.decoder(tokens, grid)
        cells = self.cells(features) if self.cells else features[..., :0]  # (B, P, L)
        return Explained(logits, cells, first_attention, second_attention, STRIDES_PX[self.config.encoder])

    def encode(self, images: Tensor) -> Grid:
        """Return the grid of images (B, C, H, W), computed once per image before its first step."""
        return self.decoder.project(self.encoder(images))

    def start(self, grid: Grid, num_beams: int) -> State:
        """Return the state before the first token of each image of a grid: zeros (B, K, D) and (B, K, P)."""
        weight, (num_images, _, _, num_positions) = self.decoder.output.weight, grid.keys.shape
        zeros = weight.new_zeros(num_images, num_beams, self.config.width)  # (B, K, D)
        return State(zeros, zeros, zeros, zeros, weight.new_zeros(num_images, num_beams, num_positions))

    def step(self, tokens: Tensor, grid: Grid, state: State) -> tuple[Tensor, State]:
        """Return logits (B, K, V) and the next state after one more token (B, K) of each beam."""
        return self.decoder.step(tokens, grid, state)


def _of_captions(grid: Grid, image_indices: Tensor | None) -> Grid:
    """Return a grid with one row per caption, from one with a row per image; image_indices are int64 (B,)."""
    return grid if image_indices is None else grid.select(image_indices)


class Explaining(nn.Module):
    """A captioner whose forward is `explain`: data-parallel wrappers average the gradients of forward alone."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner

    def forward(self, images: Tensor, tokens: Tensor, image_indices: Tensor | None = None) -> Explained:
        return self.captioner.explain(images, tokens, image_indices)
