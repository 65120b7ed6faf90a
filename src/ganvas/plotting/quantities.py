"""The recorded quantities: their titles, and which belong together. Imports nothing heavy."""

from ganvas.metrics.table import METRICS

MONITORS = {
    "score": "score (sliced Wasserstein)",
    "d_loss": "loss of D",
    "g_loss": "loss of G",
    "d_real": "D(real)",  # a probability, or the output of a critic
    "d_fake": "D(fake)",
    "augment_p": "probability of augmentation",
    "gradient_penalty": "gradient penalty",
    "approximation": "error of the approximation",
    "update_size": "update of an image (mean)",
    "eta": "step length η",
    "rise": "rise of D / predicted rise",
    "d_grad_norm": "gradient norm of D",
    "g_grad_norm": "gradient norm of G",
    "d_norm": "weight norm of D",
    "g_norm": "weight norm of G",
    "e_grad_norm": "gradient norm of the encoder",
    "e_norm": "weight norm of the encoder",
    "diversity": "diversity of samples",
    "classes": "classes of samples",
    "movement": "movement of samples",
}

OTHERS = {"kl": "KL of the latents from N(0, 1) (nats per image)", "images_per_second": "images per second"}
"""Titles of quantities that have a figure of their own, or none."""

TOGETHER = {
    "Losses": {"d_loss": "D", "g_loss": "G", "vae_loss": "autoencoder"},
    "Confidence of D": {
        "d_real": "real images",
        "d_fake": "generated",
        "d_fake_validation": "generated from fixed latents",
    },
    "Accuracies of D": {
        "accuracy_real": "real images recognised",
        "accuracy_generated": "generated images that pass",
        "accuracy_detected": "generated images detected",
    },
    "Updates per batch": {"d_steps": "D", "g_steps": "G"},
    "Gradient norms": {"d_grad_norm": "D", "g_grad_norm": "G", "e_grad_norm": "encoder"},
    "Weight norms": {"d_norm": "D", "g_norm": "G", "e_norm": "encoder"},
}
"""Titles of plots -> the quantities that share the plot, with the names of their curves."""


def metric_titles() -> dict[str, str]:
    """The title of each metric, with an arrow that points to better values."""
    arrows = {"lower": "↓", "higher": "↑", "": ""}
    return {name: f"{metric.title} {arrows[metric.better]}" for name, metric in METRICS.items()}
