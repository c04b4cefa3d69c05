"""Studies made by hand: one with every kind of trial, awkward ones, and a large one."""

import warnings
from datetime import datetime, timedelta

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

BEGAN = datetime(2026, 11, 1, 12, 0, 0)
CHOICES = {
    "stem.width": IntDistribution(8, 32, step=8),
    "block1.op": CategoricalDistribution(("mb3_k3", "mb6_k5", "skip")),
    "block2.op": CategoricalDistribution(("mb3_k3", "mb6_k5", "skip")),
}
COSTS = ("macs", "params", "size_bytes", "latency_ms")
#: What HTML, Markdown, mathtext, rich and a terminal would each take for more than text.
WILD = (
    '<script>alert(1)</script> "it\'s" $\\frac$ [bold]x[/bold] :x: '
    "\x1b[31mred\x1b]0;title\x07\r\nline \x9b1m \u202eback"
)


def new_study(names=("error", "macs"), directions=None, name="by hand", storage=None):
    directions = directions or ["minimize"] * len(names)
    study = optuna.create_study(directions=directions, study_name=name, storage=storage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(names))
    return study


def params(index):
    ops = CHOICES["block1.op"].choices
    return {
        "stem.width": 8 * (1 + index % 4),
        "block1.op": ops[index // 4 % 3],
        "block2.op": ops[index // 12 % 3],
    }


def add(study, values=None, *, state=TrialState.COMPLETE, seconds=(0, 1), choices=None, constraints=None, **kept):
    """Add a trial; `kept` are optnas's attributes without their prefix, `seconds` when it ran after BEGAN."""
    index = len(study.get_trials(deepcopy=False))
    chosen = params(index) if choices is None else choices
    trial = create_trial(
        state=state,
        values=list(values) if values is not None else None,
        params=chosen,
        distributions={name: CHOICES[name] for name in chosen},
        user_attrs={f"optnas:{key}": value for key, value in kept.items()},
        constraints=constraints,
    )
    trial.datetime_start = BEGAN + timedelta(seconds=seconds[0])
    trial.datetime_complete = BEGAN + timedelta(seconds=seconds[1]) if state.is_finished() else None
    study.add_trial(trial)


def one_of_each():
    """Two on the front, and one trial of every other state."""
    study = new_study()
    add(study, (0.2, 100.0), curve=[0.4, 0.2], fingerprint="a", costs={"macs": 100, "params": 10}, seconds=(0, 10))
    add(study, (0.1, 200.0), curve=[0.3, 0.1], fingerprint="b", costs={"macs": 200, "params": 20}, seconds=(0, 20))
    add(study, (0.3, 300.0), curve=[0.5, 0.3], fingerprint="c", costs={"macs": 300, "params": 30}, seconds=(10, 30))
    add(study, (0.05, 900.0), curve=[0.2, 0.05], fingerprint="d", costs={"macs": 900}, constraints={"macs<=500": 0.8})
    add(
        study, state=TrialState.PRUNED, curve=[0.6], fingerprint="e", costs={"macs": 250}, bounds=[0.5, None],
        pruned_epoch=1, pruned_bound=0.5, reason="error 0.6 after epoch 1, at most 0.5 is allowed",
    )  # fmt: skip
    add(study, state=TrialState.PRUNED, costs={"macs": 950}, reason="over budget: macs is 950, allowed is macs<=500")
    add(study, (0.2, 100.0), repeat_of=0, fingerprint="a", costs={"macs": 100})
    add(study, state=TrialState.FAIL, reason="TrainingDiverged: the loss is not finite")
    add(study, state=TrialState.RUNNING, costs={"macs": 120}, fingerprint="f")
    study.enqueue_trial(params(3))
    return study


def _filled(rows, **settings):
    study = new_study(**settings)
    for row in rows:
        add(study, row)
    return study


def awkward():
    """Studies that break what was only tried on good ones, by name."""
    pruned, infeasible, failed, waiting = (new_study(name=name) for name in ("pruned", "infeasible", "failed", "queue"))
    for index in range(3):
        add(pruned, state=TrialState.PRUNED, curve=[0.5, 0.4], fingerprint=str(index), costs={"macs": 10.0 + index})
        add(infeasible, (0.5, 10.0 + index), constraints={"macs<=5": 5.0 + index}, costs={"macs": 10.0 + index})
        add(failed, state=TrialState.FAIL)
        waiting.enqueue_trial(params(index))
    unfinite = new_study(name="infinite")
    nan, inf = float("nan"), float("inf")
    for row in ((0.5, 10.0), (inf, 5.0), (0.4, inf), (0.3, 20.0)):
        add(unfinite, row, curve=[nan, row[0]], costs={"macs": row[1], "params": nan}, fingerprint=str(row))
    plain = optuna.create_study(directions=["maximize", "minimize"], study_name="plain")
    plain.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_int("n", 1, 9) * t.params["x"]), n_trials=12)
    bare = optuna.create_study(study_name="bare")
    bare.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=5)
    wild = new_study(name=WILD)
    add(wild, (0.5, 10.0), reason="<img src=x onerror=alert(1)>", costs={"macs": 10.0}, curve=[0.5])
    hostile = new_study((f"error {WILD}", f"cost {WILD}"), name=f"hostile {WILD}")
    for index in range(12):
        options = CategoricalDistribution((f"a {WILD}", f"b {WILD}"))
        hostile.add_trial(
            create_trial(
                values=(0.1 * index, 12.0 - index),
                params={f"choice {WILD}": options.choices[index % 2]},
                distributions={f"choice {WILD}": options},
                user_attrs={"optnas:curve": [0.5, 0.4], "optnas:costs": {"macs": 10.0 + index}, "optnas:reason": WILD},
                constraints={WILD: float(index % 3 - 1)},
            )
        )
    upward = optuna.create_study(direction="maximize", study_name="upward")
    upward.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 4), n_trials=30)
    rows = [(0.1 * i, 100.0 - 9 * i, 5.0 + (i - 4) ** 2, 3.0 + i % 3) for i in range(1, 9)]
    return {
        "empty": new_study(name="empty"),
        "one": _filled([(0.5, 10.0)], name="one"),
        "equal": _filled([(0.5, 10.0)] * 4, name="equal"),
        "zero": _filled([(0.0, 0.0), (0.5, 0.0)], name="zero"),
        "pruned": pruned,
        "infeasible": infeasible,
        "failed": failed,
        "waiting": waiting,
        "infinite": unfinite,
        "three": _filled([row[:3] for row in rows], names=("error", "macs", "latency_ms"), name="three"),
        "four": _filled(rows, names=("error", "macs", "latency_ms", "size_bytes"), name="four"),
        "plain": plain,
        "bare": bare,
        "wild": wild,
        "hostile": hostile,
        "upward": upward,
    }


def large(trials=1000, epochs=20, seed=0, name="large", storage=None):
    """A study like those of `optnas search`: errors fall with costs, a third pruned, some refused, two workers."""
    generator = np.random.default_rng(seed)
    study = new_study(("error", "macs"), name=name, storage=storage)
    study.set_user_attr("optnas:reference", {"error": 0.9, "macs": 5e6})
    study.set_user_attr("optnas:versions", {"optnas": "0.1.0", "torch": "2.13.0"})
    made, clock = [], [0.0, 0.0]
    for index in range(trials):
        chosen = {name: (d.choices if isinstance(d, CategoricalDistribution) else range(d.low, d.high + 1, d.step))
                  for name, d in CHOICES.items()}  # fmt: skip
        chosen = {name: options[int(generator.integers(len(options)))] for name, options in chosen.items()}
        macs = float(round(np.exp(generator.uniform(np.log(5e4), np.log(6e6)))))
        floor = 0.05 + 0.3 * (5e4 / macs) ** 0.3 + generator.normal(0, 0.02)
        curve = [round(float(floor + 0.5 * np.exp(-3 * epoch / epochs)), 6) for epoch in range(1, epochs + 1)]
        costs = {"macs": macs, "params": round(macs / 30), "size_bytes": round(macs / 7), "latency_ms": macs / 4e6}
        lane = int(clock[0] > clock[1])
        start, fate = clock[lane], generator.random()
        kept = {"costs": costs, "fingerprint": f"{index:x}", "seed": index}
        state, values = TrialState.COMPLETE, [curve[-1], macs]
        if macs > 5e6:
            state, values = TrialState.PRUNED, None
            kept = {"costs": costs, "reason": f"over budget: macs is {macs:g}, allowed is macs<=5e+06"}
        elif fate < 0.33:
            stop = 2 + int(generator.integers(epochs - 3))
            kept |= {"curve": curve[:stop], "pruned_epoch": stop, "pruned_bound": curve[stop - 1] - 0.01,
                     "bounds": [None, None] + [curve[stop - 1] - 0.01] * (epochs - 3) + [None],
                     "reason": f"error {curve[stop - 1]:.4f} after epoch {stop}"}  # fmt: skip
            state, values = TrialState.PRUNED, None
        else:
            kept |= {"curve": curve, "seconds": float(epochs)}
        clock[lane] += len(kept.get("curve", ())) or 0.1
        trial = create_trial(
            state=state, values=values, params=chosen, distributions=CHOICES,
            user_attrs={f"optnas:{key}": value for key, value in kept.items()},
            constraints={"macs<=5e+06": macs - 5e6},
        )  # fmt: skip
        trial.datetime_start = BEGAN + timedelta(seconds=start)
        trial.datetime_complete = BEGAN + timedelta(seconds=clock[lane])
        made.append(trial)
    study.add_trials(made)
    return study
