"""What XGBoost's boosters and scikit-learn classes mean.

Enters: a fitted `xgboost.Booster`, `XGBClassifier`, `XGBRegressor`, `XGBRanker`, `XGBRFClassifier`,
`XGBRFRegressor` or `XGBModel`. Leaves: the program of its predictions, margins and leaves.
Never: looks into XGBoost's C++ objects; all it needs stands in the saved model, and the margin
before the first tree is asked of the library itself.

`ubjson` reads the saved model, `model` gives its parts names, `forest` lays the trees out as
arrays, `objectives` knows what each objective does with the margins, `converters` puts them
together, `cases` holds the examples.
"""
