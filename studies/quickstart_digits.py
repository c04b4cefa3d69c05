"""Search small networks for scikit-learn's digits: the shortest study there is.

    python studies/quickstart_digits.py                # about a minute on two cores
    python studies/quickstart_digits.py --trials 5     # a few seconds
    python studies/quickstart_digits.py --trials 80    # goes on to 80 in all

The study stays in quickstart.db, so a second call goes on where the first stopped.
"""

import argparse

import optnas

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--trials", type=int, default=40, help="trained networks in all (default: %(default)s)")
parser.add_argument("--epochs", type=int, help="epochs of each training")
arguments = parser.parse_args()

result = optnas.search(
    optnas.Watch(),
    data="digits",
    objectives=("error", "macs"),
    constraints=("params<=100k",),
    trials=arguments.trials,
    epochs=arguments.epochs,
    study="quickstart",
    storage="sqlite:///quickstart.db",
)

print("trial   error       macs    params")
for network in result.front:
    print(f"{network.trial:5}  {network.error:6.2%} {network.costs['macs']:10,} {network.costs['params']:9,}")

small = result.best("macs<=300k")
if small is not None:
    print(f"best within 300 thousand MACs: trial {small.trial}, {small.error:.2%} error")
