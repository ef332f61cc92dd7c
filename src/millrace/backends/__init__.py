"""Program -> executable. One folder a backend; no backend knows another.

Enters: a `Program` and the dtypes of its input columns. Leaves: an executable that maps columns to
the program's outputs. Never: looks at fitted objects or files.
"""
