"""Compares the binary interface with the recorded one, Tests/abi.txt.

    python3 Tests/abi.py [--library FILE] [--record]

A line is one fact: a function and its types, the size of a struct, offset, size and type of a field, the value of a
constant. Sizes and offsets are what the C compiler says. With a library, its exported symbols are facts too. A fact
that was recorded must stay; only a struct that starts with `struct_size` may grow. `--record` adds what is new.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "Tests" / "abi.txt"
HEADERS = ["lamina.h", "lamina_training.h", "lamina_plugin.h"]
# The version of a header is no part of the interface.
VERSIONS = re.compile(r"LAMINA_(VERSION_\w+|PLUGIN_ABI_MINOR)$")


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def declared():
    """The text of Lamina's headers without comments, directives and system headers."""
    include = "".join(f'#include "lamina/{name}"\n' for name in HEADERS)
    text, ours = [], False
    for line in run("cc", "-E", f"-I{ROOT}/include", "-", input=include).splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            ours = "lamina/lamina" in marker[1]
        elif ours:
            text.append(line)
    return re.sub(r"\s+", " ", re.sub(r"__attribute__\s*\(\(.*?\)\)\)", "", " ".join(text)))


def constants():
    """Names of constants: enumerators, and macros that are numbers."""
    names = []
    for body in re.findall(r"\benum \w* ?\{(.*?)\}", declared()):
        names += re.findall(r"(\w+) =", body)
    for header in ["lamina_types.h", *HEADERS]:
        text = (ROOT / "include" / "lamina" / header).read_text()
        names += re.findall(r"^#define (LAMINA_\w+) +[-(\d]", text, re.M)
    return [name for name in names if not VERSIONS.match(name)]


def type_of(parameter):
    """A parameter without its name."""
    parameter = parameter.strip()
    if parameter == "void":
        return parameter
    return re.sub(r"(?<=[\s*])\w+(\[\d*\])?$", r"\1", parameter).replace(" *", "*").strip()


def types_of(parameters):
    return ", ".join(map(type_of, parameters.split(",")))


def field(declaration):
    """Name and type of a field."""
    pointer = re.search(r"(.*?) ?\( ?\* ?(\w+) ?\) ?\((.*)\)", declaration.strip())
    if pointer:
        return pointer[2], f"{pointer[1].replace(' *', '*')} ({types_of(pointer[3])})"
    return re.search(r"(\w+) ?(\[[^]]*\])?$", declaration.strip())[1], type_of(declaration)


def facts():
    """What the headers promise, as a dictionary from the name of a fact to its value."""
    text = declared()
    found, rows, types = {}, [], {}
    for name, body in re.findall(r"\bstruct (\w+) \{([^{}]*)\}", text):
        rows.append((f"struct {name}", f"sizeof({name})", "0"))
        for member, kind in map(field, filter(str.strip, body.split(";"))):
            fact = f"field {name}.{member}"
            rows.append((fact, f"offsetof({name}, {member})", f"sizeof((({name} *)0)->{member})"))
            types[fact] = kind
    rows += [(f"constant {name}", name, "0") for name in constants()]
    program = "#include <stdio.h>\n" + "".join(f'#include "lamina/{name}"\n' for name in HEADERS)
    program += "int main(void) {\n"
    for fact, first, second in rows:
        program += f'  printf("{fact} = %lld %lld\\n", (long long)({first}), (long long)({second}));\n'
    with tempfile.TemporaryDirectory() as folder:
        run("cc", f"-I{ROOT}/include", "-x", "c", "-", "-o", f"{folder}/facts", input=program + "}\n")
        for line in run(f"{folder}/facts").splitlines():
            fact, value = line.split(" = ")
            found[fact] = f"{value} {types[fact]}" if fact in types else value.split()[0]
    outside = re.sub(r"\{[^{}]*\}", "{}", text)
    for result, pointer, name, parameters in re.findall(
            r"(?:^|;|\{|\}|typedef) ?((?:const )?\w+(?: ?\*)?) ?(\(\*)?(lamina_\w+)\)?\(([^()]*)\)(?= ?;)", outside):
        kind = "callback" if pointer else "function"
        found[f"{kind} {name}"] = f"{result.replace(' *', '*')} ({types_of(parameters)})"
    return found


def exported(library):
    lines = run("nm", "-D", "--defined-only", library).splitlines()
    return {f"symbol {line.split()[2].split('@')[0]}": "exported" for line in lines}


def may_change(fact, before, now, found):
    """A struct that says its size may grow."""
    kind, name = fact.split(" ", 1)
    return kind == "struct" and f"field {name}.struct_size" in found and int(now) > int(before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", help="whose exported symbols are compared too")
    parser.add_argument("--record", action="store_true", help="add what is new to the record")
    parser.add_argument("--recorded", type=Path, default=RECORD, help="the record; default: Tests/abi.txt")
    arguments = parser.parse_args()
    if platform.machine() not in ("x86_64", "aarch64"):
        sys.exit(print("skipped: the record is of processors with 64-bit pointers"))
    found = facts()
    if arguments.library:
        found |= exported(arguments.library)
    recorded = {}
    if arguments.recorded.exists():
        recorded = dict(line.split(" = ") for line in arguments.recorded.read_text().splitlines())
    broken = []
    for fact, value in recorded.items():
        if fact.startswith("symbol") and not arguments.library:
            continue
        now = found.get(fact)
        if now is None:
            broken.append(f"{fact} is gone")
        elif now != value and not may_change(fact, value, now, found):
            broken.append(f"{fact}: expected {value}, found {now}")
    if broken:
        print("\n".join(broken))
        sys.exit(f"the binary interface is broken in {len(broken)} places: programs that are already linked would fail; "
                 "where it must be, raise the ABI version and take the lines out of Tests/abi.txt")
    added = [fact for fact, value in found.items() if recorded.get(fact) != value]
    if arguments.record:
        lines = sorted((recorded | found).items())
        arguments.recorded.write_text("".join(f"{fact} = {value}\n" for fact, value in lines))
        print(f"recorded {len(added)} additions, {len(lines)} facts in all")
    else:
        print(f"{len(recorded)} recorded facts stand")
        if added:
            print("\n".join(f"new: {fact} = {found[fact]}" for fact in added))
            print(f"{len(added)} additions are not recorded yet: make check-abi RECORD=yes records them")


if __name__ == "__main__":
    main()
