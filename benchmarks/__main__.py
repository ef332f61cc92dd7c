"""Ask every question, each in a process of its own, then render `docs/benchmarks.md`.

`python -m benchmarks` is quick (some minutes); `--full` takes all sizes (hours). A question that
fails does not stop the others; the exit code says whether one did.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import report


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, few rounds (default)")
    size.add_argument("--full", action="store_true", help="all sizes")
    parser.add_argument("only", nargs="*", help=f"questions; all of {', '.join(report.ORDER)}")
    given = parser.parse_args()
    failed = [q for q in given.only or report.ORDER if not ask(q, full=given.full)]
    report.main()
    if failed:
        print(f"without a result: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def ask(question: str, *, full: bool) -> bool:
    print(f"\n=== {question}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{question}", "--full" if full else "--quick"]
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
