"""Runs code in a process of its own, to which the processor is several devices."""

import os
import subprocess
import sys


def on_devices(count: int, code: str, *arguments: str) -> str:
    """Return what code prints."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [sys.executable, "-c", f"import jax\nassert len(jax.devices()) == {count}\n{code}", *arguments],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
