"""Painting images of any size, and films, with the pixel network of a run or with a random one.

from ganvas import painting

painter = painting.random_network("tanh:8x64", seed=3, std=0.6)
art = painting.Subject(painter, painting.random_latent(painter, seed=3), "seed 3")
painting.Painting([art], painting.View(height=400, width=600, zoom=2)).save(Path("art.png"))
"""

from ganvas.networks.view import View
from ganvas.painting.breeding import Genome, breed, random_genome
from ganvas.painting.morph import Morph, Place, load_morph
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.painter import Painter, random_network, trained_network
from ganvas.painting.subjects import Subject, choose_subjects, encode_files, random_latent, seed_latent

__all__ = [
    "Genome",
    "Morph",
    "Painter",
    "Painting",
    "Place",
    "Subject",
    "View",
    "breed",
    "choose_subjects",
    "encode_files",
    "load_morph",
    "load_painting",
    "random_genome",
    "random_latent",
    "random_network",
    "seed_latent",
    "trained_network",
]
