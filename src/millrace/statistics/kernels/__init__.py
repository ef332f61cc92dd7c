"""The loops of statistics that NumPy would need several passes for. Numba; imported at first use."""
