"""What captioning loads: `pytest tests/unit/captioning/test_imports.py`."""

import subprocess
import sys


def test_captioning_does_not_load_torchvision_which_takes_a_second() -> None:
    asked = "import sys, lib.captioning.image_captioning; print('torch' in sys.modules, 'torchvision' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["True", "False"]
