"""run.py -- runs the tests of faults and prints TAP:  SERVER=./sponson /usr/bin/python3 tests/faults/run.py [pattern]

The pattern is a regular expression, looked for in "module name-of-the-test"; TIMES=1 prints how long each test took.
FAULT_SECONDS is how long the cache stays under full load within its memory limit (default 60). Needs root, or what
strace, a network namespace and a control group need: what is not allowed here fails its tests, nothing is skipped.
"""
import os
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

import harness  # noqa: E402
import test_calls  # noqa: E402,F401
import test_connections  # noqa: E402,F401
import test_process  # noqa: E402,F401
import test_storms  # noqa: E402,F401

if __name__ == "__main__":
    sys.exit(harness.run_all(sys.argv[1] if len(sys.argv) > 1 else ""))
