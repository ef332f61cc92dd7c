"""CatBoost models: symmetric and non-symmetric trees over numbers and one-hot categories.

Semantics matched: CatBoost 1.2.10, ``libs/model/cpu/quantization.h`` (which side of a border),
``libs/model/cpu/evaluator_impl.cpp`` (sums), ``libs/model/scale_and_bias.cpp``,
``libs/model/eval_processing.h`` and ``libs/eval_result/eval_helpers.cpp`` (prediction types).
The model is read through ``save_model(format="json")``.

Input: numbers are rounded to float32 first, whatever their dtype, and go right where
``value > border``. Infinities are ordinary values.

Missing values: NaN goes right where the feature had NaN while fitting and ``nan_mode="Max"``, else
left, also with ``nan_mode="Forbidden"`` and where no NaN was seen.

Categories: CatBoost compares hashes of their texts (see `cityhash`); integers and booleans are
texts like ``"3"`` and ``"1"``; floats and missing cells are refused.

Exactness: raw values, classes and probabilities have the same bits; exponents and softmax go
through the same table and polynomial as upstream's ``FastExpInplace``. Below -708.39 upstream's
exponential is 0 or 3e-308 depending on the position in its vector; here it is 3e-308. Log
probabilities differ by at most 4 ulp or 4.5e-16 absolute, where NumPy's exp and log differ from
libm's.

Fall back: target statistics (categorical features past ``one_hot_max_size``), text and embedding
features, and classes that are named but were absent while fitting.
"""
