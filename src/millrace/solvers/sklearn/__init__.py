"""Solvers for the estimators of scikit-learn, one file a family."""
