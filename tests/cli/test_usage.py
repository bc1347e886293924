"""Every mistake on the command line is answered like any other error: exit status 2, and what to do."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian x.csv", 'error: there is no command "trian"\n  help: did you mean "train"? valid choices: backtest, '),
        ("--hlep", 'error: there is no option "--hlep"\n  help: did you mean "--help"?'),
        ("train x.csv --hiden 3", 'there is no option "--hiden"\n  help: did you mean "--hidden"? see: seqloom train'),
        ("train x.csv --max_lenth=3", 'there is no option "--max_lenth"\n  help: did you mean "--max-length"?'),
        ("train x.csv --zzzz", 'there is no option "--zzzz"\n  help: see: seqloom train --help'),
        ("train", "error: FILE is missing\n  help: see: seqloom train --help"),
        ("predict run", "error: FILE is missing"),
        ("train x.csv --hidden", "error: --hidden needs a value"),
        ("train x.csv --seed 1 --seed 2", "error: --seed is given twice"),
        ("evaluate run file more", 'error: "more" is one argument too many'),
        ("generate run --length 1.5", 'error: --length is "1.5"\n  help: allowed: a whole number'),
        ("generate run --temperature hot", 'error: --temperature is "hot"\n  help: allowed: a number'),
        ("inspect x.csv --bad-rows skp", 'error: --bad-rows is "skp"\n  help: did you mean "skip"?'),
        ("predict run file --csv --json", "error: give --csv or --json, not both"),
        ("predict run --cvs", 'error: there is no option "--cvs"'),
        ("predict run file --cvs", 'there is no option "--cvs"\n  help: did you mean "--csv"?'),
        ("parts cels", 'error: there is no kind of part "cels"\n  help: did you mean "cells"?'),
        ("recipe nonesuch", 'error: "nonesuch" is not one of the recipes'),
        ("compare", "error: RUN is missing"),
    ],
)
def test_a_mistake_says_what_was_given_and_what_is_allowed(seqloom, line, said):
    answer = seqloom(*line.split())
    assert said in answer.err
    assert answer.status == 2
    assert answer.out == ""


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--length", "0"),
        ("--length", "-3"),
        ("--temperature", "0"),
        ("--temperature", "-1"),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--top-k", "0"),
        ("--top-p", "0"),
        ("--top-p", "1.01"),
        ("--top-p", "nan"),
        ("--seed", "-1"),
        ("--seed", str(2**63)),
    ],
)
def test_sampling_out_of_range_is_refused_before_anything_is_loaded(seqloom, option, value):
    answer = seqloom("generate", "no-such-run", option, value)
    assert answer.status == 2
    assert answer.err.startswith(f"error: {option} is ")
    assert "allowed: " in answer.err
    assert answer.out == ""
