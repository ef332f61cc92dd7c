"""What the user holds: `CompiledModel`, its file, and how rows of any container reach it.

Enters: a program with its records, and tables of any kind. Leaves: NumPy answers, `.mill` files.
Never: knows a source library, rewrites or a particular backend (it is handed one).
"""
