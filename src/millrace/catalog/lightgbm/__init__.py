"""What LightGBM's boosters and scikit-learn classes mean.

Enters: a fitted `lightgbm.Booster`, `LGBMClassifier`, `LGBMRegressor`, `LGBMRanker` or `LGBMModel`.
Leaves: the program of its ``predict`` with the scores, the transformed predictions and the leaves.
Never: looks into LightGBM's C++ objects; all it needs stands in the model's text.

`text` reads the text, `forest` lays the trees out as arrays, `objectives` knows what each objective
does with the scores, `converters` puts them together, `cases` holds the examples.
"""
