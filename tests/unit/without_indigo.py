"""What a platform looks like that has no wheel of epam.indigo."""

import os
from pathlib import Path


def environment_without_indigo(folder: Path) -> dict[str, str]:
    """The environment of a process that cannot import indigo: another package of that name in `folder` comes first."""
    package = folder / "no_indigo/indigo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no module named indigo')\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])}
