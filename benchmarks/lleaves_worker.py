"""lleaves in a process of its own, since it needs an older llvmlite than Numba does.

Run by the interpreter of the environment that `benchmarks.lleaves_env` makes; imports nothing but
NumPy and lleaves. Takes one JSON request a line and answers with one JSON line:

    {"op": "open", "model": "m.txt", "cache": "m.bin", "fp64": true, "threads": 2,
     "input": "X.npy", "row_by_row": false}                -> {}
    {"op": "time", "repeats": 3}                           -> {"seconds": 0.27}
    {"op": "answer", "output": "y.npy"}                    -> {}
"""

import json
import sys
import time

import lleaves
import numpy as np


class Worker:
    """One compiled model with the rows that it is asked about."""

    def open(self, model, cache, fp64, threads, input, row_by_row):
        self.model = lleaves.Model(model_file=model)
        self.model.compile(cache=cache, use_fp64=fp64)
        self.threads = threads
        X = np.load(input)
        if row_by_row:
            X = X.astype(np.float64 if fp64 else np.float32)
            self.blocks = [X[i : i + 1].copy() for i in range(len(X))]
        else:
            self.blocks = [X]
        return {}

    def run(self):
        predict, threads = self.model.predict, self.threads
        return [predict(block, n_jobs=threads) for block in self.blocks]

    def time(self, repeats):
        start = time.perf_counter()
        for _ in range(repeats):
            self.run()
        return {"seconds": time.perf_counter() - start}

    def answer(self, output):
        np.save(output, np.concatenate(self.run()))
        return {}


def main():
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("op"))(**request)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
