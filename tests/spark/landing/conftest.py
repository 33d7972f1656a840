"""Landing zones that several tests read."""

from pathlib import Path

import pytest

from tests.spark.landing_files import image


@pytest.fixture
def arrived(landing: Path) -> Path:
    """A landing zone with one image, p."""
    (landing / "p.png").write_bytes(image(1))
    return landing
