"""From a fitted object or a file to a `CompiledModel`.

Enters: a fitted object (`build`) or a model file (`link`). Leaves: a compiled model, verified
(`equivalence`). Never: knows what a class means (catalog) or how a primitive runs (backends).
"""
