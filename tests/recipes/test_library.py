import tomllib
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.methods.small_set_gan import SmallSetGANSettings
from ganvas.recipes import library
from ganvas.recipes.recipe import from_dict


@pytest.mark.parametrize("name", library.names())
def test_built_in_recipes_are_whole(name: str) -> None:
    recipe = library.load(name)
    assert recipe.description
    assert from_dict(tomllib.loads(recipe.to_toml())) == recipe


def test_mnist_recipes_have_the_published_numbers() -> None:
    mlp, dcgan = library.load("mnist-mlp-gan"), library.load("mnist-cdcgan")
    for recipe in (mlp, dcgan):
        settings = recipe.method.model_dump()
        assert (settings["lr"], settings["beta1"], settings["latent_size"]) == (2e-4, 0.5, 100)
        assert (recipe.train.batch_size, recipe.train.epochs) == (128, 100)
    assert mlp.network.model_dump()["hidden"] == (150, 300)
    assert mlp.method.model_dump()["d_outputs"] == 2
    assert dcgan.method.model_dump()["conditional"]


def test_recipes_of_the_residual_cppn_are_the_published_program() -> None:
    for name, epochs, width in (("", 6, 6), ("-24-epochs", 24, 6), ("-width-4", 6, 4)):
        recipe = library.load(f"mnist-residual-cppn{name}")
        assert (recipe.data.size, recipe.data.random_crop, recipe.data.splits) == (28, 26, "all")
        network, method = recipe.network.model_dump(), recipe.method.model_dump()
        assert (network["inputs"], network["encoder_std"], network["encoder_dropout"]) == ("unit", 0.02, 0.35)
        assert (network["width"], network["blocks"], network["block_std"]) == (width, 24, 1.0)
        assert (method["d_optimizers"], recipe.train.batch_size, recipe.train.epochs) == (2, 1000, epochs)


def test_small_dcgan_is_the_published_program() -> None:
    recipe = library.load("small-dcgan")
    settings = recipe.method.model_dump()
    assert (settings["latent"], settings["g_latents"], settings["losses"]) == ("uniform", "same", "after")
    assert (settings["g_steps"], recipe.data.shuffle, recipe.train.batch_size) == (2, False, 64)


def test_changes_are_laid_over_a_recipe_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[network]\nname = "mlp"\n[train]\nepochs = 3\nseed = 5\n')
    recipe = library.load(str(file), {"train": {"epochs": 7}})
    assert (recipe.name, recipe.train.epochs, recipe.train.seed, recipe.network.name) == ("mine", 7, 5, "mlp")


@pytest.mark.parametrize(
    "text", ["[train\n", "trian = 1\n", "[train]\nepocs = 1\n", "\xff", f"x = {'[' * 5000}", f"x = {'9' * 5000}"]
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        library.load(str(file))
    assert "\n" not in str(caught.value)


def test_a_length_in_epochs_takes_the_place_of_that_of_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[train]\nimages = 900\n")
    assert library.load(str(file)).total_images(60) == 900
    assert library.load(str(file), {"train": {"epochs": 2}}).total_images(60) == 120
    assert library.load(str(file), {"train": {"epochs": 2, "images": 30}}).total_images(60) == 30


def test_another_name_of_a_setting() -> None:
    assert library.load("small-dcgan", {"method": {"g_advantage": 50}}).method.model_dump()["g_steps"] == 50
    with pytest.raises(UserError, match=r"g_advantage' is another name of 'method\.g_steps': give one"):
        library.load("small-dcgan", {"method": {"g_advantage": 50, "g_steps": 2}})


def test_recipes_of_earlier_versions(tmp_path: Path) -> None:
    """Settings that are gone are left out where they had no effect, else they are unknown."""
    file = tmp_path / "old.toml"
    old = '[method]\nname = "gan"\ng_steps = {}\nmost_g_steps = 50\nlecam = {}\n'
    file.write_text(old.format(2, "0.0"))
    assert library.load(str(file)).method == SmallSetGANSettings(g_steps=2)
    for g_steps, lecam in ((2, 0.1), ('"balance"', "0.0")):
        file.write_text(old.format(g_steps, lecam))
        with pytest.raises(UserError, match=r"^(unknown setting 'method\.\w+'|setting 'method\.g_steps' is 'balance')"):
            library.load(str(file))
    with pytest.raises(UserError, match=r"unknown setting 'method\.lecam'"):
        library.load("small-dcgan", {"method": {"lecam": 0.0}})
