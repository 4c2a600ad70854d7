"""Parity: the same scores in every way a model may be run, and as its training framework gives.

`examine.examine` is the whole of it: static checks of the file, reference objects, reference scores,
variants, a verdict against the tagger's tolerance. Verdicts are kept (`validation_record`), ``submit`` looks
for them.
"""
