"""What the trials with faults have in common: programs and servers that are killed, paused and cut off, a load, and a model of what it did.

`tests/soak.py` and `tests/galera.py` use it. Python, as the other checks from outside: nothing here shares code with what it tries.
"""
