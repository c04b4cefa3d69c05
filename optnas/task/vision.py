"""torchvision, imported late and beside any build of torch.

torchvision's wheel is compiled against a CUDA torch. Beside a CPU torch its compiled operators do not load,
and its Python code then stops on the missing operator `nms`, which only detection models call. Declaring the
operator without an implementation lets everything that optnas needs (the data sets) import as usual.
"""

import importlib
import sys
from types import ModuleType

import torch

from optnas.errors import UsageError

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # an operator lives only as long as the Library that declared it


def import_torchvision() -> ModuleType:
    """The package torchvision, whichever build of torch it was compiled for.

    Detection models and `torchvision.io` stay unusable where the builds differ. Raises `UsageError` where
    torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise UsageError("expected torchvision to read this data set, but it is not installed") from error
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # half-imported: the next import would find the pieces and stop elsewhere
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(operator + _SIGNATURE)  # type: ignore[no-untyped-call]
    _declared.append(library)
    return importlib.import_module("torchvision")
