"""What the engine does with a setting derives from the marks at its field."""

import pytest

from ganvas.methods import METHODS
from ganvas.methods.cfg_gan import CFGGANSettings
from ganvas.methods.cppn_vae_gan import CPPNVAEGANSettings
from ganvas.methods.residual_cppn import ResidualCPPNSettings
from ganvas.methods.small_set_gan import SmallSetGANSettings
from ganvas.methods.wgan_gp import WGANGPSettings


def test_slowdown_settings() -> None:
    assert WGANGPSettings(lr=1e-3).slowdown_settings() == {"G": {"lr": 1e-3}, "D": {"d_lr": 1e-3}}
    assert SmallSetGANSettings(d_lr=1e-5).slowdown_settings() == {"G": {"lr": 2e-4}, "D": {"d_lr": 1e-5}}
    assert CFGGANSettings().slowdown_settings() == {"G": {"g_lr": 2.5e-4}, "D": {"d_lr": 2.5e-4, "eta": 2.5}}
    assert CPPNVAEGANSettings().slowdown_settings() == {"G": {"g_lr": 5e-3, "vae_lr": 1e-3}, "D": {"d_lr": 1e-3}}
    assert ResidualCPPNSettings().slowdown_settings() == {"G": {"g_lr": 1e-3}, "D": {"d_lr": 1e-3}}


def test_learning_rates() -> None:
    assert WGANGPSettings(lr=1e-3).learning_rates() == {"G": 1e-3, "D": 1e-3}
    assert CFGGANSettings(d_lr=0.5).learning_rates() == {"D": 0.5}
    assert CPPNVAEGANSettings().learning_rates() == {"G": 5e-3, "VAE": 1e-3, "D": 1e-3}
    assert ResidualCPPNSettings(d_lr=0.1).learning_rates() == {"G": 1e-3, "D": 0.1, "D_real": 0.1}


def test_inherited_and_overridden_settings() -> None:
    assert WGANGPSettings().inherits_from() == {"d_lr": "lr"}
    assert WGANGPSettings(d_lr=1.0).inherits_from() == CFGGANSettings().inherits_from() == {}
    assert WGANGPSettings().overridden_by() == {}
    assert WGANGPSettings(clip=0.01).overridden_by() == {"penalty": "clip"}
    assert SmallSetGANSettings(augment_target=0.6).overridden_by() == {"augment_p": "augment_target"}


def test_build_time_settings_and_aliases() -> None:
    common = {"latent_size", "ema_images", "beta1", "beta2"}
    assert WGANGPSettings.build_time() == CPPNVAEGANSettings.build_time() == common
    assert SmallSetGANSettings.build_time() == common | {"augment_target", "d_outputs", "penalty_every"}
    assert ResidualCPPNSettings.build_time() == common | {"d_optimizers"}
    assert CFGGANSettings.build_time() == {"latent_size", "ema_images", "steps", "alpha", "start_std"}
    assert SmallSetGANSettings.aliases() == {"g_advantage": "g_steps"}


@pytest.mark.parametrize("name", METHODS)
def test_marks_name_settings_that_exist(name: str) -> None:
    settings = METHODS[name].Settings
    assert settings.live() and not settings.live() & settings.build_time()
    defaults = settings(name=name)
    named = {**defaults.inherits_from(), **defaults.overridden_by()}.values()
    assert set(named) <= set(settings.model_fields)
