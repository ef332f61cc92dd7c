"""The loops of solvers for rows in memory. Numba; imported at first use."""
