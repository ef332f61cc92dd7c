"""scikit-learn: one file a family of estimators."""
