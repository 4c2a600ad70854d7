"""Other ways to the same scores, a module each; `_dense` and `_spread` are what several of them share.

A way is a module with ``LABEL``, ``NEEDS`` (distributions that must be installed), ``SMALL`` (whether it is
so slow that it gets the small sample), and functions ``start(threads)``, ``run(task) -> Scores``, ``stop()``.
"""
