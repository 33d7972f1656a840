"""The captions of one image traced on it, to read its stereo and single letters off the drawing."""

from collections.abc import Sequence

import numpy as np
import torch

from lib.captioning.caption_choice import CaptionCandidate, Readings, Traces
from lib.captioning.tracing import trace
from lib.captions.notation_process import NotationProcess
from lib.captions.notations import Graph
from model.batches import as_ink, pad_captions, stack_images
from model.captioner import TAUGHT_HEAD, Captioner
from model.config import STRIDES_PX
from model.patch_reader import Readers

# Of the image's ink: a caption that leaves more bare is of something else, or of a part of the page. Of the right ones
# of 180 drawings by ten programs 95 in 100 leave less.
MOST_UNEXPLAINED = 0.3
WORTH_TRACING = 0.01  # probability of a candidate
AGREES_FROM = 0.5  # probability of a caption over that of its likeliest variant
SKELETONS_A_READING = 2  # those with the most votes are traced


class TracedImage:
    """An image with captions traced on it, each skeleton once, in the view in which it was read."""

    def __init__(self, network: Captioner, asked: NotationProcess, readers: Readers) -> None:
        self._variants: dict[str, dict[str, float]] = {}
        self._skeleton_of: dict[str, str] = {}
        self.traces = Traces(self._variants, self._skeleton_of)  # what is known so far
        self._network, self._asked, self._readers = network, asked, readers
        self._graphs: dict[str, Graph | None] = {}  # by text

    def add(self, seen: np.ndarray, reading: Sequence[CaptionCandidate], readings: Readings) -> None:
        """Trace what a reading wrote of the image as it was `seen` there, (H, W), if many of all readings wrote it."""
        likely = (one for one in reading if one.caption is not None and one.probability >= WORTH_TRACING)
        for candidate in (one for one in likely if one.text not in self._graphs):
            self._graphs[candidate.text] = graph = self._asked.graph(candidate.text)
            if graph and candidate.caption:
                self._skeleton_of[candidate.caption] = graph.skeleton
        votes: dict[str, float] = {}
        for candidate in (candidate for one in readings for candidate in one):
            name = self._skeleton_of.get(candidate.caption or "")
            if name is not None:
                votes[name] = votes.get(name, 0.0) + candidate.probability
        likeliest = sorted(votes, key=lambda name: -votes[name])[:SKELETONS_A_READING]
        for candidate in reading:
            graph = self._graphs.get(candidate.text)
            if graph and graph.skeleton in likeliest and graph.skeleton not in self._variants:
                self._trace(seen, graph, candidate)

    def agrees_with(self, seen: np.ndarray, candidate: CaptionCandidate) -> bool:
        """Whether a caption, traced on the image as it was `seen`, is about as likely as any variant of it."""
        self.add(seen, [candidate], [[candidate]])
        variants = self._variants.get(self._skeleton_of.get(candidate.caption or "", ""))
        return not variants or variants.get(candidate.caption or "", 0.0) >= AGREES_FROM * max(variants.values())

    def _trace(self, seen: np.ndarray, graph: Graph, candidate: CaptionCandidate) -> None:
        stride_px = STRIDES_PX[self._network.config.encoder]
        images = as_ink(stack_images([seen], self._network.config.num_channels))
        num_rows, num_columns = (-(-side // stride_px) for side in images.shape[2:])
        with torch.inference_mode():
            explained = self._network.explain(images, pad_captions([candidate.token_ids])[:, :-1])
        # After <start>: what each token names.
        attention = explained.first_attention[0, TAUGHT_HEAD, 1:].float().unflatten(1, (num_rows, num_columns)).numpy()
        found = trace(seen, graph, attention, stride_px, self._readers)
        variants = self._asked.variants(
            candidate.text, found.positions_xy, found.kinds, found.open_kinds, found.node_kinds
        )
        if variants and found.unexplained <= MOST_UNEXPLAINED:
            self._variants[graph.skeleton] = variants
            for caption in variants:  # one with other letters may have a skeleton of its own
                self._skeleton_of.setdefault(caption, graph.skeleton)
