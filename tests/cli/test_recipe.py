from __future__ import annotations

import json
from pathlib import Path

from seqloom import parts


def test_without_a_name_the_recipes_are_listed(seqloom):
    rows = json.loads(seqloom("recipe", "--json").out)
    assert [row["name"] for row in rows] == list(parts.names("recipes"))
    assert all(row["what"] for row in rows)
    table = seqloom("recipe").out.splitlines()
    assert [line.split()[0] for line in table[1:]] == list(parts.names("recipes"))


def test_json_is_all_that_standard_output_holds(seqloom, in_tmp):
    answer = seqloom("recipe", "hello", "--json", "--quiet")
    found = json.loads(answer.out)
    assert answer.status == 0
    assert found["recipe"] == "hello"
    assert found["published"]["accuracy"] == found["measured"]["accuracy"] == 1
    assert found["measured"]["loss"] < 0.1
    assert Path(found["run"], "report.html").exists()


def test_a_recipe_that_needs_data_says_so(seqloom, in_tmp):
    status, out, err = seqloom("recipe", "imdb-gru")
    assert (status, out) == (2, "")
    assert "--data FOLDER" in err
