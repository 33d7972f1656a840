"""What a server that has just started shows: `pytest tests/unit/serving/test_metrics.py`."""

from lib.serving.metrics import Metrics


def test_a_first_change_of_the_model_is_an_increase() -> None:
    metrics = Metrics()
    for outcome in ("changed", "refused"):
        assert metrics.registry.get_sample_value("captionlake_model_changes_total", {"outcome": outcome}) == 0
