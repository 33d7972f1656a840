"""The classic starter for image captioning in plain PyTorch, for bench.train_speed: ResNet34, an attention LSTM, fp32.

"Show, Attend and Tell" (arXiv 1502.03044) as tutorials write it: one LSTM cell per step, which first looks at the
image with soft attention. B batch, T tokens, P image positions, V vocabulary.
"""

import torch
import torchvision
from torch import Tensor, nn

from model.vocabulary import PAD

SIDE_PX = 224
GRID = 14  # positions to a side, to which tutorials enlarge ResNet34's 7 x 7
NUM_FEATURES = 512  # of ResNet34's last layer
ATTENTION_WIDTH, EMBEDDING_WIDTH, WIDTH = 256, 256, 512
ENCODER_RATE, DECODER_RATE = 1e-4, 4e-4
DROPOUT = 0.5
MAX_GRADIENT = 5.0


class Starter(nn.Module):
    """Images (B, 3, 224, 224) and tokens (B, T + 1) to the loss of the tokens."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        resnet = torchvision.models.resnet34(weights=None)  # its speed does not depend on its weights
        self.encoder = nn.Sequential(*list(resnet.children())[:-2], nn.AdaptiveAvgPool2d(GRID))
        self.decoder = _Decoder(num_tokens)

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        features = self.encoder(images).flatten(2).transpose(1, 2)  # (B, P, 512)
        return self.decoder(features, tokens)


class _Decoder(nn.Module):
    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.from_features = nn.Linear(NUM_FEATURES, ATTENTION_WIDTH)
        self.from_hidden = nn.Linear(WIDTH, ATTENTION_WIDTH)
        self.attention = nn.Linear(ATTENTION_WIDTH, 1)
        self.embedding = nn.Embedding(num_tokens, EMBEDDING_WIDTH)
        self.first_hidden = nn.Linear(NUM_FEATURES, WIDTH)
        self.first_cell = nn.Linear(NUM_FEATURES, WIDTH)
        self.gate = nn.Linear(WIDTH, NUM_FEATURES)
        self.lstm = nn.LSTMCell(EMBEDDING_WIDTH + NUM_FEATURES, WIDTH)
        self.drop = nn.Dropout(DROPOUT)
        self.output = nn.Linear(WIDTH, num_tokens)

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return the loss of tokens (B, T + 1). Captions that have ended take no part in later steps."""
        lengths, order = (tokens != PAD).sum(dim=1).sort(descending=True)
        features, tokens = features[order], tokens[order]
        mean = features.mean(dim=1)  # (B, 512)
        hidden, cell = self.first_hidden(mean), self.first_cell(mean)
        embedded = self.embedding(tokens)  # (B, T + 1, E)
        keys = self.from_features(features)  # (B, P, A), once: many tutorials compute it again at every step
        logits, targets = [], []
        for step in range(int(lengths[0]) - 1):
            count = int((lengths - 1 > step).sum())
            hidden, cell = hidden[:count], cell[:count]
            queries = self.from_hidden(hidden)[:, None]  # (B, 1, A)
            weights = self.attention(torch.relu(keys[:count] + queries)).softmax(dim=1)  # (B, P, 1)
            context = torch.sigmoid(self.gate(hidden)) * (weights * features[:count]).sum(dim=1)  # (B, 512)
            hidden, cell = self.lstm(torch.cat((embedded[:count, step], context), dim=1), (hidden, cell))
            logits.append(self.output(self.drop(hidden)))  # (B, V)
            targets.append(tokens[:count, step + 1])
        return nn.functional.cross_entropy(torch.cat(logits), torch.cat(targets))


class StarterTraining:
    """A starter and its optimizer."""

    def __init__(self, num_tokens: int) -> None:
        self.model = Starter(num_tokens).train()
        self.optimizer = torch.optim.Adam(
            [
                {"params": self.model.encoder.parameters(), "lr": ENCODER_RATE},
                {"params": self.model.decoder.parameters(), "lr": DECODER_RATE},
            ]
        )

    def step(self, images: Tensor, tokens: Tensor) -> float:
        """Learn from one batch; return its loss."""
        loss = self.model(images, tokens)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        return float(loss.item())


def starter_images(ink: Tensor) -> Tensor:
    """Images (B, 1, H, W) with ink = 1 as the starter takes them: squares of light with ImageNet's statistics."""
    squares = nn.functional.interpolate(1 - ink, (SIDE_PX, SIDE_PX), mode="bilinear")  # (B, 1, 224, 224)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (squares.expand(-1, 3, -1, -1) - mean[:, None, None]) / deviation[:, None, None]
