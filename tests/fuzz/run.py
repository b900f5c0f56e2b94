"""run.py -- runs the fuzzers side by side and prints TAP:  make fuzz FUZZ_SECONDS=60

Each starts from the inputs that are kept (corpus/NAME) and from what it found before (build/fuzz/found/NAME), and must
neither crash, hang, leak, nor take more memory than MEMORY_MB. An input that breaks something lies in
build/fuzz/broken/, to be run again with build/replay_NAME FILE; once repaired, it goes to the corpus under the name of
what it was. What was found and reaches other lines is added with
    build/fuzz/fuzzer_NAME -merge=1 -use_counters=0 -max_len=600 tests/fuzz/corpus/NAME build/fuzz/found/NAME

Environment:
    FUZZERS        folder of the programs fuzzer_NAME
    FUZZ_SECONDS   how long each runs (default 60)
    FUZZ_TARGETS   which (default: all)
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FUZZERS = os.environ.get("FUZZERS", os.path.join(ROOT, "build/fuzz"))
SECONDS = int(os.environ.get("FUZZ_SECONDS", "60"))
INPUT_SECONDS = 30  # the slowest input takes some 0.2 s, on a machine that does nothing else
MEMORY_MB = 2048
LONGEST = {"resp": 1000, "connection": 2048, "config": 1000}  # bytes of an input


def words(file, pattern):
    """The words in quotes in a table of the server, in those places of it that the pattern finds."""
    with open(os.path.join(ROOT, file)) as f:
        return {word for found in re.findall(pattern, f.read(), re.M) for word in re.findall(r"[\w*-]{2,}", found)}


def dictionary(name):
    """Words that the input is made of."""
    options = words("options.h", r'^ .*?\{"([\w-]+)", [A-Z]+, ')
    if name == "config":
        values = {"s3cr3t", "normal", "64mb", "1tb", "512kb", "tcp://", "--"}
        variables = {"SPONSON_" + option.upper().replace("-", "_") for option in options}
        return options | values | variables | words("options.h", r'[A-Z]+\(("[\w*-]+", "[\w-]*)"')
    common = {"*1\\x0d\\x0a", "*2\\x0d\\x0a", "*3\\x0d\\x0a", "$1\\x0d\\x0a", "$3\\x0d\\x0a", "$40000\\x0d\\x0a",
              "\\x0d\\x0a", "\\xff\\x01", "\\xff\\xc1", "9223372036854775807", "29000"}
    if name == "resp":
        return common
    syntax = words("commands.h", r'"([^"]*)", "[^"]*"\},$')
    return common | options | syntax | words("commands.h", r'^    \{"([\w|-]+)"')


def folder(*parts):
    path = os.path.join(FUZZERS, *parts)
    os.makedirs(path, exist_ok=True)
    return path


def start(name):
    path = os.path.join(FUZZERS, name + ".dict")
    with open(path, "w") as f:
        f.writelines(f'"{word}"\n' for word in sorted(dictionary(name)))
    log = open(os.path.join(FUZZERS, name + ".log"), "w+")
    return log, subprocess.Popen(
        [os.path.join(FUZZERS, "fuzzer_" + name), f"-max_total_time={SECONDS}", f"-timeout={INPUT_SECONDS}",
         f"-rss_limit_mb={MEMORY_MB}", f"-max_len={LONGEST[name]}", f"-dict={path}", "-print_final_stats=1",
         f"-artifact_prefix={folder('broken')}/{name}-", folder("found", name), os.path.join(HERE, "corpus", name)],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def ended(number, name, log, child):
    """Says how it went; whether it went well."""
    late = False
    try:
        child.wait(3 * SECONDS + 300)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        late = True
    log.seek(0)
    text = log.read()
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    cover = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text)
    good = child.returncode == 0 and runs is not None and bool(cover) and not late
    if not good:
        print("".join(f"# {line}\n" for line in text.splitlines()[-60:]), end="")
        print(f"# the input: {(re.findall(r'Test unit written to (.*)', text) or ['none: see ' + log.name])[-1]}")
    runs, (edges, features, inputs) = int(runs.group(1)) if runs else 0, cover[-1] if cover else (0, 0, 0)
    print(f"{'' if good else 'not '}ok {number} - fuzz_{name}: {runs:,} executions in {SECONDS} s, {edges} edges and "
          f"{features} features covered by {inputs} inputs", flush=True)
    return good


def main():
    names = os.environ.get("FUZZ_TARGETS", "resp connection config").split()
    print(f"1..{len(names)}", flush=True)
    children = [(name, *start(name)) for name in names]
    return 0 if all([ended(i + 1, *child) for i, child in enumerate(children)]) else 1


if __name__ == "__main__":
    sys.exit(main())
