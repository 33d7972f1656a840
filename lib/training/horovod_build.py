"""Set-up of an extra: builds Horovod from source for the torch that is installed. Run by `make horovod`."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "0.28.1"  # the last there is
NEEDED = ("cmake", "make", "c++")
PACKAGES = ("wheel==0.48.0", "cloudpickle==3.1.2")  # that building it and running it needs, beside what is there
# It asks for C++14, which torch's headers have outgrown.
COMPILER = """#!/usr/bin/env bash
exec c++ "${@//-std=c++1[14]/-std=c++17}"
"""
CHOICES = {
    "HOROVOD_WITH_PYTORCH": "1",
    "HOROVOD_WITH_GLOO": "1",
    "HOROVOD_WITHOUT_MPI": "1",
    "HOROVOD_WITHOUT_TENSORFLOW": "1",
    "HOROVOD_WITHOUT_MXNET": "1",
}


def main() -> None:
    """Build and install, then say what is there; exits with one sentence if that is impossible here."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        sys.exit(f"Horovod is built from source, which needs {', '.join(missing)}: install a C++ compiler and cmake")
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
    print(f"Horovod {importlib.metadata.version('horovod')} is installed: set cluster.train_with to horovod to use it")


def install(folder: Path) -> None:
    """Build in the folder; the compiler's messages appear if it fails."""
    compiler = folder / "c++17"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    # A CUDA compiler without its whole toolkit stops the build: name one that is not there, so that none is found.
    environment = os.environ | CHOICES | {"CXX": str(compiler), "CUDACXX": str(folder / "no-cuda")}
    for name in ("CUDA_HOME", "CUDA_PATH", "CUDAToolkit_ROOT"):
        environment.pop(name, None)
    uv = [str(Path(sys.prefix) / "bin" / "uv"), "pip", "install", "--quiet", "--python", sys.executable]
    subprocess.run([*uv, *PACKAGES], env=environment, check=True)
    # Not from the cache: it may hold one that was built for another torch.
    done = subprocess.run(
        [*uv, "--no-build-isolation", "--no-cache", "--no-deps", "--reinstall", f"horovod=={VERSION}"],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nHorovod {VERSION} could not be built: the compiler's messages are above")


if __name__ == "__main__":
    main()
