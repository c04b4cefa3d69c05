"""Names of blocks that are equal in another process and on another machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from optnas.space import CHOSEN

__all__ = ["digest_of", "kind_of"]

_PLAIN = (int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
#: What every module keeps for its own workings, and what is put into one so that it is remembered.
_MACHINERY = frozenset(vars(nn.Module())) | {"forward", "_optnas_block", CHOSEN}
#: Of the machinery, what is run with every pass.
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
#: What is between a value and the block, by id; one that holds itself is told by its place there.
_Within = tuple[int, ...]


def digest_of(module: nn.Module, input_shape: Sequence[int]) -> str | None:
    """A name of 16 hexadecimal digits that blocks share which do the same on an input of this shape.

    Made of classes, settings, the shapes of tensors and children. Functions count with their code and what they
    hold, other objects with what pickle keeps of them. The code of classes and functions of a module of torch is not
    looked at, nor is that of any class that has a name of its own. Another minor version of Python compiles a
    person's functions to other code, so that blocks with such ones are not known there.

    Args:
        module: The block; on any device, in any mode.
        input_shape: One input without the batch.

    Returns:
        The name, or None for a block with a setting that cannot be compared, such as a lock or an open file.
    """
    try:
        text = f"{_describe(module, ())} at {tuple(input_shape)}"
    except Exception:  # whatever an object raises that does not want to be pickled
        return None
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def kind_of(module: nn.Module) -> str:
    """The classes that a block is made of, such as "Sequential(Conv2d,ReLU)": what differs in sizes is of one kind."""
    children = ",".join(kind_of(child) for child in module.children())
    return type(module).__qualname__ + (f"({children})" if children else "")


def _describe(module: nn.Module, within: _Within) -> str:
    within = (*within, id(module))
    tensors = [*module._parameters.items(), *module._buffers.items()]
    shapes = [(key, None if tensor is None else _shape(tensor)) for key, tensor in tensors]
    settings = [(key, _value(value, within)) for key, value in sorted(vars(module).items()) if key not in _MACHINERY]
    hooks = [_value(hook, within) for name in _HOOKS for hook in getattr(module, name).values()]
    children = [(key, _describe(child, within)) for key, child in module._modules.items() if child is not None]
    return f"{_type(type(module), within)}{shapes}{settings}{hooks or ''}{children}"


def _value(value: Any, within: _Within = ()) -> str:
    """A text that only values share which do the same; raises for one that has no such text."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if id(value) in within:
        return f"<{within.index(id(value))}>"
    within = (*within, id(value))
    if isinstance(value, nn.Module):
        return _describe(value, within[:-1])
    if isinstance(value, torch.Tensor):
        return f"tensor{_shape(value)}"
    if isinstance(value, tuple | list):
        return f"{_subtype(value, within)}[{_joined(value, within)}]"
    if isinstance(value, set | frozenset):
        return f"{_subtype(value, within)}<{','.join(sorted(_value(item, within) for item in value))}>"
    if isinstance(value, dict):
        pairs = ",".join(f"{_value(key, within)}:{_value(item, within)}" for key, item in value.items())
        return f"{_subtype(value, within)}{{{pairs}}}"
    if isinstance(value, partial):
        return f"{_value(value.func, within)}({_value(value.args, within)},{_value(value.keywords, within)})"
    if isinstance(value, type):
        return _type(value, within[:-1])
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, FunctionType):
        return _function(value, within)
    if isinstance(value, MethodType):
        return f"{_value(value.__self__, within)}.{_value(value.__func__, within)}"
    if isinstance(value, BuiltinFunctionType):
        return f"{_value(value.__self__, within)}.{_name(value)}"
    return _object(value, within)


def _function(function: FunctionType, within: _Within) -> str:
    if "<" not in function.__qualname__ and function.__module__.partition(".")[0] == "torch":
        return _name(function)
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = function.__defaults__, function.__kwdefaults__
    return f"{_name(function)}{_code(function.__code__, within)}{_value([held, *defaults], within)}"


def _code(code: CodeType, within: _Within) -> str:
    constants = [_code(one, within) if isinstance(one, CodeType) else _value(one, within) for one in code.co_consts]
    arguments = code.co_argcount, code.co_kwonlyargcount, code.co_flags
    return f"{code.co_code.hex()}{arguments}{code.co_names}{constants}"


def _type(kind: type, within: _Within) -> str:
    """The name; a class that a function made shares it with others, so what its methods do is told too."""
    if "<locals>" not in kind.__qualname__:
        return _name(kind)
    if id(kind) in within:
        return f"<{within.index(id(kind))}>"
    within, content = (*within, id(kind)), []
    for key, value in sorted(vars(kind).items()):
        if isinstance(value, property):
            content.append((key, _joined((value.fget, value.fset), within)))
        elif isinstance(value, staticmethod | classmethod):
            content.append((key, _value(value.__func__, within)))
        elif isinstance(value, FunctionType) or not key.startswith("__"):
            content.append((key, _value(value, within)))
    return f"{_name(kind)}({','.join(_type(base, within) for base in kind.__bases__)}){content}"


def _object(value: Any, within: _Within) -> str:
    kept = value.__reduce_ex__(4)
    if isinstance(kept, str):  # something that stands in a module under this name, a cached function say
        return f"{_type(type(value), within)} {value.__module__}.{kept}{_value(getattr(value, '__dict__', {}), within)}"
    maker, arguments, state, *items = (*kept, None, None, None)[:5]
    filled = [list(each or ()) for each in items]
    return f"{_type(type(value), within)}{_joined((maker, arguments, state, filled), within)}"


def _joined(values: Iterable[Any], within: _Within) -> str:
    return ",".join(_value(value, within) for value in values)


def _subtype(value: Any, within: _Within) -> str:
    kind = type(value)
    return "" if kind in (tuple, list, dict, set, frozenset) else _type(kind, within)


def _shape(tensor: torch.Tensor) -> tuple[tuple[int, ...], str]:
    return tuple(tensor.shape), str(tensor.dtype)


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"
