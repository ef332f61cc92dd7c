"""Solvers for rows that are in memory: each a function of the matrix, one file a family."""
