"""``python -m millrace``: a script, accelerated, or a command of the program."""

import sys


def main() -> None:
    """Run what the words ask for."""
    from millrace.accel import runner

    if runner.names_script(sys.argv[1:]):
        runner.run(sys.argv[1:])
        return
    from millrace.cli import app

    app(prog_name="millrace")


if __name__ == "__main__":
    main()
