"""A caption chosen by votes and by how drawings agree: `pytest tests/unit/captioning/test_caption_choice.py`."""

import math

import pytest

from lib.captioning.caption_choice import LARGE_HOLE, CaptionCandidate, choose, mixed_votes, vote_fractions
from lib.captioning.redrawing import DISAGREEMENT, Agreement


def reading(**probabilities: float) -> list[CaptionCandidate]:
    return [
        CaptionCandidate(name.lower(), name, math.log(fraction), fraction) for name, fraction in probabilities.items()
    ]


def no_repair(text: str) -> str:
    raise AssertionError(f"{text} was to be repaired")


def test_shares_are_means_over_readings_the_largest_first() -> None:
    readings = [reading(A=0.4, B=0.2), [CaptionCandidate("(", None, 0.0, 1.0), *reading(B=0.6)]]
    assert vote_fractions(readings) == pytest.approx({"B": 0.4, "A": 0.2})
    assert list(vote_fractions(readings)) == ["B", "A"]


def test_readings_as_graphs_have_their_part_of_the_votes_and_others_none_where_nothing_was_seen() -> None:
    readings, graphs = [reading(A=0.6, B=0.2)], [reading(B=0.9, C=0.1), reading(B=0.5)]
    assert mixed_votes(readings, graphs, 0.25) == pytest.approx({"A": 0.45, "B": 0.15 + 0.175, "C": 0.0125})
    assert mixed_votes(readings, [[], []]) == mixed_votes(readings, []) == vote_fractions(readings)
    assert next(iter(mixed_votes([[]], graphs))) == "B"


def test_a_caption_that_graphs_say_is_chosen_and_surer_than_one_that_they_do_not() -> None:
    readings = [reading(A=0.5, B=0.4)]
    assert choose(readings, no_repair).caption == "A"
    for_b, for_a = ([reading(**{name: 1.0})] * 3 for name in "BA")
    assert choose(readings, no_repair, graphs=for_b).caption == "B"
    agreeing, lone = choose(readings, no_repair, graphs=for_a), choose(readings, no_repair, graphs=[*for_a[:1], [], []])
    assert agreeing.caption == lone.caption == "A"
    assert agreeing.confidence > lone.confidence
    assert {caption for caption, _ in choose(readings, no_repair, graphs=[reading(C=1.0)]).alternatives} >= {"B"}


def test_a_drawing_that_fits_outweighs_graphs_too() -> None:
    graphs = [reading(B=1.0)] * 3
    drawn = {"A": Agreement(0.97, 0.9, 0.05), "B": Agreement(0.9, 9.0, 0.9)}
    assert choose([reading(A=0.3, B=0.6)], no_repair, drawn, graphs=graphs).caption == "A"


def test_a_drawing_that_leaves_less_bare_outweighs_votes_in_proportion() -> None:
    readings = [reading(A=0.9, B=0.01)]
    close = {"A": Agreement(0.95, 1.2, 0.3), "B": Agreement(0.96, 0.9, 0.3)}
    clear = {"A": Agreement(0.93, 2.0, 0.3), "B": Agreement(0.97, 0.9, 0.3)}
    assert choose(readings, no_repair, close).caption == "A"
    assert choose(readings, no_repair, clear).caption == "B"


def test_few_votes_do_not_win_by_a_drawing_that_fits_a_little_better_than_others() -> None:
    readings = [reading(A=0.9, B=0.002)]
    drawn = {"A": Agreement(0.4, 200.0, 1.0), "B": Agreement(0.8, 20.0, 0.6)}  # an image in another layout
    assert choose(readings, no_repair, drawn).caption == "A"
    drawn["B"] = Agreement(0.99, 1.0, 0.1)
    assert choose(readings, no_repair, drawn).caption == "B"


def test_an_image_that_says_nothing_as_a_graph_is_judged_as_one_that_was_not_read_so() -> None:
    readings, drawn = [reading(A=0.5, B=0.4)], {"A": Agreement(0.6, 80.0, 0.8), "B": Agreement(0.6, 82.0, 0.8)}
    assert choose(readings, no_repair, drawn, [[], []]) == choose(readings, no_repair, drawn)
    assert choose(readings, no_repair, drawn, [[], reading(A=1.0)]) != choose(readings, no_repair, drawn)


def test_where_not_even_the_best_drawing_fits_well_votes_weigh_more() -> None:
    readings = [reading(A=0.9, B=0.02)]
    well, badly = ({"A": Agreement(0.93, least + 1.1, 0.3), "B": Agreement(0.94, least, 0.3)} for least in (0.9, 12.0))
    assert choose(readings, no_repair, well).caption == "B"
    assert choose(readings, no_repair, badly).caption == "A"


def test_where_no_drawing_is_of_this_image_votes_decide_and_are_trusted_less() -> None:
    readings = [reading(A=0.5, B=0.4)]
    strange = {"A": Agreement(0.5, 90.0, 0.3), "B": Agreement(0.6, 10.0, 0.3)}
    assert choose(readings, no_repair, strange).caption == "A"
    assert choose(readings, no_repair, strange).confidence < 0.3
    assert choose(readings, no_repair).confidence == pytest.approx(0.5)


def test_what_was_not_drawn_yet_may_agree_as_well_as_the_best() -> None:
    one_drawn = {"A": Agreement(0.97, 1.0, 0.3)}
    rival = choose([reading(A=0.4, B=0.39)], no_repair, one_drawn)
    no_rival = choose([reading(A=0.4, B=0.001)], no_repair, one_drawn)
    beaten_rival = choose([reading(A=0.4, B=0.39)], no_repair, one_drawn | {"B": Agreement(0.9, 5.0, 0.3)})
    assert rival.confidence < no_rival.confidence
    assert beaten_rival.confidence > no_rival.confidence


def test_what_cannot_be_drawn_is_chosen_only_where_nothing_can() -> None:
    readings = [reading(A=0.9, B=0.01)]
    assert choose(readings, no_repair, {"A": DISAGREEMENT, "B": Agreement(0.9, 1.0, 0.3)}).caption == "B"
    assert choose(readings, no_repair, {"A": DISAGREEMENT, "B": DISAGREEMENT}).caption == "A"


def test_confidence_grows_with_votes_and_with_readings_and_shrinks_with_a_hole() -> None:
    def confidence(hole: float, fraction: float, num_readings: int = 1) -> float:
        agreements = {"A": Agreement(0.95, 1.0, hole)}
        return choose([reading(A=fraction)] * num_readings, no_repair, agreements).confidence

    assert confidence(0.3, 0.5, 1) < confidence(0.3, 0.5, 4)
    assert confidence(0.8, 0.9) < confidence(0.1, 0.9)
    assert confidence(0.1, 0.01) < confidence(0.1, 0.9)
    assert 0 < confidence(1.0, 1e-30) < confidence(0.0, 1.0) < 1


def test_confidence_of_graphs_shrinks_with_a_hole_as_long_as_it_tells_something() -> None:
    confidences = [
        choose([reading(A=0.9)], no_repair, {"A": Agreement(0.95, 3.0, hole)}, graphs=[reading(A=1.0)]).confidence
        for hole in (0.02, 0.1, LARGE_HOLE, 0.9)
    ]
    assert confidences[0] > confidences[1] > confidences[2] == confidences[3]
    assert choose([reading(A=0.9)], no_repair, graphs=[reading(A=1.0)]).confidence == confidences[2]
