import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.networks.view import View
from ganvas.painting.breeding import Genome, breed, cross, mutate, random_genome
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.painter import find_painter, random_network, trained_network
from ganvas.painting.recipes import RandomOrigin, RunOrigin
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, load
from ganvas.training.train import train
from tests.painting.test_paint import RESIDUAL

WIDE = "tanh:3x40"


@pytest.fixture(scope="module")
def model(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("bred") / "run"
    list(train(tiny(**RESIDUAL, train={"images": 20}), folder, device="cpu"))
    return load(folder, device="cpu")


def numbers(genome: Genome) -> torch.Tensor:
    """All weights of a genome's network."""
    return torch.cat([each.flatten() for each in genome.subject("cpu").painter.network.parameters()])


def pixels(genome: Genome) -> np.ndarray:
    return np.concatenate(list(Painting([genome.subject("cpu")], View(24, 24)).bands())).astype(float)


def test_weights_are_the_sum_of_random_ones_with_the_same_deviation() -> None:
    a, b, c = (random_network(WIDE, seed, device="cpu").network for seed in (1, 2, 3))
    varied = random_network(WIDE, 1, device="cpu", variations=[(2, 0.6), (3, -0.48)]).network
    for w, of_a, of_b, of_c in zip(*(each.parameters() for each in (varied, a, b, c)), strict=True):
        torch.testing.assert_close(w, 0.64 * of_a + 0.6 * of_b - 0.48 * of_c)
    assert numbers(mutate(random_genome(WIDE, 1), 9, 0.7)).std().item() == pytest.approx(0.45, rel=0.02)


def test_a_trained_layer_gets_weights_in_proportion_to_its_own(model: Model) -> None:
    before, after = (trained_network(model, each).network for each in ((), ((7, 0.5),)))
    for name, trained in before.named_parameters():
        added = after.get_parameter(name) - trained
        if trained.dim() > 2:  # blocks and their layers
            own, new = trained.flatten(2), added.flatten(2)
            noise = new / (0.5 * own.std(2, correction=0, keepdim=True))
            assert 0.8 < noise.std() < 1.2
        else:
            torch.testing.assert_close(added == 0, (trained.std(correction=0) == 0).expand_as(added))
    torch.testing.assert_close(before.output.bias, after.output.bias)  # a single number has no deviation
    assert trained_network(model).network is before


def test_a_mutation_turns_weights_and_latent(model: Model) -> None:
    parent = random_genome(WIDE, 1)
    child = mutate(parent, 5, 0.3)
    similar = torch.nn.functional.cosine_similarity
    assert similar(numbers(parent), numbers(child), 0).item() == pytest.approx(math.cos(0.3), abs=0.02)
    assert similar(parent.z, child.z, 0).item() == pytest.approx(math.cos(0.3), abs=1e-5)
    assert child.z.norm().item() == pytest.approx(parent.z.norm().item(), rel=1e-5)
    assert isinstance(child.origin, RandomOrigin) and child.origin.variations == ((5, round(math.sin(0.3), 6)),)
    again = mutate(child, 6, 0.3).origin.variations
    assert again == ((5, round(math.cos(0.3) * math.sin(0.3), 6)), (6, round(math.sin(0.3), 6)))
    trained = Genome(trained_network(model).origin, (0.0,) * 6)
    assert mutate(mutate(trained, 5, 0.3), 6, 0.3).origin.variations == tuple(
        (s, round(math.sin(0.3), 6)) for s in (5, 6)
    )
    assert mutate(trained, 5, 0.3).latent == trained.latent  # a latent of zeros has no direction to turn from


def test_a_child_of_two_looks_like_both() -> None:
    a, b = random_genome(WIDE, 1), random_genome(WIDE, 2)
    child = cross(a, b)
    assert child.origin == a.origin.model_copy(update={"variations": ((2, round(math.sqrt(0.5), 6)),)})
    torch.testing.assert_close(numbers(child), (numbers(a) + numbers(b)) * math.sqrt(0.5), atol=1e-5, rtol=1e-4)
    assert cross(a, b, 0) == a
    torch.testing.assert_close(numbers(cross(a, b, 1)), numbers(b))
    assert cross(a, b, 1).latent == b.latent
    relatives = cross(mutate(a, 5, 0.4), mutate(a, 5, 0.2))  # what they share adds up
    assert relatives.origin.variations == ((5, pytest.approx(math.sin(0.3), abs=2e-6)),)


def test_children_resemble_their_parent() -> None:
    parent, stranger = random_genome("tanh:8x64", 3), random_genome("tanh:8x64", 5)
    own = pixels(parent)

    def likeness(genome: Genome) -> float:
        return float(np.corrcoef(own.ravel(), pixels(genome).ravel())[0, 1])

    children = [likeness(child) for child in breed([parent], 1, 0.02)]
    assert np.median(children) > 0.5 > likeness(stranger)
    assert len({child.latent for child in breed([parent], 1)}) == 9
    assert breed([parent], 1) == breed([parent], 1) != breed([parent], 2)
    assert all(child.latent == parent.latent for child in breed([parent], 1, 0.0))


def test_variations_of_one_run_are_averaged(model: Model) -> None:
    wild = Genome(trained_network(model).origin, (1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    a, b = mutate(wild, 5, 0.4), mutate(mutate(wild, 5, 0.4), 6, 0.2)
    child = cross(a, b)
    assert isinstance(child.origin, RunOrigin)
    assert child.origin.variations == ((5, round(math.sin(0.4), 6)), (6, pytest.approx(math.sin(0.2) / 2, abs=1e-6)))


def test_parents_of_different_kinds(model: Model) -> None:
    a, b = random_genome("tanh:2x8", 1), random_genome("softplus:2x8", 2)
    assert cross(a, b, 0.4).origin == a.origin and cross(a, b, 0.6).origin == b.origin
    assert cross(a, b, 0.4).latent not in (a.latent, b.latent)  # both have 32 numbers
    trained = Genome(trained_network(model).origin, (1.0,) * 6)
    assert cross(a, trained, 0.4) == a and cross(a, trained, 0.6) == trained


def test_only_the_largest_variations_are_kept() -> None:
    genome = random_genome("tanh:2x4", 0)
    for seed in range(1, 80):
        genome = mutate(genome, seed, 0.06 if seed > 40 else 0.05)
    assert [seed for seed, _ in genome.origin.variations] == list(range(16, 80))
    assert numbers(genome).isfinite().all()
    assert mutate(genome, 99, 0.001).origin.variations[-1] == (99, 0.001)  # however small it is


def test_a_bred_painting_is_painted_again_from_its_file(model: Model, tmp_path: Path) -> None:
    trained = Genome(trained_network(model).origin, (0.5, 1.0, 0.0, 0.0, 0.0, -2.0))
    for i, parent in enumerate((random_genome("tanh:3x8", 4, colour=True), trained)):
        child = breed([breed([parent], 1)[0], breed([parent], 1)[1]], 2)[4]
        art = Painting([child.subject("cpu")], View(20, 30))
        art.save(tmp_path / f"{i}.png")
        again = load_painting(tmp_path / f"{i}.png", device="cpu")
        assert Genome(again.subjects[0].painter.origin, tuple(again.subjects[0].z.tolist())) == child
        assert (np.concatenate(list(again.bands())) == np.concatenate(list(art.bands()))).all()


def test_what_cannot_be_bred() -> None:
    parent = random_genome("tanh:2x4", 0)
    for call, message in (
        (lambda: breed([], 1), "one or two parents, not 0"),
        (lambda: breed([parent] * 3, 1), "not 3"),
        (lambda: breed([parent], 1, 2.0), "from 0 to 1.57"),
        (lambda: breed([parent], 1, count=0), "1 or more"),
        (lambda: random_network("tanh:2x4", 0, variations=[(1, 0.9), (2, 0.9)]), "a sum of at most 1"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    too_much = parent.origin.model_copy(update={"variations": ((1, 0.9), (2, 0.9))})
    with pytest.raises(UserError, match="a sum of at most 1"):
        find_painter(too_much, Path("a.png"))
