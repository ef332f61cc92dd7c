"""Make the environment that lleaves runs in: `python -m benchmarks.lleaves_env`.

lleaves 1.3 builds its passes with parts of llvmlite that newer versions no longer have, so it
cannot share an environment with a current Numba. Where this environment is missing, lleaves is
skipped, and the tables say so. `MILLRACE_LLEAVES_PYTHON` names another interpreter to use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.harness import CACHE, Skip

REQUIREMENTS = ("lleaves==1.3.0", "llvmlite==0.43.0", "numpy<2.3")
FOLDER = CACHE / "lleaves-venv"


def interpreter() -> str:
    """The Python that can import lleaves.

    Raises
    ------
    Skip
        No such environment was made.
    """
    python = Path(os.environ.get("MILLRACE_LLEAVES_PYTHON", FOLDER / "bin" / "python"))
    if not python.exists():
        raise Skip("no environment for it: run python -m benchmarks.lleaves_env")
    return str(python)


def version() -> str:
    """The version of lleaves in its environment."""
    code = "from importlib import metadata; print(metadata.version('lleaves'))"
    done = subprocess.run([interpreter(), "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    venv.create(FOLDER, with_pip=True)
    python = FOLDER / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    subprocess.run([python, "-c", "import lleaves"], check=True)
    print(f"lleaves is ready in {FOLDER.relative_to(Path.cwd())}", file=sys.stderr)


if __name__ == "__main__":
    main()
