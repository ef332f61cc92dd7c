"""The kernels: few, each with a NumPy twin in the reference backend.

Enters: arrays of a `QuantizedForest` and rows. Leaves: results in arrays that the caller gave.
Never: allocates per row, touches Python objects, holds the GIL.

Kernels are compiled by Numba when first called, once for each combination of dtypes, and cached
on disk. Where LLVM's own vectoriser gives up (it cannot know that arrays do not overlap),
`vectors` writes the inner loop as LLVM vector code, which every CPU target can lower.
"""
