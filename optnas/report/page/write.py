"""The page, from its sections to its file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from optuna import Study

from optnas.credentials import scrubbed
from optnas.errors import UsageError
from optnas.facts.summary import summarise
from optnas.facts.trials import read_trials
from optnas.front import front, objective_names
from optnas.printable import printable, shell_word
from optnas.report.page.data import data_of
from optnas.report.page.part import Reading, Table
from optnas.report.page.parts import make_parts
from optnas.study import attribute, shown_storage, versions
from optnas.study.known_space import known_space
from optnas.study.reopen import reopen
from optnas.study.settings import Settings
from optnas.whole import whole_file

__all__ = ["report_html", "write_report"]


def write_report(
    study: Study, path: Path, storage: str = "", *, say: Callable[[str], None] = lambda text: None
) -> None:
    """Write a study as one HTML file that needs no network: see `report_html`.

    Raises:
        UsageError: If the file cannot be written.
    """
    check_report(path)
    text = report_html(study, storage, say=say)
    try:
        with whole_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"report {path}: cannot be written: {error.strerror}") from None


def check_report(path: Path) -> None:
    """Refuse a path that no report can be written to, before the work.

    Raises:
        UsageError: If its ending is not .html, its folder does not exist, or it is a folder.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"report {path}: expected a file that ends in .html, got {path.suffix or 'no ending'}")
    if not path.parent.is_dir():
        raise UsageError(f"report {path}: expected a folder that exists, got {path.parent}")
    if path.is_dir():
        raise UsageError(f"report {path}: expected a file, got a folder")


def report_html(study: Study, storage: str = "", *, say: Callable[[str], None] = lambda text: None) -> str:
    """The page: what was found in words, the front with sliders for budgets, figures, explanation, every trial.

    Nothing in it is run but its own program, which the page names by its digest: what stands in a study is text.

    Args:
        study: Any study; what optnas did not record of it is left out.
        storage: Its address, for the commands that go on from here.
        say: Told of progress.
    """
    reading = _read(study, storage, say)
    parts, sure = make_parts(reading)
    script = _source("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = data_of(reading, sure)
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    summary = summarise(study)
    page = environment.from_string(_source("page.html")).render(
        study=study.study_name,
        summary={
            "intro": summary.intro,
            "tiles": [{"label": label, "value": value} for label, value in summary.counts.items()],
            "findings": summary.findings,
        },
        parts=parts,
        front_title=parts[0].title,
        interactive=any(trial.state in ("front", "beaten") for trial in reading.trials),
        nothing="There is no front: no network was trained to the end within the constraints.",
        data=Markup(_json(data)),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
        css=Markup(_source("page.css")),
        commands=[{key: scrubbed(text) for key, text in block.items()} for block in _commands(reading)],
        settings=_settings(reading),
        footer=f"Written by optnas {versions()['optnas']} on {datetime.now(UTC):%d %B %Y at %H:%M} UTC.",
    )
    # A name may not turn the writing of what follows it round.
    return printable(page, lines=True)


def _read(study: Study, storage: str, say: Callable[[str], None]) -> Reading:
    reading = Reading(study, shown_storage(storage), read_trials(study), front(study), None, say=say)
    with suppress(UsageError):  # drawings are then left out
        reading = replace(reading, space=known_space(study))
    if not storage:
        return reading
    try:
        say("report: opening the study")
        return replace(reading, objective=reopen(study.study_name, storage, read_only=True).objective)
    except UsageError as error:
        return replace(reading, absent=str(error))


def _source(name: str) -> str:
    return files("optnas.report.page").joinpath(name).read_text(encoding="utf-8")


def _json(data: Mapping[str, Any]) -> str:
    """JSON that ends no script element and opens none, whatever is in it."""
    text = json.dumps(_shown(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shown(value: Any) -> Any:
    """Data in which every text is `printable`: the page's script would bring back what JSON only escapes."""
    if isinstance(value, str):
        return printable(value, lines=True)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(one) for key, one in value.items()}
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value


def _commands(reading: Reading) -> list[dict[str, str]]:
    study, request = reading.study, attribute(reading.study, "request")
    name, where = shell_word(study.study_name), shell_word(reading.storage)
    front_command = f"optnas front --study {name} --storage {where}"
    if request is None:
        return [{"text": "The front in a terminal:", "lines": front_command}]
    search = ["optnas search"]
    known = [one.name for one in fields(Settings) if one.name not in ("storage", "data_root")]
    for key in known:  # nothing that a study from elsewhere has beside them: a person copies this into a shell
        value = request.get(key)
        if value in (None, [], "", False):
            continue
        flag = "--constraint" if key == "constraints" else "--" + key.replace("_", "-")
        if value is True:
            search.append(flag)
        else:
            search.append(f"{flag} {shell_word(','.join(map(str, value)) if isinstance(value, list) else str(value))}")
    again = " \\\n    ".join([" ".join(search[:1]), *search[1:], "--storage sqlite:///again.db"])
    return [
        {"text": "The same search from the start, in another file:", "lines": again},
        {
            "text": "Go on from here, look at the front, train its best properly, write files for phones:",
            "lines": f"optnas search --study {name} --storage {where} --trials N\n{front_command}\n"
            f"optnas retrain --study {name} --storage {where}\n"
            f"optnas export --study {name} --storage {where} --out deploy",
        },
    ]


def _settings(reading: Reading) -> list[Table]:
    settings, made = attribute(reading.study, "settings") or {}, attribute(reading.study, "versions") or {}
    rows = [(f"version of {name}", str(value)) for name, value in made.items()]
    rows += [("objectives", ", ".join(objective_names(reading.study))), ("storage", reading.storage or "not said")]
    rows += _flat(settings)
    return [Table(("setting", "value"), tuple(rows), "Versions and settings that the study was made with")]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((f"{prefix}{key}", scrubbed(shown)))
    return rows
