"""Chooses an image's caption among the candidates of several readings, and gives its confidence.

Readings vote. Where captions were drawn again, how well the drawings cover the image counts besides.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lib.captioning.redrawing import DRAWN_ALIKE_FROM, Agreement


class DrawnCosts(NamedTuple):
    """What it says against a caption that its drawing leaves ink bare, or has some where none is."""

    # Nats, times the excess over the least mismatch, relative to that plus the unavoidable one: where even the best
    # drawing fits badly, differences count little.
    mismatch: float
    unavoidable: float  # pixels of full ink
    # The right caption may be drawn in another layout than the image. Log-odds of that: `otherwise`, less `alike` times
    # the log-odds of the correlation of the drawing that fits best.
    otherwise: float
    alike: float


# Fitted by bench/confidence.py to 300 drawings by every drawer that neither training nor `make bench-quality` has.
DRAWN_COSTS = DrawnCosts(50.07, 6.12, 9.36, 5.81)
# Weights of the log-odds that the chosen caption is right. Features: 1, log-odds of its probability among the
# candidates; logarithms of the largest hole in its drawing, of its fraction of the votes, of the number of readings.
LOG_ODDS = (-0.904, 0.509, -0.571, 0.326, 0.355)
# The same for a caption chosen by votes only. Features: 1, log-odds of its mean probability over the readings,
# logarithm of their number. The first weights are for captions without drawings, the second where no drawing fits.
VOTES_LOG_ODDS = (0.0, 1.0, 0.75)
NO_FIT_LOG_ODDS = (-1.42, 0.706, 0.612)
# The same for a greedy caption. Features: 1, logarithm of its probability, log-odds of its drawing's correlation with
# the image, logarithm of the largest hole in its drawing.
GREEDY_LOG_ODDS = (0.405, 1.582, 0.354, -0.352)
GRAPH_FRACTION = 0.6  # of the votes, of readings as graphs
# Weights of the log-odds that the chosen caption is right where the image was read as graphs too. Features: 1, log-odds
# of its probability among the candidates and of its votes; the fraction of the graphs that say it; logarithms of the
# number of readings and graphs, and of the largest hole in its drawing, up to LARGE_HOLE: one in a drawing that does
# not fit at all says no more. Without drawings it is as large.
GRAPH_LOG_ODDS = (-2.829, 0.256, 0.148, 0.982, 0.532, -0.96)
LARGE_HOLE = 0.2
# The same for a greedy caption that the image says as a graph too. Features: 1, the logarithm of its probability.
AGREED_LOG_ODDS = (2.826, 0.846)
LEAST, MOST = 1e-4, 0.9999  # bounds of probabilities, so that their log-odds stay finite


class CaptionCandidate(NamedTuple):
    """A candidate of a beam, or of an image as a graph, read as a caption."""

    text: str  # as the network wrote it, or as the graph is written
    caption: str | None  # in standard form; None if it is not valid, or was cut off
    score: float  # the logarithm of its probability
    probability: float
    votes: float | None = None  # what it counts in a reading; None = its probability
    token_ids: tuple[int, ...] = ()  # as the network wrote it
    drawn_as: str | None = None  # the caption of what the image still shows, which is drawn too; None = its own


Readings = Sequence[Sequence[CaptionCandidate]]  # the candidates of each reading, best first


class PredictedCaption(NamedTuple):
    """A caption, and the other candidates, best first, with their log-probabilities as scores."""

    caption: str
    confidence: float  # probability of being right, 0..1; of a sentence, the geometric mean of its words' probabilities
    is_valid: bool
    alternatives: list[tuple[str, float]]


def choose(
    readings: Readings,
    repair: Callable[[str], str],
    agreements: Mapping[str, Agreement] | None = None,
    graphs: Readings = (),
) -> PredictedCaption:
    """The caption with most of the votes; where a drawing fits the image, the most probable by votes and drawing.

    Candidates that mean the same add up, those of `graphs`, what the image says as a graph in each view, among them. An
    image that says nothing as a graph, as two molecules do, is judged as one that was not read so.
    A caption without an agreement is taken to agree as well as the best that has.
    If no candidate is valid, the best is repaired.
    """
    votes = mixed_votes(readings, graphs)
    if not votes:
        best = readings[0][0]
        chosen, confidence = repair(best.text), best.probability
    elif any(graphs):
        chosen, features = weigh_graphs(votes, agreements or {}, graphs, len(readings))
        confidence = _probability(GRAPH_LOG_ODDS, features)
    elif agreements and is_drawn_alike(agreements):
        chosen, features = weigh_agreements(votes, agreements, len(readings))
        confidence = _probability(LOG_ODDS, features)
    else:
        chosen = next(iter(votes))
        weights = NO_FIT_LOG_ODDS if agreements else VOTES_LOG_ODDS
        confidence = _probability(weights, vote_features(chosen, readings))
    others: dict[str, float] = {}
    candidates = (candidate for reading in (*readings, *graphs) for candidate in reading)
    for candidate in sorted(candidates, key=lambda candidate: candidate.score, reverse=True):
        if (candidate.caption or candidate.text) not in (chosen, ""):
            others.setdefault(candidate.caption or candidate.text, candidate.score)
    return PredictedCaption(chosen, confidence, bool(votes), list(others.items()))


def agreed_with_graph(greedy: CaptionCandidate) -> PredictedCaption:
    """A valid greedy caption with its confidence, where the image says the same as a graph."""
    assert greedy.caption is not None
    return PredictedCaption(greedy.caption, _probability(AGREED_LOG_ODDS, agreed_features(greedy)), True, [])


def agreed_features(greedy: CaptionCandidate) -> tuple[float, ...]:
    """The features of the weights AGREED_LOG_ODDS."""
    return 1.0, math.log(max(greedy.probability, LEAST))


def confirmed_by_drawing(candidate: CaptionCandidate, agreement: Agreement) -> PredictedCaption:
    """A valid greedy caption with its confidence, given how well its drawing agrees with the image."""
    assert candidate.caption is not None
    confidence = _probability(GREEDY_LOG_ODDS, greedy_features(candidate, agreement))
    return PredictedCaption(candidate.caption, confidence, True, [])


def greedy_features(candidate: CaptionCandidate, agreement: Agreement) -> tuple[float, ...]:
    """The features of the weights GREEDY_LOG_ODDS."""
    probability = math.log(max(candidate.probability, LEAST))
    return 1.0, probability, log_odds(agreement.correlation), math.log(max(agreement.hole, LEAST))


def vote_features(chosen: str, readings: Readings) -> tuple[float, ...]:
    """The features of the weights VOTES_LOG_ODDS and NO_FIT_LOG_ODDS."""
    votes = (candidate.probability for reading in readings for candidate in reading if candidate.caption == chosen)
    mean = sum(votes) / len(readings)
    return 1.0, log_odds(mean), math.log(len(readings))


def vote_fractions(readings: Readings) -> dict[str, float]:
    """Each valid caption's fraction of the votes, the largest first."""
    votes: dict[str, float] = {}
    for candidate in (candidate for one in readings for candidate in one):
        if candidate.caption is not None:
            counts = candidate.probability if candidate.votes is None else candidate.votes
            votes[candidate.caption] = votes.get(candidate.caption, 0.0) + counts / len(readings)
    return dict(sorted(votes.items(), key=lambda item: -item[1]))


def mixed_votes(readings: Readings, graphs: Readings, graph_fraction: float = GRAPH_FRACTION) -> dict[str, float]:
    """Each valid caption's fraction of the votes, the largest first; readings as graphs have their part of them."""
    votes = vote_fractions(readings)
    of_graphs = vote_fractions(graphs)
    if not of_graphs:
        return votes
    mixed = {
        caption: (1 - graph_fraction) * votes.get(caption, 0.0) + graph_fraction * of_graphs.get(caption, 0.0)
        for caption in {**votes, **of_graphs}
    }
    return dict(sorted(mixed.items(), key=lambda item: -item[1]))


def weigh_graphs(
    votes: Mapping[str, float],
    agreements: Mapping[str, Agreement],
    graphs: Readings,
    num_readings: int,
    drawn: DrawnCosts = DRAWN_COSTS,
) -> tuple[str, tuple[float, ...]]:
    """The most probable caption of an image that was read as graphs too, with the features of GRAPH_LOG_ODDS."""
    chosen, probability = most_probable(votes, agreements, drawn)
    of_graphs = vote_fractions(graphs).get(chosen, 0.0)
    num_looks = num_readings + len(graphs)
    hole = its_drawing(chosen, agreements).hole if agreements else LARGE_HOLE
    return chosen, (
        1.0,
        log_odds(probability),
        log_odds(votes[chosen]),
        of_graphs,
        math.log(num_looks),
        math.log(min(max(hole, LEAST), LARGE_HOLE)),
    )


def weigh_agreements(
    votes: Mapping[str, float], agreements: Mapping[str, Agreement], num_readings: int, drawn: DrawnCosts = DRAWN_COSTS
) -> tuple[str, tuple[float, ...]]:
    """The most probable caption by votes and by agreement with the image, with the features of the weights LOG_ODDS."""
    chosen, probability = most_probable(votes, agreements, drawn)
    return chosen, (
        1.0,
        log_odds(probability),
        math.log(max(its_drawing(chosen, agreements).hole, LEAST)),
        math.log(max(votes[chosen], LEAST)),
        math.log(num_readings),
    )


def its_drawing(caption: str, agreements: Mapping[str, Agreement]) -> Agreement:
    """How a caption's drawing agrees; one that was not drawn is taken to agree as well as the best."""
    return agreements.get(caption) or max(agreements.values(), key=lambda one: one.correlation)


def most_probable(
    votes: Mapping[str, float], agreements: Mapping[str, Agreement], drawn: DrawnCosts = DRAWN_COSTS
) -> tuple[str, float]:
    """The caption that is likeliest by votes and drawings, and its probability among the candidates."""
    evidence = {caption: math.log(max(fraction, sys.float_info.min)) for caption, fraction in votes.items()}
    known = {caption: one for caption, one in agreements.items() if caption in votes}
    least = min((one.mismatch for one in known.values()), default=math.inf)
    if math.isfinite(least):  # else there is no drawing
        otherwise = _sigmoid(drawn.otherwise - drawn.alike * log_odds(_best(known)))
        for caption, one in known.items():
            excess = drawn.mismatch * (one.mismatch - least) / (least + drawn.unavoidable)
            likelihood = (1 - otherwise) * math.exp(-excess) + otherwise * math.isfinite(excess)
            evidence[caption] += math.log(max(likelihood, sys.float_info.min))
    chosen = max(evidence, key=evidence.__getitem__)
    return chosen, 1 / sum(math.exp(other - evidence[chosen]) for other in evidence.values())


def is_drawn_alike(agreements: Mapping[str, Agreement]) -> bool:
    """Whether any drawing fits the image: then its drawer is known, and captions that do not fit are wrong."""
    return _best(agreements) >= DRAWN_ALIKE_FROM


def _best(agreements: Mapping[str, Agreement]) -> float:
    return max(agreement.correlation for agreement in agreements.values())


def _probability(weights: Sequence[float], features: Sequence[float]) -> float:
    return _sigmoid(sum(weight * feature for weight, feature in zip(weights, features, strict=True)))


def _sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


def log_odds(probability: float) -> float:
    """The log-odds of a probability, held within LEAST and MOST."""
    held = min(max(probability, LEAST), MOST)
    return math.log(held / (1 - held))
