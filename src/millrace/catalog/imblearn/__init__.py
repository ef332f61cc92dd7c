"""What imbalanced-learn's fitted objects mean: scikit-learn's, without the samplers."""
