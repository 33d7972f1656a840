"""One finished pipeline over 60 drawings, run as a user runs it, for all tests that look at what it left."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SMALL = [
    "captioner.grid_width=32",
    "captioner.width=32",
    "captioner.embedding_width=16",
    "captioner.num_attention_heads=2",
    "training.batch_size=16",
    "training.num_epochs=2",
    "training.log_interval_steps=1",
    "captions.test_fraction=0.1",
    "captions.validation_fraction=0.1",
    "training.start_from=null",
    "training.learning_rate=0.0012",
]


@dataclass(frozen=True)
class Run:
    """A lake and the arguments that made it."""

    root: Path

    @property
    def overrides(self) -> list[str]:
        return [f"storage.root={self.root}", f"landing.path={self.root / 'landing'}", *SMALL]

    def command(self, job: str, *more: str) -> list[str]:
        sets = [word for override in (*self.overrides, *more) for word in ("--set", override)]
        return [sys.executable, "-m", f"jobs.{job}", *sets]

    def run(self, job: str, *more: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(job, *more), capture_output=True, text=True, timeout=timeout_s)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("lake"))
    drawn = run.run("draw_molecules", "drawing.num_drawings=60")
    assert drawn.returncode == 0, drawn.stderr
    (run.root / "landing" / "bad.png").write_bytes(b"a text file called .png")
    pipeline = run.run("run_pipeline")
    assert pipeline.returncode == 0, pipeline.stdout + pipeline.stderr
    (run.root / "pipeline.log").write_text(pipeline.stdout + pipeline.stderr)
    return run
