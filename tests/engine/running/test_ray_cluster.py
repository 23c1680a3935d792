"""Connecting to a Ray cluster that is not there."""

from __future__ import annotations

import socket

import pytest

from engine.errors import ConfigError
from engine.running.backends.ray_cluster import start_ray


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: other tests may have connected this one."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("nothing listens there"))


@pytest.fixture
def closed() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.usefixtures("unconnected")
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_at_which_nothing_listens_is_refused_at_once(closed: str, scheme: str) -> None:
    with pytest.raises(ConfigError, match=f"No Ray cluster answers at '{scheme}{closed}': .*refused"):
        start_ray(f"{scheme}{closed}")


@pytest.mark.usefixtures("unconnected")
def test_so_is_one_in_the_environment(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", closed)
    with pytest.raises(ConfigError, match=f"No Ray cluster answers at '{closed}'"):
        start_ray()


@pytest.mark.usefixtures("unconnected")
def test_a_port_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"No Ray cluster answers at '127\.0\.0\.1:99999'"):
        start_ray("127.0.0.1:99999")
