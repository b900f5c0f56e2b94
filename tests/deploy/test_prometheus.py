"""test_prometheus.py -- examples/prometheus and examples/grafana, with promtool and a real Prometheus.

The rules are tested by examples/prometheus/alerts_test.yml, and that by changing each number of each rule: a changed
rule must fail. Each query of the rules and of the dashboard names only metrics and labels that /metrics of a server
under load has, and Prometheus answers each of them with data. Grafana itself is in no Debian; its files are judged as
far as their own rules are known.
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse

import yaml
from harness import PATIENCE, Server, check, equal, free_ports, request, test, until
from tools import Metrics, Tool, ask, write
from typed import complaints

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
RULES = os.path.join(EXAMPLES, "prometheus/alerts.yml")
DASHBOARD = os.path.join(EXAMPLES, "grafana/dashboards/sponson.json")
WINDOW = "10s"  # in place of each range of a query: as much as the test has
# Labels that Prometheus adds, and what is a metric of its own.
ADDED = {"instance", "job"}
OWN = {"up", "ALERTS"}


def promtool(*words):
    done = subprocess.run(["promtool", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300 * PATIENCE, check=False)
    return done.returncode, done.stdout


# ---- the rules ----


def rules():
    with open(RULES) as f:
        return [rule for group in yaml.safe_load(f)["groups"] for rule in group["rules"]]


def changed(text):
    """The rules' text with one number of one expression changed, for each number; and what was changed."""
    for expr in re.finditer(r"expr:(?: >-\n(?: {10}.*\n)+|.*\n)", text):
        for number in re.finditer(r"(?<![\w\[.])\d+(\.\d+)?(?![\w.\]])", expr.group(0)):
            old = number.group(0)
            for new in ("-1", "1") if old == "0" else (f"{float(old) * 0.85:g}", f"{float(old) * 1.15:g}"):
                at = expr.start() + number.start()
                yield (text[:at] + new + text[at + len(old):],
                       f"{text.rfind('alert: ', 0, at)}: {new} for {old} in {' '.join(expr.group(0).split())}")


@test(seconds=120)
def alerts():
    """The alert rules: promtool finds no fault, each says what to do, and fires above its threshold and not below"""
    with open(RULES) as f:
        text = f.read()
    for words in (("check", "rules", RULES), ("check", "config", os.path.join(EXAMPLES, "prometheus/prometheus.yml")),
                  ("test", "rules", os.path.join(EXAMPLES, "prometheus/alerts_test.yml"))):
        code, output = promtool(*words)
        check(code == 0, f"promtool {' '.join(words)}\n{output[-3000:]}")
    with open(os.path.join(EXAMPLES, "prometheus/alerts_test.yml")) as f:
        tests = f.read()
    for rule in rules():
        check(rule["labels"]["severity"] in ("critical", "warning", "info"), f"{rule['alert']}: severity")
        check(set(rule["annotations"]) == {"summary", "description"} and len(rule["annotations"]["description"]) > 100,
              f"{rule['alert']}: annotations")
        check(f'alertname="{rule["alert"]}", alertstate="firing"' in tests, f"{rule['alert']} is not tested")


@test(seconds=120)
def changed_alerts():
    """A change of 15 percent to any number in any rule is noticed by the rules' own tests"""
    with open(RULES) as f:
        text = f.read()

    def passes(other):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(os.path.join(EXAMPLES, "prometheus/alerts_test.yml"), folder)
            write(folder, "alerts.yml", other)
            return promtool("test", "rules", os.path.join(folder, "alerts_test.yml"))[0] == 0
    changes = list(changed(text))
    check(len(changes) >= 2 * len(rules()), f"only {len(changes)} changes")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        passed = [what for (_, what), good in zip(changes, pool.map(passes, [other for other, _ in changes])) if good]
    equal(passed, [], f"of {len(changes)} changes")


# ---- the dashboard's own form ----


def dashboard():
    with open(DASHBOARD) as f:
        return json.load(f)


def provisioning(name):
    with open(os.path.join(EXAMPLES, "grafana/provisioning", name)) as f:
        return yaml.safe_load(f)


@test(seconds=60)
def dashboard_types():
    """The dashboard is one by Grafana's own types: every field is known, and of the right type"""
    def judge(board):
        for annotation in board["annotations"]["list"]:  # a data source's own fields are in no type
            for own in ("expr", "titleFormat", "textFormat"):
                del annotation[own]
        custom = [p["fieldConfig"]["defaults"]["custom"] for p in board["panels"] if p["type"] == "timeseries"]
        return complaints((board, "Dashboard", "@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen"),
                          *((one, "GraphFieldConfig", "@grafana/schema") for one in custom))
    board = dashboard()
    equal(judge(board), "")
    board = dashboard()  # and this is noticed
    panel = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["custom"]["fillOpcity"] = 1
    panel["fieldConfig"]["defaults"]["unt"] = "s"
    text = judge(board)
    check("fillOpcity" in text and '"unt"' in text, f"wrong fields pass: {text}")


@test
def dashboard_form():
    """The dashboard's panels have places and ids of their own, and its data source is the one that is provisioned"""
    board = dashboard()
    equal((board["uid"], board["title"]), ("sponson", "Sponson"))
    variables = {v["name"]: v for v in board["templating"]["list"]}
    source = provisioning("datasources/prometheus.yml")["datasources"][0]
    equal(variables["datasource"]["current"]["value"], source["uid"])
    equal(source["type"], "prometheus")
    ids, taken = set(), set()
    for panel in board["panels"]:
        check(panel["id"] not in ids, f"two panels {panel['id']}")
        ids.add(panel["id"])
        place = panel["gridPos"]
        check(place["x"] + place["w"] <= 24, f"{panel['title']} is too wide")
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        check(not cells & taken, f"{panel['title']} lies on another panel")
        taken |= cells
        if panel["type"] == "row":
            continue
        check(panel["type"] in ("timeseries", "stat") and panel["title"] and panel["fieldConfig"]["defaults"]["unit"],
              f"{panel['title']}: type and unit")
        check(panel["targets"], f"{panel['title']} asks nothing")
        for target in [panel, *panel["targets"]]:
            equal(target["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])
        refs = [target["refId"] for target in panel["targets"]]
        equal(len(set(refs)), len(refs), panel["title"])
    with open(os.path.join(EXAMPLES, "docker-compose.yml")) as f:
        grafana = yaml.safe_load(f)["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    equal(mounts["./grafana/dashboards"], provisioning("dashboards/sponson.yml")["providers"][0]["options"]["path"])
    equal(source["url"], "http://prometheus:9090")


# ---- the queries ----


def queries():
    """{where: query} of all rules, of the dashboard's panels, its annotations and its variables."""
    found = {f"rule {rule['alert']}": rule["expr"] for rule in rules()}
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for annotation in board["annotations"]["list"]:
        found[f"annotation {annotation['name']}"] = annotation["expr"]
    return found


FUNCTIONS = """sum by on and rate increase histogram_quantile time group_left offset label_values count""".split()


def parts(query):
    """[(metric, {label: (operator, value)})], and the labels that it groups or joins by."""
    text = re.sub(r'"[^"]*"', lambda m: m.group(0).replace("{", "(").replace("}", ")"), query)
    selectors, groups = [], set()
    for words in re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", text):
        groups |= {word.strip() for word in words.split(",")}
    text = re.sub(r"\b(?:by|on|group_left)\s*\([^)]*\)", "", text)
    text = re.sub(r"\[[^]]*\]|offset \w+", "", text)
    for name, labels in re.findall(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?(?!\w|\s*\()", text):
        if name in FUNCTIONS:
            continue
        selectors.append((name, {m[0]: (m[1], m[2]) for m in re.findall(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"', labels)}))
    return selectors, groups


def labels_of(page):
    """{metric: [labels of each sample]} of /metrics."""
    found = {}
    for name, labels in Metrics(page).series:
        found.setdefault(name, []).append(dict(labels))
    return found


def unknown(query, exported):
    """What the query names and /metrics does not have."""
    selectors, groups = parts(query)
    check(selectors, f"no metric was found in {query}")
    problems, known = [], set(ADDED)
    for name, labels in selectors:
        if name in OWN:
            known |= {"alertname", "alertstate"}
            continue
        if name not in exported:
            problems.append(f"metric {name}")
            continue
        has = set().union(*exported[name])
        known |= has
        for label, (operator, value) in labels.items():
            if label not in has | ADDED:
                problems.append(f"label {label} of {name}")
            elif operator == "=" and label not in ADDED and value not in {s.get(label) for s in exported[name]}:
                problems.append(f'{name}{{{label}="{value}"}}')
    return problems + [f"label {label}" for label in groups - known]


class Load:
    """A small server with a little of everything: hits, three kinds of misses, evictions, expiry, errors, refusals."""

    FLAGS = ("--maxmemory", "8mb", "--max-value-size", "32kb", "--maxclients", "4", "--requirepass", "secret",
             "--slowlog-log-slower-than", "0")

    def __init__(self, server):
        self.connection = server.connect()
        self.address = server
        equal(self.connection.ask("AUTH secret"), "OK")
        self.turn = 0

    def more(self):
        c, n = self.connection, self.turn
        self.turn += 1
        c.pipeline([request("SET", f"k{n}-{i}", "v" * 2000, "PX", 50 if i % 5 == 0 else 3600000) for i in range(2000)])
        c.pipeline([request("GET", f"k{max(n - at, 0)}-{i}") for at in (0, 1, 3) for i in range(500)])
        c.pipeline([request("GET", f"never-{n}-{i}") for i in range(100)])
        for words in ("NO-SUCH-COMMAND", "SET k word", "INCR k", "AUTH wrong", "SELECT 1", "SET one 1", "SELECT 0"):
            c.ask(words)
        crowd = []
        try:
            for _ in range(6):  # more than maxclients
                crowd.append(self.address.connect())
        except OSError:
            pass
        for other in crowd:
            other.close()

    def close(self):
        self.connection.close()


class Prometheus(Tool):
    """A real one that scrapes every second, with the example's configuration and rules."""

    def __init__(self, target):
        with open(os.path.join(EXAMPLES, "prometheus/prometheus.yml")) as f:
            text = f.read()
        for old, new in (("interval: 15s", "interval: 1s"), ('"cache:9171"', f'"{target}"')):
            check(old in text, f"prometheus.yml has {old}")
            text = text.replace(old, new)

        def command(port, folder):
            shutil.copy(RULES, folder)
            return ["prometheus", "--config.file", write(folder, "prometheus.yml", text), "--storage.tsdb.path",
                    os.path.join(folder, "data"), "--web.listen-address", f"127.0.0.1:{port}", "--log.level", "warn"]
        super().__init__(command, "/-/ready")

    def answers(self, path):
        return self.running() and super().answers(path) and self.ask(path).status == 200

    def api(self, path, **values):
        return self.json(f"/api/v1/{path}?{urllib.parse.urlencode(values)}")["data"]

    def query(self, text):
        """The samples; NaN is none: a quantile of nothing."""
        return [r for r in self.api("query", query=text)["result"] if r["value"][1] != "NaN"]


def asked(query, instance):
    """The query as Grafana sends it, over the short time that there is."""
    query = query.replace("$instance", re.escape(instance).replace("\\", "\\\\")).replace("$__rate_interval", WINDOW)
    return re.sub(r" offset 10m", "", re.sub(r"\[\w+\]", f"[{WINDOW}]", query))


def operands(rule):
    """What a rule compares: each has to have a value, whether the alert fires or not."""
    parts_of_it = re.split(r"\s(?:>|<|==|and on \(instance\)|and)\s", rule)
    return [part for part in parts_of_it if re.search("[a-z]", part)]  # and not the numbers


@test(seconds=150)
def dashboard_queries():
    """Every query of dashboard and rules: its metrics and labels are exported, and Prometheus has data for it"""
    port, admin_port = free_ports(2)
    with Server(*Load.FLAGS, "--admin-port", admin_port, port=port) as server:
        target = f"127.0.0.1:{admin_port}"
        load = Load(server)
        load.more()
        with Prometheus(target) as prometheus:
            until(lambda: load.more() or prometheus.query("sponson_commands_total"), 30, "Prometheus scrapes")
            exported = labels_of(ask(admin_port, "/metrics").body.decode())
            wrong = {where: unknown(query, exported) for where, query in queries().items()}
            equal({where: what for where, what in wrong.items() if what}, {}, "named, but not exported")
            waiting = {f"{where} {i}": asked(part, target)
                       for where, query in queries().items() if "ALERTS" not in query
                       for i, part in enumerate(operands(query) if where.startswith("rule") else [query])}

            def answered():
                load.more()
                for where in [where for where, query in waiting.items() if prometheus.query(query)]:
                    del waiting[where]
                return not waiting
            until(answered, 40, lambda: f"data for {json.dumps(waiting, indent=1)}")
            equal(prometheus.api("label/instance/values", **{"match[]": "sponson_build_info"}), [target])
            groups = prometheus.api("rules")["groups"]
            equal(len(groups[0]["rules"]), len(rules()))
            for rule in groups[0]["rules"]:
                equal((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
        load.close()


@test
def unknown_metrics():
    """And this is noticed: a metric, a label, a label's value that is not exported"""
    exported = labels_of('a_total{cause="x"} 1\na_total{cause="y"} 2\nb{le="1"} 3\n')
    for query, problems in (('sum by (cause) (rate(a_total{instance=~"$instance"}[5m]))', []),
                            ('rate(a_total{cause="x"}[5m]) / on (instance) group_left (le) b > 0', []),
                            ("histogram_quantile(0.99, sum by (instance, le) (rate(b[5m] offset 10m)))", []),
                            ("sum(rate(c_total[5m])) / time()", ["metric c_total"]),
                            ('a_total{reason="x"}', ["label reason of a_total"]),
                            ('a_total{cause="z"}', ['a_total{cause="z"}']),
                            ("sum by (command) (a_total)", ["label command"])):
        equal(unknown(query, exported), problems, query)
