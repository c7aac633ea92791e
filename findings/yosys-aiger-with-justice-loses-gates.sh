#!/usr/bin/env bash
# pyosys 0.70 (Yosys 0.70, git 28ba3cb92), command read_aiger.
#
# Guess: of AIGER 1.9 a tool either knows the justice properties (J), or refuses files that have some, or passes over
#   them. ABC refuses them with a message.
# Seen: Yosys passes over one line for each justice property, but each has a line that says how many literals it has and
#   one more for each literal. These are then read as ANDs: the AND of this file is gone and its output has no driver.
#   There is no warning. Without the property the same file is read rightly.
# Why it matters: to skip a section one must parse it. In J the sizes of all properties come first, then all literals.
# Ends with 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyosys==0.70

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from pathlib import Path

from pyosys import libyosys

SYMBOLS = "i0 a\ni1 b\no0 y\n"
PLAIN = "aag 3 2 0 1 1\n2\n4\n6\n6 2 4\n" + SYMBOLS
# B = C = F = 0, J = 1: one justice property, of the two literals 2 and 4.
WITH_JUSTICE = "aag 3 2 0 1 1 0 0 1 0\n2\n4\n6\n2\n2\n4\n6 2 4\n" + SYMBOLS


def read(text: str) -> str:
    """As Verilog, with what was said of it."""
    Path("circuit.aag").write_text(text)
    design = libyosys.Design()
    libyosys.run_pass("tee -q -o read.log read_aiger -module_name top circuit.aag", design)
    libyosys.run_pass("tee -q -o write.log write_verilog -noattr circuit.v", design)
    return Path("read.log").read_text() + Path("circuit.v").read_text()


plain, with_justice = read(PLAIN), read(WITH_JUSTICE)
print("y = a AND b without justice:", "a & b" in plain, "and with a justice property:", "a & b" in with_justice)
so = "a & b" in plain and "a & b" not in with_justice and "warning" not in with_justice.lower()
sys.exit(0 if so else "a justice property is read, refused or warned of now: mend the note")
PYTHON
