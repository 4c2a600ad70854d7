"""Which settings are fastest, measured on the workers that will do the work.

`search.Search` measures and `profile` keeps the best, where ``submit`` finds it. Nothing here decides a
number: every setting gives the same scores.
"""
