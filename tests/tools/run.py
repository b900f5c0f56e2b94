"""run.py -- runs the tests of tools and prints TAP:  SERVER=./sponson /usr/bin/python3 tests/tools/run.py [pattern]

The pattern is a regular expression, looked for in "module name-of-the-test"; TIMES=1 prints how long each test took.
Each tool is the one that people install, as Debian or npm has it, with its own configuration and no other change.
What is missing fails its tests, nothing is skipped.
"""
import os
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import harness  # noqa: E402
import test_exporter  # noqa: E402,F401
import test_prometheus  # noqa: E402,F401
import test_webdis  # noqa: E402,F401
import test_commander  # noqa: E402,F401
import test_collectd  # noqa: E402,F401

if __name__ == "__main__":
    sys.exit(harness.run_all(sys.argv[1] if len(sys.argv) > 1 else ""))
