"""What the fitted objects of other libraries mean, one file a family.

Enters: a fitted object. Leaves: a `Program` and the foreign objects that it calls.
Never: knows hardware, rewrites or backends, or imports a source library at module level.

A converter is a function registered by `converts("public.path.Class")`; the modules of this
package are found by name, no list is kept.
"""

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
    cube,
    examples,
    list_of,
    registered,
    sparse,
    vector,
)
from millrace.catalog.translate import Translation, translate

__all__ = [
    "Context",
    "Decline",
    "Example",
    "Outputs",
    "SparseValue",
    "Translation",
    "converts",
    "cube",
    "examples",
    "list_of",
    "registered",
    "sparse",
    "translate",
    "vector",
]
