"""run.py -- runs the integration tests and prints TAP:  SERVER=./sponson python3 tests/integration/run.py [pattern]

The pattern is a regular expression, looked for in "module name-of-the-test". The environment is told in harness.py;
TIMES=1 prints how long each test took. Needs redis-cli, redis-benchmark, redis-server, cc and libhiredis-dev: what is
missing fails its tests, nothing is skipped.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
import test_commands  # noqa: E402,F401
import test_protocol  # noqa: E402,F401
import test_life  # noqa: E402,F401
import test_memory  # noqa: E402,F401
import test_limits  # noqa: E402,F401
import test_transactions  # noqa: E402,F401
import test_access  # noqa: E402,F401
import test_info  # noqa: E402,F401
import test_admin  # noqa: E402,F401
import test_config  # noqa: E402,F401
import test_examples  # noqa: E402,F401
import test_conf  # noqa: E402,F401
import test_random  # noqa: E402,F401
import test_clients  # noqa: E402,F401
import test_monitor  # noqa: E402,F401
import test_hotkeys  # noqa: E402,F401

if __name__ == "__main__":
    sys.exit(harness.run_all(sys.argv[1] if len(sys.argv) > 1 else ""))
