"""The model of bench/scaling.py, against values worked out by hand: `pytest tests/unit/bench/test_scaling.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.scaling import (
    BUCKET_BYTES,
    Cluster,
    Measured,
    copying_s,
    efficiency,
    exposed_s,
    ring_s,
    step_s,
    straggling_s,
)

ROOT = Path(__file__).resolve().parents[3]
MEASURED = Measured(
    forward_s=0.005,
    backward_s=0.010,
    data_s=0.001,
    rest_s=0.050,
    deviation=0.10,
    exchange_s=0.020,
    gradient_bytes=4 * BUCKET_BYTES,
    image_bytes=5_000,
    writing_s=0.001,
)
GIGABIT = 125_000_000.0


def test_four_workers_send_one_and_a_half_times_the_gradients() -> None:
    assert ring_s(100_000_000, Cluster(4, GIGABIT, 0.0, 1)) == pytest.approx(1.5 * 0.8)
    # 2 x 3 messages for each of four buckets, one after another
    assert ring_s(100_000_000, Cluster(4, GIGABIT, 0.001, 1)) == pytest.approx(1.2 + 0.024)
    assert ring_s(100_000_000, Cluster(1, GIGABIT, 0.001, 1)) == 0


def test_backward_hides_all_but_the_last_of_four_buckets() -> None:
    cluster = Cluster(2, GIGABIT, 0.0, 1)
    total = 4 * BUCKET_BYTES / GIGABIT  # 0.84 s
    assert exposed_s(MEASURED, 1000, cluster) == pytest.approx(total / 4)  # 10 s of backward hide the rest
    assert exposed_s(MEASURED, 64, cluster) == pytest.approx(total - 0.64 * 3 / 4)
    assert exposed_s(MEASURED, 0, cluster) == pytest.approx(total)


def test_the_slowest_of_many_is_later_than_that_of_two() -> None:
    assert straggling_s(MEASURED, 64, 1) == 0
    assert straggling_s(MEASURED, 64, 2) == pytest.approx(0.5895 * 0.096, rel=1e-3)  # 0.56 exactly, by order statistics
    assert straggling_s(MEASURED, 64, 512) == pytest.approx(3.03 * 0.096, rel=1e-2)


def test_copying_doubles_at_most() -> None:
    assert copying_s(MEASURED, 2) == pytest.approx(0.020)
    assert copying_s(MEASURED, 512) == pytest.approx(0.040, rel=0.01)


def test_workers_of_one_machine_need_no_network() -> None:
    own = 64 * 0.016 + 0.050
    expected = own + straggling_s(MEASURED, 64, 16) + copying_s(MEASURED, 16)
    assert step_s(MEASURED, 64, Cluster(16, GIGABIT, 0.001, 16)) == pytest.approx(expected)
    assert step_s(MEASURED, 64, Cluster(32, GIGABIT, 0.001, 16)) > expected


def test_a_fixed_batch_stops_scaling_and_a_growing_one_does_not() -> None:
    def worth(cores: int, fraction: float) -> float:
        return efficiency(MEASURED, fraction, Cluster(cores, 25 * GIGABIT, 50e-6, 16))

    assert worth(512, 64) > 0.7
    assert worth(512, 2048 / 512) < 0.3


@pytest.mark.slow
def test_without_a_measurement_it_says_what_to_run(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "bench.scaling", "--results", str(tmp_path / "none.json")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("is not there: run `make bench-distributed` first")


@pytest.mark.slow
def test_the_tables_are_made_from_the_file_that_the_bench_writes(tmp_path: Path) -> None:
    step = {"data": 0.1, "forward": 0.5, "backward": 0.8, "exchange": 0.08, "rest": 0.05, "total": 1.53}
    way = {"num_workers": 2, "threads": 1, "meeting_s": 0.03, "compute_deviation_s": 0.1, "step_s": step}
    results = {
        "num_cores": 2,
        "batch_size": 128,
        "gradient_bytes": 40_000_000,
        "image_bytes": 2500,
        "writing_s_per_image": 0.003,
        "ways": {"two Ray workers": way},
    }
    file = tmp_path / "distributed.json"
    file.write_text(json.dumps(results))
    shown = subprocess.run(
        [sys.executable, "-m", "bench.scaling", "--results", str(file)], cwd=ROOT, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert "two Ray workers" in shown.stdout
    assert shown.stdout.count("512 ") >= 2
