"""Times one training step of this package beside its peers, in one run.

Imports go one way: ``sizes``, ``data``, ``contenders``, ``worker`` and ``workers``, ``timing``,
``epochs``, ``report``, ``__main__``.
"""
