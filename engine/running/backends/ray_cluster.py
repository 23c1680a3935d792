"""Connects to a Ray cluster, or starts a private one on this machine."""

from __future__ import annotations

import os
import socket
import tempfile
from typing import Any

from engine import hidden_packages
from engine.errors import ConfigError
from engine.running.backends.fork_start import KEEP_MEMORY

OBJECT_STORE_BYTES = 256 * 2**20  # enough, because it holds only rows of split shards; Ray's default is 30 % of memory
ANSWER_S = 10.0  # seconds for a cluster to accept a connection
_LONGEST_FOLDER = 107 - len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.12345")


def start_ray(address: str | None = None) -> Any:
    """Connect to the Ray cluster at `address` (default: RAY_ADDRESS), or start a private one. Returns the module `ray`.

    If there is a connection already, it is used. Raises ConfigError if no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray would print a paragraph for each lost worker. It is not needed, because the run's notes name the shard.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker died or was killed|actor died|Lease ID")
    address = address or os.environ.get("RAY_ADDRESS")
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # only reachable on this machine
        for name, value in KEEP_MEMORY.items():
            os.environ.setdefault(name, value)  # for the workers; too late for this process
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"Ray is not installed ({error}): install it, or use --runner local.") from error
    if ray.is_initialized():
        return ray
    if address is not None:
        _check_answers(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if hidden_packages():  # workers must not import a user's model.py, for example, instead of the engine's package
        options["runtime_env"] = {"worker_process_setup_hook": "engine.use_own_packages"}
    if address is None:
        options |= {
            "include_dashboard": False,
            "num_cpus": os.cpu_count(),
            "object_store_memory": OBJECT_STORE_BYTES,
            **short_folder(),
        }
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"No Ray cluster answers at '{address}': {error}") from error
    return ray


def _check_answers(address: str) -> None:
    """Raise ConfigError if nothing listens at host:port, because Ray would try again for several minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # such as "auto"
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"No Ray cluster answers at '{address}': {error}") from error


def short_folder() -> dict[str, str]:
    """Options for ray.init that put its sockets in /tmp, if their paths would exceed the limit of 107 bytes."""
    given = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(given)) <= _LONGEST_FOLDER:
        return {}
    if os.access("/tmp", os.W_OK | os.X_OK):
        return {"_temp_dir": "/tmp/ray"}
    raise ConfigError(
        f"The temporary folder '{given}' is too long for Ray's sockets: set RAY_TMPDIR to a path of at most "
        f"{_LONGEST_FOLDER} bytes, or use --runner local."
    )
