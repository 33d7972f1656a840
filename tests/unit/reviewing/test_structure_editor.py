"""Ketcher's files as they are served, what its frame may do, and a page without it."""

import sys
from pathlib import Path

import pytest

from lib.reviewing.structure_editor import editor_folder
from tests.known_molecules import ETHANOL
from tests.unit.reviewing.review_page import JSON, ReviewPage, RunnableParts
from tests.unit.reviewing.reviewed_lake import image, prediction, write

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like Ketcher's, which cannot be imported; beside its files is one that is not to be served."""
    package = tmp_path / "packages" / "streamlit_ketcher"
    (package / "frontend" / "static").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('streamlit is not installed')")
    (package / "secret.txt").write_text("secret")
    (package / "frontend" / "index.html").write_text("<title>Ketcher</title>")
    (package / "frontend" / "static" / "main.js").write_text("'main'")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlit_ketcher", None)


def page_of(tmp_path: Path, dataset: str) -> ReviewPage:
    write(tmp_path / "lake", "caption_predictions", [prediction("a", 0.5, caption=ETHANOL)])
    write(tmp_path / "lake", "images_clean", [{"image_id": "a", "image": image("OH")}])
    return ReviewPage(tmp_path / "lake", dataset=dataset)


@pytest.mark.usefixtures("installed")
def test_the_editor_is_served_with_a_policy_of_its_own_and_the_page_keeps_its_own(tmp_path: Path) -> None:
    page = page_of(tmp_path, "molecules")
    for address in ("/ketcher/", "/ketcher/index.html"):
        assert page.client.get(address).text == "<title>Ketcher</title>"
    script = page.client.get("/ketcher/static/main.js")
    assert (script.text, script.headers["cross-origin-resource-policy"]) == ("'main'", "cross-origin")
    allowed = script.headers["content-security-policy"]
    assert "sandbox allow-scripts" in allowed  # an origin of its own
    assert "frame-ancestors 'self'" in allowed
    assert "default-src 'none'" in allowed
    for address in ("/", "/image?image_id=a&model_version=m1", "/static/drawing.js", "/ketcher"):
        answer = page.client.get(address, follow_redirects=False)
        assert answer.headers["content-security-policy"] == PAGE_POLICY
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "streamlit_ketcher" not in sys.modules


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "address",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "static/..%2f..%2fsecret.txt",
        "..%5csecret.txt",
        "%2fetc/passwd",
        "static/",
    ],
)
def test_nothing_outside_the_editors_folder_is_served(tmp_path: Path, address: str) -> None:
    answer = page_of(tmp_path, "molecules").client.get(f"/ketcher/{address}", headers=JSON)
    assert (answer.status_code, answer.json()) == (404, {"detail": "there is no such page"})


@pytest.mark.usefixtures("installed")
def test_a_molecule_has_a_button_to_draw_and_a_sentence_has_none(tmp_path: Path) -> None:
    shown = page_of(tmp_path, "molecules").image("a").text
    assert 'id="draw" data-key="d"' in shown
    assert RunnableParts(shown).found == []
    shown = page_of(tmp_path, "photos").image("a").text
    assert "Draw" not in shown


@pytest.mark.usefixtures("absent")
def test_without_the_package_the_page_says_how_to_get_it(tmp_path: Path) -> None:
    assert editor_folder() is None
    page = page_of(tmp_path, "molecules")
    shown = page.image("a").text
    assert "To correct by drawing, run <code>make ketcher</code> and start this page again." in shown
    assert 'id="draw"' not in shown
    assert page.client.get("/ketcher/").status_code == 404
    assert "make ketcher" not in page_of(tmp_path, "photos").image("a").text


def test_a_caption_is_opened_as_a_molfile_and_what_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    page = page_of(tmp_path, "molecules")
    try:
        for typed in (ETHANOL, " OCC "):
            molfile = page.get("/files/structure", caption=typed)
            assert molfile.headers["content-type"].startswith("text/plain")
            assert "  3  2  0" in molfile.text  # atoms and bonds
        refused = page.client.get("/files/structure?caption=no+molecule", headers=JSON)
        assert refused.status_code == 422
        assert "this is not a well-formed InChI or SMILES" in refused.json()["detail"]
    finally:
        page.parts.desk.close()
    words = page_of(tmp_path, "photos").client.get("/files/structure?caption=two+dogs", headers=JSON)
    assert words.json() == {"detail": "this caption has no structure that can be drawn"}
