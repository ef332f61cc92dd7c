"""Whose memory Arrow's buffers are of: the C library's, where nothing else was chosen.

Arrow's own allocators keep what is freed, up to a hundred megabytes after a Parquet file, and cannot be
told to give all of it back; ``malloc_trim`` can. The choice is read while Arrow is loaded and stands from
then on, so this module loads it. It comes too late where ``pyarrow`` or pandas was imported before.
"""

from __future__ import annotations

import os
from importlib import import_module

_CHOICE = "ARROW_DEFAULT_MEMORY_POOL"

if _CHOICE not in os.environ:
    os.environ[_CHOICE] = "system"
    try:
        import_module("pyarrow")
    finally:
        del os.environ[_CHOICE]  # of this process alone, not of those that it starts
