"""The parity gate: the same objects through every way a model may be run, against a reference.

`gate.examine` is the whole of it: static checks of the file, golden objects, reference scores, variants,
a verdict against the tagger's tolerance. Verdicts are kept (`record`) and ``submit`` asks for them.
"""
