"""A search space of one's own in twenty lines: plain convolutions, as deep and wide as the trial says.

python studies/my_own_space.py --trials 20
optnas search --space studies/my_own_space.py:build --data digits --trials 20     # the same by command
optnas profile --space studies/my_own_space.py:build --input 1x8x8                # what it costs
"""

import argparse

from torch import nn

import optnas


def build(trial, input_shape, num_classes):
    """Any function of a trial that returns a module is a space; choices may depend on choices."""
    channels = input_shape[0]
    layers = []
    for index in range(trial.suggest_int("depth", 1, 3)):
        width = trial.suggest_int(f"layer{index}.width", 8, 32, step=8)
        kernel = trial.suggest_categorical(f"layer{index}.kernel", [1, 3, 5])
        layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    pool = optnas.choose(
        trial, "pool", {"average": lambda: nn.AdaptiveAvgPool2d(1), "largest": lambda: nn.AdaptiveMaxPool2d(1)}
    )
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(channels, num_classes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20, help="trained networks in all (default: %(default)s)")
    parser.add_argument("--epochs", type=int, help="epochs of each training")
    arguments = parser.parse_args()
    result = optnas.search(
        optnas.Watch(),
        space=build,
        trials=arguments.trials,
        epochs=arguments.epochs,
        study="my-own-space",
        storage="sqlite:///my_own_space.db",
    )
    for network in result.front:
        print(f"trial {network.trial}: {network.error:.2%} error, {network.costs['macs']:,} MACs, {network.choices}")
