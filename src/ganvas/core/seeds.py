"""Which seeds are used for what. The ranges do not overlap: no checkpoint is scored on the samples that chose it.

Every sample has a generator of its own, started with the sample's seed. On a CPU, PyTorch reads only the lowest 32 bits
of a seed, so all ranges stay below 2**32.
"""

USER = range(1_000_000)
"""what people choose as `--seed`: samples, sheets, paintings and films"""

EVALUATION = range(1_000_000, 2_000_000)
"""samples that `ganvas evaluate` scores"""

VALIDATION = range(2_000_000, 3_000_000)
"""latents on which D's confidence is measured while a run trains"""

WATCHED = range(3_000_000, 4_000_000)
"""samples whose diversity and movement the log records, and which the guard judges"""

CHECKPOINT_CHOICE = range(4_000_000, 5_000_000)
"""samples that choose the best checkpoint: those of its score, and of the evaluations while a run trains"""

TRAINING = range(2**31, 2**32)
"""first weights and training noise, which a run draws from one generator; `train.seed` counts from the start. So no
training latent is one that anybody looks at or scores"""
