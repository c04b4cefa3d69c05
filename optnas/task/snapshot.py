"""All that a training has in memory, as tensors and plain values, and back to the last bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from optnas.task.weights import tensors_of

__all__ = ["restore", "take"]

_MODULE, _OPTIMIZER, _RANDOM = "module/", "optimizer/", "random/"


def take(module: nn.Module, optimizer: torch.optim.Optimizer | None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Parameters, all buffers, the state of the optimizer and of torch's generators.

    Returns:
        The tensors by name, still those in use, and values of JSON.

    Raises:
        ValueError: If the module or the optimizer has a state that is neither.
    """
    _check_kept(module)
    tensors = {_MODULE + name: tensor for name, tensor in tensors_of(module).items()}
    tensors[_RANDOM + "cpu"] = torch.get_rng_state()
    device = _device(module)
    if device.type == "cuda":
        tensors[_RANDOM + "cuda"] = torch.cuda.get_rng_state(device)
    plain: dict[str, Any] = {}
    if optimizer is not None:
        packed = optimizer.state_dict()
        plain["groups"] = [{key: value for key, value in group.items() if _is_plain(value) and key != "params"}
                           for group in packed["param_groups"]]  # fmt: skip
        plain["state"] = {}
        for index, state in packed["state"].items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"{_OPTIMIZER}{index}/{key}"] = value
                elif _is_plain(value):
                    plain["state"][f"{index}/{key}"] = value
                else:
                    raise ValueError(f"{type(optimizer).__name__} keeps a {type(value).__name__} as {key}")
    return tensors, plain


def restore(
    module: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    tensors: Mapping[str, Tensor],
    plain: Mapping[str, Any],
) -> None:
    """Put back, in place, what `take` took; tensors keep the device and memory format that they have now.

    Raises:
        ValueError, KeyError, TypeError, RuntimeError: If it is of another module, optimizer or version of torch.
            Nothing is changed then.
    """
    _check_kept(module)
    held = {name.removeprefix(_MODULE): tensor for name, tensor in tensors.items() if name.startswith(_MODULE)}
    wanted = tensors_of(module)
    for name in sorted({*held, *wanted}):
        if name not in held or name not in wanted or _kind(held[name]) != _kind(wanted[name]):
            raise ValueError(f"it holds another network, see {name}")
    random, device = tensors[_RANDOM + "cpu"], _device(module)
    cuda = tensors.get(_RANDOM + "cuda") if device.type == "cuda" else None
    torch.Generator().set_state(random)  # raises for a state that this torch does not know
    if cuda is not None:
        torch.Generator(device).set_state(cuda)
    if optimizer is not None:
        optimizer.load_state_dict(_packed(optimizer, tensors, plain))  # raises before it changes anything
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(held[name])
    torch.set_rng_state(random)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)


def _packed(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]
) -> dict[str, Any]:
    """What `optimizer.load_state_dict` takes."""
    now = optimizer.state_dict()["param_groups"]
    if len(now) != len(plain["groups"]):
        raise ValueError(f"it holds {len(plain['groups'])} groups of parameters, not {len(now)}")
    groups = [{**group, **{key: _tuples(value) for key, value in held.items()}}
              for group, held in zip(now, plain["groups"], strict=True)]  # fmt: skip
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    values = {name.removeprefix(_OPTIMIZER): one for name, one in tensors.items() if name.startswith(_OPTIMIZER)}
    for name, value in (values | plain["state"]).items():
        number, _, key = name.partition("/")
        index = int(number)
        if not index < len(parameters):
            raise ValueError(f"it holds the optimizer's state of more than {len(parameters)} parameters")
        if isinstance(value, Tensor) and value.dim():
            if value.shape != parameters[index].shape:
                raise ValueError(f"it holds another optimizer's state of parameter {index}")
            # Laid out as its parameter is, as the optimizer made it: a file holds tensors in one layout only.
            value = torch.empty_like(parameters[index], dtype=value.dtype, requires_grad=False).copy_(value)
        state.setdefault(index, {})[key] = value
    return {"state": state, "param_groups": groups}


def _check_kept(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            raise ValueError(f"module {name or type(part).__name__} has an extra state, which may be anything")


def _device(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in tensors_of(module).values()), torch.device("cpu"))


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.Size]:
    return tensor.dtype, tensor.shape


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _tuples(value: object) -> object:
    """JSON has lists only, torch's optimizers (betas, for one) tuples."""
    return tuple(value) if isinstance(value, list) else value
