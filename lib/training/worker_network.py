"""Network settings of each process on a joined Ray cluster, set as it starts; no heavy imports."""

import os

import psutil
import ray.util


def name_own_interface() -> None:
    """Tell torch's gloo by which interface other machines reach this one, unless the environment does.

    Left to itself it takes the address that the machine's own name stands for, on many machines the loopback's.
    """
    own = ray.util.get_node_ip_address()
    for interface, addresses in psutil.net_if_addrs().items():
        if own in (address.address for address in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
