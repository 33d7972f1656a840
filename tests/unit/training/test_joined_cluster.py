"""Clusters that are not there are told in one sentence: `pytest tests/unit/training/test_joined_cluster.py`."""

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from lib.errors import RuntimeMissingError, SettingsError
from lib.sections.training import ClusterSettings
from lib.settings import load_settings
from lib.training import joined_cluster
from lib.training.horovod_training import require_horovod
from lib.training.joined_cluster import check_cluster_answers
from lib.training.worker_network import name_own_interface

NEEDED = ["landing.path=unused", "storage.root=unused"]
RAY_ITSELF_WAITS_S = 40


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("", 0))  # Ray takes 127.0.0.1 for this machine, by whatever address others see it
        listening.listen()
        yield listening


def address_of(listening: socket.socket) -> str:
    return f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_port_at_which_nobody_listens_is_told_at_once(listener: socket.socket) -> None:
    address = address_of(listener)
    listener.close()
    with pytest.raises(RuntimeMissingError, match=f"no Ray cluster answers at cluster.address '{address}'.*refused"):
        check_cluster_answers(address)


def test_a_name_that_no_machine_has_is_told() -> None:
    with pytest.raises(RuntimeMissingError, match=r"no Ray cluster answers at .*'no-such-host\.invalid:6379'"):
        check_cluster_answers("no-such-host.invalid:6379")


def test_a_port_that_says_nothing_is_given_up_long_before_ray_would(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_cluster, "ANSWER_WITHIN_S", 1.0)
    started = time.monotonic()
    with pytest.raises(RuntimeMissingError, match="does not answer as Ray does"):
        check_cluster_answers(address_of(listener))
    assert time.monotonic() - started < RAY_ITSELF_WAITS_S / 2


def test_a_port_that_speaks_something_else_is_told(listener: socket.socket) -> None:
    def speak() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

    threading.Thread(target=speak, daemon=True).start()
    with pytest.raises(RuntimeMissingError, match="does not answer as Ray does"):
        check_cluster_answers(address_of(listener))


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "10.0.0.1", "http://ray:6379", "ray head:6379"])
def test_an_address_that_cannot_be_joined_is_refused_with_the_settings(address: str) -> None:
    with pytest.raises(SettingsError, match=r"cluster.address: write null, auto or host:port \(seen: '"):
        load_settings("molecules", "local", [*NEEDED, f"cluster.address='{address}'"])


@pytest.mark.parametrize(("address", "cores"), [("null", 1), ("10.0.0.1:6379", 3)])
def test_a_worker_asks_for_its_threads_where_cores_are_counted(address: str, cores: int) -> None:
    settings: ClusterSettings = load_settings(
        "molecules", "local", [*NEEDED, f"cluster.address={address}", "cluster.threads_per_worker=3"]
    ).cluster
    assert settings.cores_per_worker == cores


def test_horovod_and_gpus_are_refused_with_the_settings() -> None:
    with pytest.raises(SettingsError, match="cluster: device is gpu, but train_with is horovod"):
        load_settings("molecules", "local", [*NEEDED, "cluster.train_with=horovod", "cluster.device=gpu"])


@pytest.mark.skipif(importlib.util.find_spec("horovod") is not None, reason="Horovod is installed here")
def test_without_horovod_the_error_says_how_to_get_it() -> None:
    with pytest.raises(RuntimeMissingError, match="horovod, which is not installed: run `make horovod`"):
        require_horovod()


def test_gloo_is_told_the_interface_by_which_ray_knows_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")
    for given, wanted in (({}, "lo"), ({"GLOO_SOCKET_IFNAME": "ib0"}, "ib0")):
        monkeypatch.setattr(os, "environ", given)
        name_own_interface()
        assert given == {"GLOO_SOCKET_IFNAME": wanted}
