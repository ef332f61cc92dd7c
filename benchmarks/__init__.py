"""Benchmarks: one file a question, every peer measured in the same run.

- `python -m benchmarks` asks every question (quickly; `--full` for all sizes) and renders the
  answers.
- `python -m benchmarks.<question>` asks one. `--quick`, `--full`, `--threads`, `--budget` as there.
- `python -m benchmarks.report` renders `docs/benchmarks.md` from the results that lie in
  `results/`.

Every question checks, before it times anything, that Millrace answers as the source library does,
and records how far each peer's answer lies from it.
"""
