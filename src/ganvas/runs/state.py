"""Converting the whole state of a method to named tensors and plain values, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganvas.core.errors import UserError, out_of_memory
from ganvas.methods import Method


def pack(method: Method) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that the next step depends on, except the position in the data, which is the images seen."""
    tensors: dict[str, Tensor] = {}
    for kind, modules in (("module", method.modules), ("average", method.averages)):
        for name, module in modules.items():
            tensors |= {f"{kind}/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in method.optimizers.items():
        tensors |= {f"optimizer/{name}/{key}": value for key, value in optimizer_tensors(optimizer).items()}
    tensors |= {f"extra/{key}": value for key, value in method.extra_state().items()}
    tensors["random/method"] = method.noise.get_state()
    tensors |= {f"random/{name}": state for name, state in random_states(method.compute.device).items()}
    groups = {name: optimizer_groups(optimizer) for name, optimizer in method.optimizers.items()}
    return tensors, {"optimizers": groups, "changed": dict(method.changed)}


def pack_for_sampling(method: Method, half: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `decode` and `encode` depend on: of averaged modules, the averages take the place of the weights.

    `half`: weights in half precision.
    """
    tensors: dict[str, Tensor] = {}
    for name in method.sampled:
        state = method.for_decoding(name).state_dict()
        tensors |= {f"module/{name}/{key}": value for key, value in state.items()}
    if half:
        tensors = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    tensors |= {f"extra/{key}": value for key, value in method.sampling_state().items()}
    return tensors, {"changed": dict(method.changed), "sampling_only": True}


def unpack(method: Method, tensors: Mapping[str, Tensor], values: Mapping[str, Any], training: bool = True) -> None:
    """Restore what `pack` returned; with `training` false, only what sampling needs.

    What `pack_for_sampling` returned can be restored for sampling only; other modules and averages then do not exist.
    Raises UserError for the state of a method with other settings, and for training from the state for sampling.
    """
    sampling_only = bool(values.get("sampling_only"))
    if training and sampling_only:
        raise UserError("this is a published model, without what training needs: train its recipe into another --out")
    if sampling_only:
        method.averages.clear()
        for name in method.modules.keys() - set(method.sampled):
            del method.modules[name]
    try:
        _restore(method, tensors, values, training)
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        if out_of_memory(error):
            raise
        raise UserError(
            "this checkpoint does not fit recipe.toml: one of them was changed since it was saved; put it back"
        ) from None


def _restore(method: Method, tensors: Mapping[str, Tensor], values: Mapping[str, Any], training: bool) -> None:
    method.change_back(values.get("changed", {}))
    for kind, modules in (("module", method.modules), ("average", method.averages)):
        for name, module in modules.items():
            module.load_state_dict(below(f"{kind}/{name}/", tensors))
    method.load_extra_state(below("extra/", tensors))
    if not training:
        return
    for name, optimizer in method.optimizers.items():
        restore_optimizer(optimizer, below(f"optimizer/{name}/", tensors), values["optimizers"][name])
    method.noise.set_state(tensors["random/method"])
    restore_random_states(below("random/", tensors), method.compute.device)


def first_non_finite(method: Method) -> str | None:
    """The name of a tensor in the state with values that are not finite, if any: a weight, or a mean of Adam."""
    for key, value in pack(method)[0].items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            return key.removeprefix("module/").replace("/", ".")
    return None


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, which is removed from the names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


# -- torch's own random generators ----------------------------------------------------------------------------------


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's random generators that a method on `device` may use."""
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore what `random_states` returned, perhaps on another device."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


# -- optimisers -----------------------------------------------------------------------------------------------------


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors: `<index of the parameter>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, slots in state.items() for key, value in slots.items()}


def optimizer_groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The settings of an optimiser (learning rate, betas, ...) as plain values, without its parameters."""
    return [
        {k: float(v) if isinstance(v, Tensor) else v for k, v in group.items() if k != "params"}
        for group in optimizer.param_groups
    ]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Restore what `optimizer_tensors` and `optimizer_groups` returned, perhaps on another device."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value.clone()  # as it is changed in place
    fresh, rates = optimizer.state_dict()["param_groups"], [group["lr"] for group in optimizer.param_groups]
    own = [{name: group[name] for name in ("params", "capturable") if name in group} for group in fresh]
    optimizer.load_state_dict(
        {
            "state": state,
            "param_groups": [{**saved, **kept} for saved, kept in zip(groups, own, strict=True)],
        }
    )
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(group["lr"])
        for parameter in group["params"]:
            for name, value in optimizer.state[parameter].items():
                if value.shape == parameter.shape:  # moments have the memory layout of their weights
                    optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)
