"""A Ray cluster to join: whether it answers, is of our versions, has room enough and sees our storage.

Each failed check is one sentence, where Ray itself would wait for a minute or for ever.
"""

import json
import os
import platform
import socket
import uuid
from pathlib import Path

import grpc
import ray
from ray._private import services
from ray._private.authentication.authentication_token_setup import (
    AUTH_MODE_ENV_VAR,
    maybe_enable_token_auth_if_token_available,
)
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lib.errors import RuntimeMissingError, SettingsError

ANSWER_WITHIN_S = 5.0
LOOK_WITHIN_S = 60.0  # a node may have to start a Python first
_PYTHON = platform.python_version()


def check_cluster_answers(address: str) -> None:
    """Raise RuntimeMissingError unless a Ray cluster of this Ray and this Python answers at host:port or auto.

    Starts nothing, and takes seconds whatever is there.
    """
    try:
        host_port = services.canonicalize_bootstrap_address_or_die(address)
    except (ConnectionError, ValueError, OSError) as error:
        raise _no_answer(address, f"none was found ({error})") from None
    host, _, port = host_port.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_WITHIN_S).close()
    except OSError as error:
        raise _no_answer(address, str(error)) from None
    theirs = _versions(address, host_port)
    for name, key, ours in (("Ray", "ray_version", ray.__version__), ("Python", "python_version", _PYTHON)):
        if theirs[key] != ours:
            raise RuntimeMissingError(
                f"the Ray cluster at cluster.address {address!r} runs {name} {theirs[key]}, here is {name} {ours}: "
                "they must be the same"
            )


def check_room(num_cores: float) -> None:
    """Raise SettingsError if the cluster that was joined is too small: Ray would wait until it has grown."""
    there = ray.cluster_resources().get("CPU", 0)
    if there < num_cores:
        raise SettingsError(
            f"cluster.num_workers x threads_per_worker and num_spark_executors x cores_per_spark_executor come to "
            f"{num_cores:g} cores, the Ray cluster has {there:g}"
        )


def check_folder_is_shared(folder: Path) -> None:
    """Raise SettingsError if a node that may run workers does not see what is written to the folder here."""
    folder.mkdir(parents=True, exist_ok=True)
    mark, word = folder / f".seen-{uuid.uuid4().hex}", uuid.uuid4().hex
    mark.write_text(word)
    try:
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        looks = [
            ray.remote(_reads)
            .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote(str(mark), word)
            for node in nodes
        ]
        blind = [
            node["NodeManagerAddress"]
            for node, is_seen in zip(nodes, ray.get(looks, timeout=LOOK_WITHIN_S), strict=True)
            if not is_seen
        ]
    finally:
        mark.unlink()
    if blind:
        raise SettingsError(
            f"storage.root {folder} is not a folder that all machines of the Ray cluster share: what is written to it "
            f"here is not seen on {', '.join(blind)}"
        )


def _reads(path: str, word: str) -> bool:
    try:
        return Path(path).read_text() == word
    except OSError:
        return False


def _versions(address: str, host_port: str) -> dict[str, str]:
    """What the cluster says of itself; where it wants a token, this process uses its own from now on."""
    try:
        try:
            return _ask(host_port)
        except grpc.RpcError as error:
            # Ray itself takes a token that is there for clusters found by auto alone.
            may_retry = error.code() == grpc.StatusCode.UNAUTHENTICATED and AUTH_MODE_ENV_VAR not in os.environ
            if may_retry and maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
                return _ask(host_port)
            raise
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise RuntimeMissingError(
                f"the Ray cluster at cluster.address {address!r} wants another token: put its own into "
                "RAY_AUTH_TOKEN or ~/.ray/auth_token"
            ) from None
        raise _no_answer(address, f"what is there does not answer as Ray does ({error.code().name})") from None
    except ValueError:
        raise _no_answer(address, "what is there does not say which Ray it is") from None


def _ask(host_port: str) -> dict[str, str]:
    """Ray's own client would wait for 40 s, whatever answers or does not."""
    request = gcs_service_pb2.InternalKVGetRequest(key=b"CLUSTER_METADATA", namespace=b"cluster")
    with init_grpc_channel(host_port) as channel:
        gcs = gcs_service_pb2_grpc.InternalKVGcsServiceStub(channel)
        versions: dict[str, str] = json.loads(gcs.InternalKVGet(request, timeout=ANSWER_WITHIN_S).value)
    return versions


def _no_answer(address: str, why: str) -> RuntimeMissingError:
    return RuntimeMissingError(f"no Ray cluster answers at cluster.address {address!r}: {why}")
