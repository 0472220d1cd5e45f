# Compiles the sources that a list names, one line each: the source, where its
# compiled form goes, and what tracebacks call it. Compiled forms carry the
# digest of their source, which nobody checks when they are loaded (PEP 552):
# the same sources give the same bytes, whatever their times.
import py_compile
import sys

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH

with open(sys.argv[1], encoding="utf-8", newline="\n") as jobs:
    for job in jobs:
        source, target, shown = job.rstrip("\n").split("\t")
        try:
            py_compile.compile(
                source, target, shown, doraise=True, optimize=0, invalidation_mode=UNCHECKED
            )
        except (py_compile.PyCompileError, ValueError, RecursionError):
            # Templates, and sources of another Python: as pip does, they stay sources.
            print(shown)
