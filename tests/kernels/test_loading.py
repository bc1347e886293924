"""What runs when the compiled part is loaded, before anybody has asked what the processor can do."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess

import pytest

from seqloom import _native
from seqloom.kernels.packed import KINDS


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def first_functions(library):
    """The addresses of the functions that the loader calls: .init_array, as it is once the library has its place."""
    section = re.search(r"\.init_array\s+\w+\s+(\w+)\s+\w+\s+(\w+)", output_of("readelf", "-SW", library))
    assert section
    begin, size = (int(each, 16) for each in section.groups())
    relocations = re.findall(r"^(\w+)\s+\w+\s+R_X86_64_RELATIVE\s+(\w+)", output_of("readelf", "-rW", library), re.M)
    found = [int(target, 16) for place, target in relocations if begin <= int(place, 16) < begin + size]
    assert len(found) == size // 8
    return found


def instructions(library, begin):
    """Those of a function from its begin to where it first returns or leaves."""
    listing = output_of(
        "objdump", "-d", "--no-show-raw-insn", f"--start-address={begin}", f"--stop-address={begin + 4096}", library
    )
    for line in re.findall(r"^\s+[0-9a-f]+:\t(.+)", listing, re.M):
        yield line
        if line.startswith(("ret", "jmp")):
            return


@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="reads ELF, for x86-64")
def test_no_instruction_of_a_chosen_set():
    """Any of AVX and later would end the process where the processor has it not, though the portable code would do."""
    if not shutil.which("objdump"):
        pytest.skip("needs objdump")
    functions = first_functions(_native.__file__)
    listed = [line for begin in functions for line in instructions(_native.__file__, begin)]
    assert len(functions) >= len(KINDS)  # each of the compiled cells enters itself
    assert len(listed) > len(functions)
    assert not [line for line in listed if re.match(r"v|.*%[yz]mm|.*%k[0-7]", line)]
