"""Ketcher, EPAM's editor of structures: its files as the package streamlit_ketcher has them, and what they may do.

The package is never imported. Ketcher runs in a frame of an origin of its own, which can reach nothing of the page.
"""

from importlib.util import find_spec
from pathlib import Path

ADDRESS = "/ketcher"
# It compiles WebAssembly in a worker that it makes itself, and its forms' checks from text; it writes its own styles.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; worker-src blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox allow-scripts",
    # A frame with an origin of its own is another site to its own files.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


def editor_folder() -> Path | None:
    """The folder with Ketcher's index.html; None if the package is not installed."""
    package = find_spec("streamlit_ketcher")
    folders = package.submodule_search_locations if package else None
    found = (Path(folder) / "frontend" for folder in folders or ())
    return next((folder for folder in found if (folder / "index.html").is_file()), None)
