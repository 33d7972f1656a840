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

from lib.serving.api_keys import ApiKeys
from tests.unit.serving.served import ASPIRIN, ROOT, Server, drawing

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    asked = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*asked.split(), "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True)
    return folder / "cert.pem"


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
    assert snippet in (ROOT / "README.md").read_text()
    (tmp_path / "drawing.png").write_bytes(drawing(ASPIRIN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    key = ApiKeys(str(server.lake)).add("reader")
    exec(snippet.replace("http://127.0.0.1:8000", server.url).replace("KEY", key), {})
    assert capsys.readouterr().out.startswith(f"{ASPIRIN} 0.9")
