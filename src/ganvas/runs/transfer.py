"""Starting a run with the weights of another one, which was trained on other images.

G begins with the averaged weights of the other run if it has any, as do the new averages: they are the ones that its
samples show, and the only ones of a published model. D begins with its own weights; optimisers and schedules begin
anew. (StyleGAN2-ADA, Karras et al., 2020, copies the weights of G and their averages separately.)

Where the numbers of classes differ, what belongs to single classes begins anew, the rest is kept.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.settings import typed
from ganvas.core.spec import written
from ganvas.methods import Method
from ganvas.recipes.recipe import Recipe
from ganvas.runs.info import BegunFrom
from ganvas.runs.model import Model


def begin_with(method: Method, recipe: Recipe, source: Model) -> list[str]:
    """Give the networks of a new method the weights of `source`; returns notes on what begins anew.

    Raises UserError if their networks differ, with the settings that do.
    """
    notes: list[str] = []
    states: dict[str, dict[str, Tensor]] = {}
    new: list[str] = []
    for name, module in method.modules.items():
        if name not in source.method.modules:
            notes.append(f"'{source.run.name}' has no {name}, which begins anew")
            continue
        there = source.method.for_decoding(name).state_dict()
        states[name], anew, misfits = _merged(module.state_dict(), there, method, source.method)
        new += [f"{name}.{key}" for key in anew]
        if misfits:
            raise UserError(
                f"'{source.run.name}' cannot be the start of this run: {_differences(recipe, method, source, misfits)}"
            )
    for name, state in states.items():
        method.modules[name].load_state_dict(state)
        if name in method.averages:
            method.averages[name].load_state_dict(state)
    if new:
        classes = [each.spec.num_classes if each.conditional else 0 for each in (source.method, method)]
        notes.append(f"{classes[1]} classes instead of {classes[0]}: their weights begin anew ({', '.join(new)})")
    return notes


def facts_of(source: Model, name: str) -> BegunFrom:
    """What the run of which it is the start records; `name` is what the user called it."""
    return BegunFrom(run=name, recipe=source.run.recipe().name, nimg=source.nimg, checkpoint=source.sha256)


def _merged(
    here: Mapping[str, Tensor], there: Mapping[str, Tensor], method: Method, source: Method
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """The state of a module with the tensors of another; the names of those that begin anew, and that do not fit.

    Labels enter a network by the first dimension of a tensor (one row for each class), or by the last columns of one.
    """
    state, anew, misfits = dict(here), [], sorted(there.keys() - here.keys()) if _same_classes(method, source) else []
    classes = [each.spec.num_classes if each.conditional else 0 for each in (method, source)]
    more = method.spec.num_classes - source.spec.num_classes
    for name, new in here.items():
        old = there.get(name)
        if old is None and not _same_classes(method, source) and new.dim() and classes[0] in new.shape[:2]:
            anew.append(name)  # it exists for the sake of the classes
        elif old is None or old.dim() != new.dim():
            misfits.append(name)
        elif old.shape == new.shape:
            state[name] = old
        elif new.dim() > 1 and _but(1, old) == _but(1, new) and new.shape[1] - old.shape[1] == classes[0] - classes[1]:
            kept = new.shape[1] - classes[0]
            state[name] = torch.cat([old[:, :kept].to(new), new[:, kept:]], 1)
            anew.append(name)
        elif new.dim() and _but(0, old) == _but(0, new) and more and new.shape[0] - old.shape[0] == more:
            anew.append(name)
        else:
            misfits.append(name)
    return state, anew, misfits


def _but(dimension: int, tensor: Tensor) -> list[int]:
    """The shape of a tensor without one dimension."""
    return [side for i, side in enumerate(tensor.shape) if i != dimension]


def _same_classes(method: Method, source: Method) -> bool:
    return (method.spec.num_classes, method.conditional) == (source.spec.num_classes, source.conditional)


def _differences(recipe: Recipe, method: Method, source: Model, misfits: list[str]) -> str:
    """The settings by which the networks differ, else the tensors, as text: `network.base is 32 there and 64 here`."""
    there, here = _shaping(source.run.recipe(), source.method), _shaping(recipe, method)
    if there["network.name"] != here["network.name"]:
        here = {"network.name": here["network.name"]}
    differ = [
        f"{key} is {typed(there[key])} there and {typed(value)} here"
        for key, value in here.items()
        if key in there and there[key] != value
    ]
    return "; ".join(differ) or f"{', '.join(misfits[:3])} differ in shape"


def _shaping(recipe: Recipe, method: Method) -> dict[str, Any]:
    """The settings that give networks their shape."""
    spec = method.spec
    network = {f"network.{key}": value for key, value in recipe.network.model_dump().items()}
    image = {"data.size": written((spec.height, spec.width)), "data.channels": spec.channels}
    return {**network, "method.latent_size": recipe.method.latent_size, **image}
