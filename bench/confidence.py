"""Fits how captions are chosen and how sure of them one may be: the constants of lib/captioning/caption_choice.py.

Reads drawings by several drawers, of molecules that neither training nor bench.quality has, and by other programs
where --packages has them, in every view, draws every candidate again, and fits by maximum likelihood. The readings are
kept in a file, so that another fit takes seconds.
"""

import argparse
import json
import logging
import math
import sys
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from torch import Tensor

from bench.lakeless_settings import lakeless_settings
from bench.other_drawers import DRAWERS as PROGRAMS
from bench.other_drawers import samples_of
from bench.quality_sets import Sample, drawn_samples, unseen_with_inchi
from lib.captioning.caption_choice import (
    DRAWN_COSTS,
    GRAPH_FRACTION,
    LEAST,
    CaptionCandidate,
    DrawnCosts,
    agreed_features,
    greedy_features,
    is_drawn_alike,
    log_odds,
    mixed_votes,
    vote_features,
    vote_fractions,
    weigh_agreements,
    weigh_graphs,
)
from lib.captioning.image_captioning import ImageCaptioner, drawn_as, seen_as
from lib.captioning.redrawing import Agreement
from lib.images.cleaning import clean_image
from lib.progress import show_progress
from lib.settings import Settings
from model.checkpoint import PRETRAINED

SEED = 20261128  # other molecules, or other stereo and wear, than bench.quality's
NUM_DRAWINGS = {"indigo": 200, "rdkit": 50, "coordgen": 50, "free": 90}  # by drawer
OF_PROGRAMS = slice(100, 120)  # molecules of other programs' drawings; bench.other_drawers has the first
GRAPH_FRACTIONS = (0.4, 0.5, 0.6, 0.7, 0.8)
NUM_AT_ONCE = 64


def collect(settings: Settings, checkpoint: Path, packages: Path | None) -> list[dict[str, Any]]:
    """What every image's readings said, and how each candidate's drawing agrees."""
    captioner = ImageCaptioner(checkpoint, settings.prediction)
    drawing = settings.drawing.model_copy(update={"seed": SEED})
    settings = settings.model_copy(update={"drawing": drawing})
    kinds = [
        (drawer, sample)
        for drawer, number in NUM_DRAWINGS.items()
        for sample in islice(drawn_samples(settings, drawer), number)
    ]
    if packages:
        kinds += _by_programs(settings, packages)
    found: list[dict[str, Any]] = []
    with show_progress("read", len(kinds), "drawings") as line:
        for start in range(0, len(kinds), NUM_AT_ONCE):
            found += _read(kinds[start : start + NUM_AT_ONCE], captioner, settings)
            line.update(len(found))
    return found


def _by_programs(settings: Settings, packages: Path) -> list[tuple[str, Sample]]:
    sys.path.append(str(packages))
    some = islice(unseen_with_inchi(settings), OF_PROGRAMS.start, OF_PROGRAMS.stop)
    molecules = [(inchi, Chem.MolToSmiles(molecule)) for inchi, molecule in some]
    return [(name, sample) for name, load in PROGRAMS.items() for sample in samples_of(load(packages), molecules)]


def _read(kinds: list[tuple[str, Sample]], captioner: ImageCaptioner, settings: Settings) -> list[dict[str, Any]]:
    cleaned = [clean_image(sample.image, settings.cleaning) for _, sample in kinds]
    upright = [captioner.upright(one.pixels, one.rotation_deg, one.larger) for one in cleaned]
    images = [one.pixels for one in upright]
    views = [(turn, scale) for scale, turn in product(settings.prediction.scales, settings.prediction.turns_deg)]
    greedy = captioner.read([seen_as(pixels, *views[0]) for pixels in images], 1)
    beams = [
        captioner.read([seen_as(pixels, *view) for pixels in images], settings.prediction.num_beams) for view in views
    ]
    rows = []
    for index, (kind, sample) in enumerate(kinds):
        redrawn = captioner.prepared(images[index])
        readings = [one[index] for one in beams]
        assert redrawn is not None
        captions = [candidate.caption for candidate in greedy[index]]
        captions += list(vote_fractions(readings))
        graphs = captioner.as_graphs(upright[index])
        captions += [candidate.caption for one in graphs for candidate in one]
        seen = drawn_as(graphs)
        for caption in dict.fromkeys(one for one in captions if one is not None):
            redrawn.draw(caption, seen.get(caption))
        rows.append(
            {
                "kind": kind,
                "truth": sample.inchi,
                "greedy": greedy[index][0]._asdict(),
                "graphs": [[candidate._asdict() for candidate in one] for one in graphs],
                "readings": [[candidate._asdict() for candidate in one] for one in readings],
                "agreements": {caption: list(one) for caption, one in redrawn.agreements.items()},
            }
        )
    return rows


def fit_logistic(features: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Weights (F,) of features (N, F) that make what is right (N,) likeliest."""
    inputs, targets = torch.tensor(features), torch.tensor(is_right, dtype=torch.float64)
    weights = torch.zeros(features.shape[1], dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        cost = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, targets)
        return cost + 1e-4 * (weights**2).sum()

    _minimise(loss, [weights])
    return weights.detach().numpy()


def _minimise(loss: Any, parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        cost: Tensor = loss()
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimizer.step(closure)


def fit_greedy(rows: list[dict[str, Any]]) -> tuple[float, ...]:
    """The weights of a caption that was read greedily, where images are not read as graphs."""
    known = [row for row in rows if row["greedy"]["caption"]]
    features = np.array([_greedy_features(row) for row in known])
    is_right = np.array([row["greedy"]["caption"] == row["truth"] for row in known])
    weights = fit_logistic(features, is_right)
    confidence = 1 / (1 + np.exp(-features @ weights))
    for bound in (0.9, 0.95, 0.98):
        sure = confidence >= bound
        if sure.any():
            print(f"greedy, confidence from {bound}: {sure.mean():.3f} of images, {is_right[sure].mean():.4f} right")
    return tuple(weights.round(3).tolist())


def _is_agreed(row: dict[str, Any]) -> bool:
    """Whether an image says the same as a graph."""
    first = row["graphs"][0][:1]  # of the view that every image is read in
    return bool(first) and first[0]["caption"] == row["greedy"]["caption"] is not None


def _greedy_features(row: dict[str, Any]) -> tuple[float, ...]:
    candidate = CaptionCandidate(**row["greedy"])
    assert candidate.caption is not None
    return greedy_features(candidate, Agreement(*row["agreements"][candidate.caption]))


State = tuple[str, dict[str, float], dict[str, Agreement], list[list[CaptionCandidate]]]


def states(rows: list[dict[str, Any]], are_alike: bool) -> list[State]:
    """Truth, votes, agreements and readings after each reading of each image that a drawing fits, or none does."""
    found = []
    for row in rows:
        readings = [[CaptionCandidate(**candidate) for candidate in one] for one in row["readings"]]
        for count in range(1, len(readings) + 1):
            votes = vote_fractions(readings[:count])
            drawn = row["agreements"]
            agreements = {caption: Agreement(*drawn[caption]) for caption in votes if caption in drawn}
            if votes and is_drawn_alike(agreements) == are_alike:
                found.append((row["truth"], votes, agreements, readings[:count]))
    return found


def fit_drawings(rows: list[dict[str, Any]], graph_fraction: float) -> DrawnCosts:
    """What drawings say, so that the truth among the candidates of all readings is likeliest."""
    problems = []
    for row in rows:
        states_of_row = graph_states([row], graph_fraction)
        if not states_of_row:
            continue
        truth, votes, agreements, _, _ = states_of_row[-1]
        drawn = {caption: one for caption, one in agreements.items() if math.isfinite(one.mismatch)}
        if truth in votes and drawn:
            mismatch = torch.tensor([drawn[one].mismatch if one in drawn else torch.nan for one in votes])
            evidence = torch.tensor([math.log(max(one, LEAST)) for one in votes.values()]).double()
            best = log_odds(max(one.correlation for one in drawn.values()))
            problems.append((evidence, mismatch.double(), best, list(votes).index(truth)))
    logs = torch.tensor([2.0, 0.0, 0.7, 0.7], dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        cost, unavoidable, otherwise, alike = logs.exp()
        losses = []
        for evidence, mismatch, best, index in problems:
            least = mismatch.nan_to_num(torch.inf).min()
            is_otherwise = torch.sigmoid(otherwise - alike * best)
            excess = cost * (mismatch - least) / (least + unavoidable)
            of_drawings = ((1 - is_otherwise) * torch.exp(-excess) + is_otherwise).log().nan_to_num(0.0)
            losses.append(-(evidence + of_drawings).log_softmax(0)[index].clamp(min=math.log(LEAST)))
        return torch.stack(losses).mean()

    _minimise(loss, [logs])
    print(f"choice: {loss().item():.4f} nats an image with the right caption among its candidates")
    return DrawnCosts(*(round(one, 2) for one in logs.exp().tolist()))


def fit_confidence(rows: list[dict[str, Any]], drawn: DrawnCosts) -> tuple[float, ...]:
    """The weights of a chosen caption's confidence."""
    features, is_right = [], []
    for truth, votes, agreements, readings in states(rows, are_alike=True):
        chosen, values = weigh_agreements(votes, agreements, len(readings), drawn)
        features.append(values)
        is_right.append(chosen == truth)
    weights = fit_logistic(np.array(features), np.array(is_right))
    return tuple(weights.round(3).tolist())


def fit_no_fit(rows: list[dict[str, Any]]) -> tuple[float, ...]:
    """The weights of a caption that votes chose, on images that no drawing fits."""
    features, is_right = [], []
    for truth, votes, _, readings in states(rows, are_alike=False):
        chosen = next(iter(votes))
        features.append(vote_features(chosen, readings))
        is_right.append(chosen == truth)
    print(f"no drawing fits: {len(features)} states, {np.mean(is_right):.3f} of the captions right")
    return tuple(fit_logistic(np.array(features), np.array(is_right)).round(3).tolist())


GraphState = tuple[str, dict[str, float], dict[str, Agreement], list[list[CaptionCandidate]], int]


def graph_states(rows: list[dict[str, Any]], graph_fraction: float) -> list[GraphState]:
    """Truth, votes, agreements, readings as graphs and number of other readings after each reading of each image.

    First what it says when it was decoded greedily and read as one graph, if they differ.
    """
    found = []
    for row in rows:
        readings = [[CaptionCandidate(**candidate) for candidate in one] for one in row["readings"]]
        graphs = [[CaptionCandidate(**candidate) for candidate in one] for one in row["graphs"]]
        once = [] if _is_agreed(row) else [([[CaptionCandidate(**row["greedy"])]], graphs[:1])]
        for read, seen in once + [(readings[:count], graphs) for count in range(1, len(readings) + 1)]:
            votes = mixed_votes(read, seen, graph_fraction)
            drawn = row["agreements"]
            agreements = {caption: Agreement(*drawn[caption]) for caption in votes if caption in drawn}
            if votes and any(seen):
                found.append((row["truth"], votes, agreements, seen, len(read)))
    return found


def fit_graphs(rows: list[dict[str, Any]], keeps_choice: bool) -> tuple[DrawnCosts, float, tuple[float, ...]]:
    """What drawings say, the part of the votes of graphs with which most is right, and the weights then.

    With `keeps_choice` the first two are those that are in use.
    """
    tried = []
    for graph_fraction in (GRAPH_FRACTION,) if keeps_choice else GRAPH_FRACTIONS:
        features, is_right = [], []
        drawn = DRAWN_COSTS if keeps_choice else fit_drawings(rows, graph_fraction)
        for truth, votes, agreements, graphs, count in graph_states(rows, graph_fraction):
            chosen, values = weigh_graphs(votes, agreements, graphs, count, drawn)
            features.append(values)
            is_right.append(chosen == truth)
        weights = fit_logistic(np.array(features), np.array(is_right))
        right = 1 / (1 + np.exp(-np.array(features) @ weights))
        cost = -np.log(np.where(is_right, right, 1 - right)).mean()
        print(f"graphs have {graph_fraction} of the votes: {np.mean(is_right):.4f} right, {cost:.4f} nats")
        tried.append((float(np.mean(is_right)), drawn, graph_fraction, tuple(weights.round(3).tolist())))
    return max(tried)[1:]


def fit_agreed(rows: list[dict[str, Any]]) -> tuple[float, ...]:
    """The weights of a caption that was read greedily and as a graph."""
    agreed = [(CaptionCandidate(**row["greedy"]), row["truth"]) for row in rows if _is_agreed(row)]
    features = np.array([agreed_features(greedy) for greedy, _ in agreed])
    is_right = np.array([greedy.caption == truth for greedy, truth in agreed])
    weights = fit_logistic(features, is_right)
    confidence = 1 / (1 + np.exp(-features @ weights))
    for bound in (0.9, 0.95, 0.98):
        sure = confidence >= bound
        part = sure.sum() / len(rows)
        print(f"agreed, confidence from {bound}: {part:.3f} of images, {is_right[sure].mean():.4f} right")
    return tuple(weights.round(3).tolist())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=Path, required=True, help="file to keep what was read in, or to fit again")
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED / "molecules")
    parser.add_argument("--packages", type=Path, help="where the packages of bench.other_drawers are; not needed")
    parser.add_argument(
        "--keep-choice",
        dest="keeps_choice",
        action="store_true",
        help="fit confidence alone: DRAWN_COSTS and votes stay",
    )
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings = lakeless_settings(arguments.overrides)
    if not arguments.readings.is_file():
        arguments.readings.write_text(json.dumps(collect(settings, arguments.checkpoint, arguments.packages)))
    rows = json.loads(arguments.readings.read_text())
    greedy = fit_greedy(rows)
    drawn, graph_fraction, weights = fit_graphs(rows, arguments.keeps_choice)
    print(f"GREEDY_LOG_ODDS = {greedy}")
    print(f"DRAWN_COSTS = {drawn}")
    print(f"NO_FIT_LOG_ODDS = {fit_no_fit(rows)}")
    print(f"LOG_ODDS = {fit_confidence(rows, drawn)}")
    print(f"GRAPH_FRACTION, GRAPH_LOG_ODDS = {graph_fraction}, {weights}")
    print(f"AGREED_LOG_ODDS = {fit_agreed(rows)}")


if __name__ == "__main__":
    main()
