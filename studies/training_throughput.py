"""How many images a second a search trains: the usual way and optnas's, side by side.

The usual way: a DataLoader with its default settings, PIL transforms (RandomCrop, RandomHorizontalFlip,
ToTensor, Normalize), NCHW, torch's default number of threads, AdamW as it comes.
The way of optnas.task: images in one uint8 tensor, cropped and flipped a batch at a time, channels last, one
thread, freed memory kept, fused AdamW.
Both train the same networks on the same images with the same augmentation, batch size and optimiser settings.
The two ways take turns, in processes of their own, and the ratio is taken within a turn. A time holds all of
training: input, forward, backward, step.

    python studies/training_throughput.py --data-root data                   # one process
    python studies/training_throughput.py --data-root data --usual-threads 1 # the same, one thread each
    python studies/training_throughput.py --data-root data --processes 2     # as a search uses two cores
    python studies/training_throughput.py --data-root data --images 2000 --rounds 2     # a minute on a laptop
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from typing import Any

import torch
from torch import nn

from optnas.task import DataSettings, Images, TrainSettings, load_images, train_images
from optnas.task.vision import import_torchvision

PADDING, LR, WEIGHT_DECAY, LABEL_SMOOTHING = 2, 5e-3, 0.05, 0.1


@dataclass(frozen=True)
class Job:
    """One measurement in one process."""

    network: str
    data_root: str
    images: int
    batch_size: int
    usual_threads: int
    seed: int


class InvertedResidual(nn.Module):
    """Expand, depthwise, project (Sandler et al. 2018)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        wide = 4 * c_in
        self.body = nn.Sequential(
            *conv(c_in, wide, 1), *conv(wide, wide, 3, stride, groups=wide), *conv(wide, c_out, 1)[:2]
        )
        self.skips = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y if self.skips else y


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    ]


def mobile() -> nn.Module:
    """Inverted residuals, 0.9 M MACs at 28x28."""
    blocks = [(8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1), (32, 1)]
    widths = [8] + [width for width, _ in blocks]
    body = [InvertedResidual(c, width, stride) for c, (width, stride) in zip(widths, blocks, strict=False)]
    return nn.Sequential(*conv(1, 8, 3, 2), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def plain() -> nn.Module:
    """Full convolutions, 1.0 M MACs at 28x28."""
    body = [*conv(1, 12, 3, 2), *conv(12, 24, 3, 2), *conv(24, 24, 3), *conv(24, 48, 3, 2), *conv(48, 48, 3)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"mobile": mobile, "plain": plain}


class PilImages(torch.utils.data.Dataset[Any]):
    """As torchvision's data sets give them: an image from an array, then the transforms."""

    def __init__(self, images: Images) -> None:
        t = import_torchvision().transforms
        self.images = images
        self.transform = t.Compose(
            [
                t.RandomCrop(images.input_shape[1:], padding=PADDING),
                t.RandomHorizontalFlip(),
                t.ToTensor(),
                t.Normalize(images.mean, images.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.images.train_y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        image = Image.fromarray(self.images.train_x[index, 0].numpy())
        return self.transform(image), int(self.images.train_y[index])


@lru_cache(maxsize=1)
def load(data_root: str, count: int) -> Images:
    images = load_images(DataSettings("fashion-mnist", data_root, train_images=count))
    return replace(images, val_x=images.val_x[:256], val_y=images.val_y[:256])  # validation is not timed


def usual(job: Job) -> float:
    """Images a second of one epoch."""
    images = load(job.data_root, job.images)
    torch.set_num_threads(job.usual_threads)
    torch.manual_seed(job.seed)
    network = NETWORKS[job.network]().train()
    loader = torch.utils.data.DataLoader(PilImages(images), batch_size=job.batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, len(loader))
    criterion = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    start = time.perf_counter()
    for x, y in loader:
        optimizer.zero_grad()
        criterion(network(x), y).backward()
        optimizer.step()
        schedule.step()
    return len(images.train_y) / (time.perf_counter() - start)


def ours(job: Job) -> float:
    """Images a second of one epoch."""
    images = load(job.data_root, job.images)
    torch.manual_seed(job.seed)
    settings = TrainSettings(1, job.batch_size, LR, WEIGHT_DECAY, PADDING, flip=True, label_smoothing=LABEL_SMOOTHING)
    return train_images(NETWORKS[job.network](), images, settings, job.seed).images_per_second


def measure(args: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Images a second (usual, ours) of each round, summed over the processes, for each network."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in args.networks}
    spawn = get_context("spawn")
    with (
        ProcessPoolExecutor(args.processes, spawn) as usual_pool,
        ProcessPoolExecutor(args.processes, spawn) as our_pool,
    ):
        for seed in range(args.rounds + 1):
            for name in args.networks:
                job = Job(name, args.data_root, args.images, args.batch_size, args.usual_threads, seed)
                jobs = [job] * args.processes
                pair = (sum(usual_pool.map(usual, jobs)), sum(our_pool.map(ours, jobs)))
                if seed > 0:  # the first round loads images and compiles kernels
                    rates[name].append(pair)
    return rates


def report(rates: dict[str, list[tuple[float, float]]], args: argparse.Namespace) -> None:
    print(f"{'network':8} {'usual img/s':>12} {'optnas img/s':>13} {'ratio':>6}  (lowest to highest)")
    for name, pairs in rates.items():
        before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(b / a for a, b in pairs)
        spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:8} {before:12.0f} {after:13.0f} {statistics.median(ratios):6.2f}  {spread}")
    print(
        f"n = {args.rounds} rounds of {args.images} images, batch {args.batch_size}; "
        f"{args.processes} process(es) at once; "
        f"threads a process: usual {args.usual_threads}, optnas 1; medians"
    )
    print(
        f"torch {torch.__version__}, torchvision {import_torchvision().__version__}, "
        f"Python {platform.python_version()}; CPU {platform.processor() or platform.machine()}, "
        f"{os.cpu_count()} cores, load average before {args.load:.1f}"
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="data", help="folder of Fashion-MNIST (default: data)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=10_000, help="images an epoch (default: 10000)")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5, help="turns of one epoch each (default: 5)")
    parser.add_argument("--processes", type=int, default=1, help="trainings at once (default: 1)")
    parser.add_argument(
        "--usual-threads",
        type=int,
        default=torch.get_num_threads(),
        help="threads of the usual way (default: torch's own; 1 is kinder to it on a busy machine)",
    )
    args = parser.parse_args(argv)
    args.load = os.getloadavg()[0]
    report(measure(args), args)


if __name__ == "__main__":
    main()
