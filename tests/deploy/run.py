"""run.py -- tests what is installed, and the files in conf/ and examples/ with the tools that read them; prints TAP:

    SERVER=./sponson IMAGE_BINARY=build/static/sponson /usr/bin/python3 tests/deploy/run.py [pattern]

The pattern is a regular expression, looked for in "module name-of-the-test"; TIMES=1 prints how long each test took.
IMAGE_BINARY is a static one, for the image. install.sh installs what is needed. It takes root, for a systemd and a
Docker daemon in namespaces of their own. What is missing or not allowed fails its tests, nothing is skipped.
"""
import os
import sys

for shared in ("tools", "integration"):
    sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", shared))

import harness  # noqa: E402
import test_install  # noqa: E402,F401
import test_service  # noqa: E402,F401
import test_prometheus  # noqa: E402,F401
import test_compose  # noqa: E402,F401

if __name__ == "__main__":
    sys.exit(harness.run_all(sys.argv[1] if len(sys.argv) > 1 else ""))
