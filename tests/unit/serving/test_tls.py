"""Captions over TLS, asked by the snippet that the documents show: `pytest tests/unit/serving/test_tls.py`."""

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lib.errors import SettingsError
from lib.serving.api_keys import ApiKeys
from lib.serving.server import check_tls_and_keys
from lib.settings import load_settings
from tests.known_molecules import ASPIRIN
from tests.unit.serving.served import ROOT, Server, drawing

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    asked = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*asked.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True)
    return folder / "cert.pem"


@pytest.mark.parametrize("section", ["serving", "reviewing"])
@pytest.mark.parametrize("fault", ["no certificate", "no key", "another key", "a passphrase", "not there", "a folder"])
def test_files_that_tls_cannot_use_are_said_in_one_sentence(
    certificate: Path, tmp_path: Path, section: str, fault: str
) -> None:
    files = {"certificate": tmp_path / "cert.pem", "key": tmp_path / "key.pem"}
    shutil.copy(certificate, files["certificate"])
    shutil.copy(certificate.parent / "key.pem", files["key"])
    changed = files["certificate" if fault == "no certificate" else "key"]
    if fault in ("no certificate", "no key"):
        changed.write_text("nothing of the kind\n")
    elif fault == "another key":
        subprocess.run(["openssl", "genrsa", "-out", changed, "2048"], check=True, capture_output=True)
    elif fault == "a passphrase":
        asked = ["openssl", "rsa", "-aes256", "-passout", "pass:secret", "-in", certificate.parent / "key.pem"]
        subprocess.run([*asked, "-out", changed], check=True, capture_output=True)
    else:
        changed.unlink()
        if fault == "a folder":
            changed.mkdir()
    named = [f"{section}.tls_{name}={path}" for name, path in files.items()]
    with pytest.raises(SettingsError, match=rf"{section}\.tls_") as refused:
        check_tls_and_keys(getattr(load_settings("molecules", "local", named), section), None)
    assert "\n" not in str(refused.value)
    assert ("without a passphrase" in str(refused.value)) is (fault not in ("not there", "a folder"))


@pytest.fixture(scope="module")
def server(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("served")
    tls = (f"serving.tls_certificate={certificate}", f"serving.tls_key={certificate.parent / 'key.pem'}")
    server = Server(root, "serving.num_processes=1", *tls)
    server.wait_until_it_listens()
    yield server
    server.kill()


def test_the_snippet_of_the_documents_captions_over_tls(
    server: Server,
    certificate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert server.url.startswith("https://")
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/healthz")  # nobody vouches for this certificate
    trusted = ssl.create_default_context(cafile=str(certificate))
    while httpx.get(server.url + "/readyz", verify=trusted).status_code != 200:
        assert server.process.poll() is None
        time.sleep(0.1)
    text = (ROOT / "docs/serving.md").read_text()
    (snippet,) = re.findall(r"^```python\n(import httpx.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "drawing.png").write_bytes(drawing(ASPIRIN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    key = ApiKeys(str(server.lake)).add("reader")
    exec(snippet.replace("http://127.0.0.1:8000", server.url).replace("KEY", key), {})
    assert capsys.readouterr().out.startswith(f"{ASPIRIN} 0.9")
