"""The training loop: one network, images in memory, one thread, fully seeded."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from optnas.errors import UsageError
from optnas.task.batches import Batches, Normalise
from optnas.task.checkpoint import Checkpoint
from optnas.task.data import Images
from optnas.task.memory import freed_memory_kept, peak_bytes
from optnas.threads import one_thread

OnEpoch = Callable[[int, float], None]
"""Called after each epoch with its number, from 1, and the validation error; raise in it to stop training."""

_EVAL_BATCH = 256


class TrainingDiverged(RuntimeError):
    """The loss or the outputs of the network became infinite or NaN; epoch and step count from 1."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__(epoch, step)  # as arguments, so that it can be pickled back from a worker
        self.epoch, self.step = epoch, step

    def __str__(self) -> str:
        return f"training diverged in epoch {self.epoch} at step {self.step}: the loss is not finite"


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained: AdamW, a learning rate that rises and then falls to zero, smoothed labels."""

    epochs: int
    """Passes over the training images."""

    batch_size: int
    """Most images a step; the batches of an epoch are of nearly equal size."""

    lr: float
    """Learning rate at its peak."""

    weight_decay: float
    """AdamW's weight decay of weight matrices and kernels; biases and batch norm have none."""

    crop_padding: int = 0
    """Black pixels around an image from which a window of its own size is cut at random; 0 does not crop."""

    flip: bool = False
    """Whether every second image, at random, is mirrored left to right."""

    device: str = "cpu"
    """"cpu" or "cuda"."""

    warmup: float = 0.2
    """Share of all steps in which the learning rate rises."""

    label_smoothing: float = 0.1
    """Probability spread evenly over all classes in the training target (Szegedy et al. 2016)."""


@dataclass(frozen=True)
class Learned:
    """What a training left to say. The trained weights are in the module itself."""

    error: float
    """Validation error after the last epoch, in [0, 1], to be minimised."""

    curve: tuple[float, ...]
    """Validation error after each epoch."""

    epochs: int
    """How many epochs were trained."""

    seconds: float
    """Wall time, validation included, and that before an interruption too."""

    images_per_second: float
    """Training images by wall time of the training steps, validation not included."""

    peak_memory_bytes: int | None = None
    """Most memory the process has held since it began (on CUDA: in this training); None where unknown."""


def train_images(
    module: nn.Module,
    images: Images,
    settings: TrainSettings,
    seed: int,
    on_epoch: OnEpoch | None = None,
    checkpoint: Checkpoint | None = None,
) -> Learned:
    """Train `module` in place from the weights it has; it is left on the CPU in eval mode.

    `module` maps float images (b, c, h, w) to logits (b, classes). On a CPU one torch thread is used, and the
    same weights, images, settings and seed give the same curve and weights bit for bit. The caller's random
    state and number of threads come back as they were.

    With a `checkpoint` the training goes on from where its file stands, if it is of this training, and ends as it
    would have without the interruption: on a CPU bit for bit. `on_epoch` is told of the earlier epochs again.

    Raises `TrainingDiverged`, `UsageError` for logits of another shape, and unchanged whatever the network or
    `on_epoch` raises (`optuna.TrialPruned`, for one).
    """
    device = torch.device(settings.device)
    with one_thread(), freed_memory_kept(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # for dropout and the like
        module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        try:
            return _train(module, images, settings, seed, on_epoch, checkpoint, device)
        finally:
            # Channels last would outlive the training: code that calls .view on a weight fails on it.
            module.to(device="cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def evaluate(module: nn.Module, images: Images, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of the uint8 images `x` (n, c, h, w) that `module` puts into another class than `y` (n,).

    The images are normalised as the training images in `images` are. The module is left in eval mode. Raises
    `FloatingPointError` where an output is infinite or NaN.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    normalise = Normalise(images, device)
    module.eval()
    wrong = torch.zeros((), dtype=torch.int64, device=device)
    finite = torch.ones((), dtype=torch.bool, device=device)
    with torch.inference_mode(), autocast(device):
        for some_x, some_y in zip(torch.split(x, _EVAL_BATCH), torch.split(y, _EVAL_BATCH), strict=True):
            logits = module(normalise(some_x.to(device)))
            wrong += (logits.argmax(1) != some_y.to(device)).sum()
            finite &= logits.isfinite().all()
    if not finite:
        raise FloatingPointError("the network's outputs are not finite")
    return int(wrong) / len(y)


@dataclass
class _Progress:
    """How far a training has come."""

    curve: list[float] = field(default_factory=list)
    step: int = 0
    """Steps done of the epoch after the last in the curve."""
    training_seconds: float = 0.0
    seconds: float = 0.0
    """Before it was interrupted."""
    peak_memory_bytes: int | None = None
    """The same."""


def _train(
    module: nn.Module,
    images: Images,
    settings: TrainSettings,
    seed: int,
    on_epoch: OnEpoch | None,
    checkpoint: Checkpoint | None,
    device: torch.device,
) -> Learned:
    start = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batches = Batches(
        images,
        batch_size=settings.batch_size,
        crop_padding=settings.crop_padding,
        flip=settings.flip,
        device=device,
        generator=torch.Generator().manual_seed(seed),
    )
    optimizer = _optimizer(module, settings)
    lr_factor = rise_and_fall(settings.epochs * batches.steps, settings.warmup)
    progress = _resumed(checkpoint, module, optimizer, batches)
    curve = progress.curve

    def keep(*, mid_epoch: bool) -> None:
        if checkpoint is not None and checkpoint.due(mid_epoch=mid_epoch):
            peak = _most(progress.peak_memory_bytes, peak_bytes(device))
            values = {"step": progress.step, "training_seconds": progress.training_seconds, "peak_memory_bytes": peak}
            checkpoint.save(module, optimizer, curve, tensors=batches.state(), values=values)

    if on_epoch is not None:
        for epoch, error in enumerate(tuple(curve), 1):
            on_epoch(epoch, error)
    for epoch in range(len(curve) + 1, settings.epochs + 1):
        module.train()
        clock = time.perf_counter()
        for x, y in batches.epoch(progress.step):
            with autocast(device):
                logits = module(x)
                _check_shape(logits, (len(y), len(images.classes)))
                loss = F.cross_entropy(logits, y, label_smoothing=settings.label_smoothing)
            if not math.isfinite(loss.item()):
                raise TrainingDiverged(epoch, progress.step + 1)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            # From the number of the step alone, so that a training goes on without a scheduler's state.
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * lr_factor((epoch - 1) * batches.steps + progress.step)
            optimizer.step()
            progress.step += 1
            progress.training_seconds += time.perf_counter() - clock
            keep(mid_epoch=True)
            clock = time.perf_counter()
        try:
            curve.append(evaluate(module, images, images.val_x, images.val_y))
        except FloatingPointError as error:  # the last step of an epoch is judged by what came of it
            raise TrainingDiverged(epoch, batches.steps) from error
        progress.step = 0
        if on_epoch is not None:
            on_epoch(epoch, curve[-1])
        keep(mid_epoch=False)
    return Learned(
        error=curve[-1],
        curve=tuple(curve),
        epochs=settings.epochs,
        seconds=progress.seconds + time.perf_counter() - start,
        images_per_second=settings.epochs * len(images.train_y) / progress.training_seconds,
        peak_memory_bytes=_most(progress.peak_memory_bytes, peak_bytes(device)),
    )


def _resumed(
    checkpoint: Checkpoint | None, module: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches
) -> _Progress:
    saved = None if checkpoint is None else checkpoint.load(module, optimizer)
    if saved is None:
        return _Progress()
    batches.restore(saved.tensors)
    return _Progress(list(saved.curve), seconds=saved.seconds, **saved.values)


def _most(*sizes: int | None) -> int | None:
    return max((size for size in sizes if size is not None), default=None)


def _optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def rise_and_fall(steps: int, warmup: float) -> Callable[[int], float]:
    """Factor of the learning rate at a step: linear to 1 in the warm-up, then linear to 0 at the end."""
    rise = max(1, round(warmup * steps))
    return lambda step: min((step + 1) / rise, (steps - step) / max(1, steps - rise), 1.0)


def _check_shape(logits: torch.Tensor, expected: tuple[int, int]) -> None:
    if not isinstance(logits, torch.Tensor) or logits.shape != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise UsageError(f"expected logits of shape {expected} (images, classes) from the network, got {got}")


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on CUDA alone: on a CPU it was slower than float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
