"""Compiled programs that outlive the process."""

from typing import Any

import jax


def keep_programs(folder: str) -> None:
    """Let JAX keep compiled programs in a folder of the user's own, and find them there the next time."""
    config: Any = jax.config
    config.update("jax_compilation_cache_dir", folder)
    config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
