from __future__ import annotations

import json

import pytest

from seqloom import parts


@pytest.mark.parametrize("kind", parts.KINDS)
def test_each_part_is_listed_with_what_it_is(seqloom, kind):
    rows = json.loads(seqloom("parts", kind, "--json").out)
    assert [row["name"] for row in rows] == list(parts.names(kind))
    assert all(row["kind"] == kind and row["what"] for row in rows)


def test_all_kinds_are_listed_as_a_table(seqloom):
    lines = seqloom("parts").out.splitlines()
    assert lines[0].split() == ["kind", "name", "what"]
    assert len(lines) == 1 + sum(len(parts.names(kind)) for kind in parts.KINDS)
