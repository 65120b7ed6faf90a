"""Which seeds are used for what. The ranges do not overlap, so no checkpoint is scored on the samples that selected it.

Every sample has a random generator of its own, initialised with the sample's seed. On a CPU, PyTorch uses only the
lowest 32 bits of a seed, so all ranges stay below 2**32.
"""

USER = range(1_000_000)
"""seeds that users choose with `--seed`: samples, sheets, paintings and films"""

EVALUATION = range(1_000_000, 2_000_000)
"""samples scored by `ganvas evaluate`"""

VALIDATION = range(2_000_000, 3_000_000)
"""latents on which D's confidence is measured while a run trains"""

WATCHED = range(3_000_000, 4_000_000)
"""samples whose diversity and movement are logged and watched by the guard"""

CHECKPOINT_CHOICE = range(4_000_000, 5_000_000)
"""samples that select the best checkpoint: for its score, and for the evaluations during training"""

TRAINING = range(2**31, 2**32)
"""initial weights and training noise, which a run draws from one generator; `train.seed` is an index into this range.
So no training latent is ever shown or scored"""
