"""typed.py -- holds a document against the types that the project which reads it publishes, with the TypeScript
compiler: a field that is not known, or of the wrong type, is an error. The packages are in build/deploy."""
import json
import os
import subprocess
import tempfile

from harness import PATIENCE

MODULES = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../build/deploy/node_modules"))
# In TypeScript a text is no member of an enum; in JSON it is.
PLAIN = """type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[]
    : T extends object ? {[K in keyof T]: Plain<T[K]>} : T
"""


def complaints(*documents):
    """What the compiler says about documents that should be of a type of a module, each (document, type, module); "" is
    nothing."""
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(MODULES, os.path.join(folder, "node_modules"))
        with open(os.path.join(folder, "documents.ts"), "w") as f:
            f.write(PLAIN)
            for i, (document, name, module) in enumerate(documents):
                f.write(f"import {{{name} as Type{i}}} from './node_modules/{module}'\n"
                        f"export const document{i}: Plain<Type{i}> = {json.dumps(document, indent=1)}\n")
        done = subprocess.run([os.path.join(MODULES, ".bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--module",
                               "esnext", "--moduleResolution", "bundler", "documents.ts"], cwd=folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=300 * PATIENCE, check=False)
        return done.stdout or ("" if done.returncode == 0 else f"exit {done.returncode}")
