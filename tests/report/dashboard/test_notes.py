"""What notes say, and that a hostile storage says nothing with them."""

import re

import handmade
import pytest

from optnas.facts.trials import STATES, TrialFacts, read_trials
from optnas.report.dashboard.notes import study_note, trial_note
from optnas.report.markdown import escaped

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/x.png)",
    "[click](javascript:alert(1))",
    "https://evil.example",
    "www.evil.example",
    "mallory@evil.example",
    "a | b",
    "`code` **bold** _so_ ~~gone~~ $x^2$",
    "&lt;b&gt;",
    "ends with \\",
    "# head",
    "first\n\n# second\n- third",
]


def notes(study):
    return {facts.state: trial_note(facts, {}) for facts in read_trials(study)}


def test_every_state_is_told_in_plain_words():
    told = {state: note.splitlines()[0] for state, note in notes(handmade.one_of_each()).items()}
    assert told["front"] == "**10.00% validation error** after 2 epochs."
    assert told["beaten"] == "**30.00% validation error** after 2 epochs."
    assert told["infeasible"] == (
        "**5.00% validation error** after 2 epochs, but it is beyond macs\\<=500: it cannot be on the front."
    )
    assert told["pruned"] == (
        "**Pruned** after 1 epoch of 2: the lowest error until epoch 1 is 60.00%, above the bound 50.00%."
    )
    assert told["refused"] == "**Never trained:** over budget: macs is 950, allowed is macs\\<=500."
    assert told["repeat"] == "**Not trained again:** it is the same network as trial 0, whose result it has."
    assert told["failed"] == "**Failed**: TrainingDiverged: the loss is not finite."


def test_costs_come_with_units_and_choices_as_they_are():
    note = notes(handmade.one_of_each())["front"]
    rows = [[cell.strip(" \u2003") for cell in line.strip("|").split("|")] for line in note.splitlines()]
    assert ["error", "10.00%"] in rows
    assert ["macs", "200"] in rows
    assert ["params", "20"] in rows
    assert ["stem.width", "16"] in rows
    assert ["block1.op", "mb3\\_k3"] in rows


def test_pictures_and_commands_are_there_where_they_are_of_use():
    pictures, commands = {"network": "/artifacts/1/2/3"}, ["optnas retrain --study 'by hand' --trial 0"]
    facts = {one.state: trial_note(one, pictures, commands) for one in read_trials(handmade.one_of_each())}
    assert "![network](/artifacts/1/2/3)" in facts["front"]
    assert "```\noptnas retrain --study 'by hand' --trial 0\n```" in facts["front"]
    for state in ("pruned", "refused", "repeat", "failed"):
        assert "optnas" not in facts[state]


def test_what_an_audit_trained_on_is_told():
    study = handmade.new_study()
    kept = {"curve": [0.9, 0.2], "bounds": [0.5, None], "pruned_epoch": 1, "pruned_bound": 0.5}
    handmade.add(study, (0.2, 10.0), **kept)
    handmade.add(study, (0.2, 10.0), constraints={"macs<=5": 5.0}, **kept)
    within, beyond = (trial_note(facts, {}).splitlines()[0] for facts in read_trials(study))
    audit = "Audit: its pruner would have stopped it after epoch 1"
    assert within == (
        f"**20.00% validation error** after 2 epochs. {audit}: the lowest error until epoch 1 is 90.00%, above the "
        "bound 50.00%."
    )
    assert beyond.endswith(f"it cannot be on the front. {audit}.")


def test_the_note_of_a_study_lists_its_front_with_links():
    study = handmade.one_of_each()
    note = study_note(study, read_trials(study), "/trials?numbers=", ["optnas front"])
    lines = [line.replace("\u2003", "") for line in note.splitlines()]
    assert lines[0] == "# by hand"
    assert "| [1](/trials?numbers=1) | 10.00% | 200 | 20 |" in lines
    assert lines.index("| [1](/trials?numbers=1) | 10.00% | 200 | 20 |") < lines.index(
        "| [0](/trials?numbers=0) | 20.00% | 100 | 10 |"
    )
    assert "5 networks were trained, 1 of them stopped early" in note
    assert "optnas front" in note


def test_a_long_front_is_listed_in_part():
    study = handmade.new_study()
    for index in range(50):
        handmade.add(study, (0.5 - 0.01 * index, 100.0 + index))
    note = study_note(study, read_trials(study), "/t?", [])
    assert note.count("](/t?") == 20
    assert "30 of the front are left out" in note


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_has_no_sign_that_markdown_reads(text):
    safe = escaped(text)
    assert "\n" not in safe
    # Every sign that could begin markup has a backslash before it, and that one none.
    assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]<>&|~$#]", safe)
    # No address is left in one piece, for Markdown makes links of those by itself.
    assert not re.search(r"(?i)https?:/|www\.|@\w", safe)
    assert re.sub(r"\\(.)", r"\1", safe).replace("\u2060", "") == " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_storage_holds_stays_text(text):
    study = handmade.new_study(name=text)
    handmade.add(study, (0.5, 10.0), costs={"macs": 10.0}, curve=[0.5])
    handmade.add(study, state=handmade.TrialState.PRUNED, reason=text)
    handmade.add(study, state=handmade.TrialState.FAIL, reason=text)
    facts = read_trials(study)
    facts.append(TrialFacts(9, "beaten", {text: 0.5}, {}, {text: text}, why=text))
    for note in (
        study_note(study, facts, "/t?", [f"optnas front --study {text!r}"]),
        *(trial_note(t, {}) for t in facts),
    ):
        shown = re.sub(r"(?ms)^(`{3,})\n.*?^\1$", "", note)  # commands are code, which is read as it stands
        assert not re.search(r"(?<!\\)<|(?<!\\)\]\((?!/t\?)|(?<!\\)!\[|https?:/|www\.", shown)


def test_a_fence_is_longer_than_any_in_a_name():
    study = handmade.new_study()
    handmade.add(study, (0.5, 10.0))
    note = study_note(study, read_trials(study), "/t?", ["optnas front --study '```\n# out'"])
    assert "````\noptnas front --study '```\n# out'\n````" in note


def test_every_study_has_notes():
    for study in handmade.awkward().values():
        facts = read_trials(study)
        assert study_note(study, facts, "/t?", ["optnas front"]).startswith("# ")
        for one in facts:
            assert trial_note(one, {}).startswith("**")
            assert one.state in STATES


def test_a_name_turns_no_writing_round():
    assert escaped("a \u202eb\x1b\r\nc") == r"a \\u202eb\\x1b c"
