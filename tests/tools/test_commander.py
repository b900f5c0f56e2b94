"""test_commander.py -- redis-commander, the web page, in front of the server: what its page asks for, asked for the
same way, and the page itself in a browser."""
import base64
import json
import os
import re
import urllib.parse

from harness import OK, Failure, Server, check, equal, free_port, test, until
from tools import Tool

MODULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "tools", "node_modules")


def quoted(text):
    return urllib.parse.quote(text, safe="")


class Commander(Tool):
    """The connection's name is how its page calls the server."""

    def __init__(self, server, *flags):
        self.id = quoted(f"R:127.0.0.1:{server.port}:0")
        super().__init__(lambda port, _: [
            "node", os.path.join(MODULES, ".bin", "redis-commander"), "--redis-host", "127.0.0.1", "--redis-port",
            str(server.port), "--address", "127.0.0.1", "--port", str(port), "--nosave", *flags])
        try:
            until(lambda: not self.info()["data"][0].get("disabled"), 20, lambda: f"it is connected\n{self.said()}")
        except BaseException:
            self.kill()
            raise

    def info(self):
        return self.json(f"/apiv2/server/{self.id}/info")

    def key(self, key):
        return self.json(f"/apiv2/key/{self.id}/{quoted(key)}")

    def save(self, key, value):
        equal(self.page(f"/apiv2/key/{self.id}/{quoted(key)}", body={"stringValue": value, "keyType": "string"}), "OK")

    def tree(self, prefix=""):
        """{text: what is told of it} of what is below the prefix."""
        return {one["text"]: one for one in self.json(f"/apiv2/keystree/{self.id}/{quoted(prefix)}")["data"]}

    def cli(self, line):
        return self.json(f"/apiv2/exec/{self.id}", body={"cmd": line})["data"]


@test
def pages():
    """redis-commander: its page, connections, server information and settings; databases found and added"""
    with Server("--maxmemory", "32mb") as server, server.connect() as c, Commander(server) as page:
        equal([c.ask("SELECT 4"), c.ask("SET a b")], [OK, OK])
        text = page.page("/")
        check("<title>Redis Commander" in text, "the page")
        for path in set(re.findall(r'(?:src|href)="([a-z][\w./-]+\.(?:js|css))"', text)):
            check(page.page("/" + path), path)
        equal(page.json("/apiv2/connection"), True)
        equal([one["options"] for one in page.json("/connections")["connections"]],
              [{"db": 0, "type": "Standalone", "host": "127.0.0.1", "port": server.port}])
        equal(page.json("/config")["foldingChar"], ":")
        info = {one["key"]: one["value"] for one in page.info()["data"][0]["info"]}
        equal({k: info.get(k) for k in ("Redis mode", "Tcp port", "Maxmemory", "Role", "Db4")},
              {"Redis mode": "standalone", "Tcp port": str(server.port), "Maxmemory": str(32 << 20), "Role": "master",
               "Db4": "keys=1,expires=0,avg_ttl=0"})
        equal(len(page.json("/apiv2/server/info")["data"]), 1)
        check("GET key" in page.json("/apiv2/redisCommands")["data"], "the commands that its page completes")
        other = {"serverType": "redis", "hostname": "127.0.0.1", "port": server.port, "dbIndex": 4, "label": "four"}
        found = page.json("/login/detectDb", body=other)
        equal((found["ok"], found["dbs"]["max"], [db["dbIndex"] for db in found["dbs"]["used"]]), (True, 16, ["4"]))
        equal(page.json("/login", body=other)["ok"], True)
        fourth = quoted(f"R:127.0.0.1:{server.port}:4")
        until(lambda: page.ask(f"/apiv2/key/{fourth}/a").status == 200, 10, "the connection is there")
        equal(page.json(f"/apiv2/key/{fourth}/a"), {"ttl": -1, "key": "a", "type": "string", "value": "b"})
        equal(page.page(f"/logout/{fourth}", body={}), "OK")
        equal(len(page.json("/connections")["connections"]), 1)
        check("not supported" not in page.said(), page.said())


@test
def keys():
    """redis-commander: the tree of 3,000 keys by SCAN, keys read, saved, renamed and deleted, TTLs, binary values"""
    with Server() as server, server.connect() as c, Commander(server) as page:
        equal(c.ask("MSET", *(x for i in range(3000) for x in (f"user:{i}:name", f"n{i}"))), OK)
        equal([c.ask("SET plain hello EX 1000"), c.ask("SET", "a/b c*", "slash"),
               c.ask("SET", "binary", bytes(range(32)))], [OK] * 3)
        tree = page.tree()
        equal(sorted(tree), ["a/b c*", "binary", "plain", "user:* (3000)"])
        equal((tree["user:* (3000)"]["count"], tree["user:* (3000)"]["children"], tree["plain"]["rel"]),
              (3000, True, "string"))
        equal(len(page.tree("user:")), 3000)
        equal(page.tree("user:17:").keys(), {"name"})
        completions = page.json(f"/apiv2/keys/{page.id}/user:299*?limit=20")["data"]
        equal(completions, [f"user:{i}:" for i in range(2990, 3000)] + ["user:299:name"])
        equal(page.json(f"/apiv2/keys/{page.id}/pl*"), {"data": ["plain"]})
        shown = page.key("plain")
        check(900 <= shown.pop("ttl") <= 1000, "its TTL")
        equal(shown, {"key": "plain", "type": "string", "value": "hello"})
        equal(page.key("a/b c*"), {"ttl": -1, "key": "a/b c*", "type": "string", "value": "slash"})
        equal(page.key("none"), {"key": "none", "type": "none"})
        equal(page.key("binary"), {"ttl": -1, "key": "binary", "type": "binary",
                                   "value": base64.b64encode(bytes(range(32))).decode()})
        page.save("plain", 'changed "ä" 1')
        equal([c.ask("GET plain"), c.ask("TTL plain")], ['changed "ä" 1'.encode(), -1])
        page.save("new:one", "1")
        path = f"/apiv2/key/{page.id}/{quoted('new:one')}"
        equal(page.json(path, body={"key": "new:two", "force": "false"}, method="PATCH"), "ok")
        equal([c.ask("GET new:two"), c.ask("EXISTS new:one"), c.ask("SET new:one 2")], [b"1", 0, OK])
        taken = page.json(path, body={"key": "new:two", "force": "false"}, method="PATCH")
        equal(taken["error"]["code"], "ERR_KEY_EXISTS")
        equal(page.json(path, body={"key": "new:two", "force": "true"}, method="PATCH"), "ok")
        equal(c.ask("MGET new:one new:two"), [None, b"2"])
        equal(page.page(f"/apiv2/key/{page.id}/new:two?action=delete", body={}), "ok")
        equal(page.page(f"/apiv2/keys/{page.id}/{quoted('user:1*')}?action=delete", body={}), "ok")
        left = sum(not str(i).startswith("1") for i in range(3000))
        until(lambda: c.ask("DBSIZE") == 3 + left, 10, "they are deleted")
        equal(page.tree()[f"user:* ({left})"]["count"], left)


@test
def command_line():
    """redis-commander: its command line, export and import"""
    with Server() as server, server.connect() as c, Commander(server) as page:
        for line, want in (
                ('set x "a b" EX 100', "OK"), ("get x", "a b"), ("ttl x", 100), ("mget x none", ["a b", None]),
                ("incr n", 1), ("exists x n none", 2), ("dbsize", 2), ("type x", "string"), ("del n", 1),
                ("config get databases", ["databases", "16"]), ("object encoding x", "embstr"), ("slowlog reset", "OK"),
                ("slowlog len", 0), ("latency latest", []),
                ("incr x", "ERR value is not an integer or out of range"),
                ("lpush l 1", "ERR unknown command 'lpush', with args beginning with: 'l' '1' ")):
            got = page.cli(line)
            equal(50 <= got <= 100 if line == "ttl x" else got, True if line == "ttl x" else want, line)
        check("redis_version:" in page.cli("info"), "INFO")
        check("name=redis-commander" in page.cli("client list"), "its connection has a name")
        equal(page.page(f"/tools/export?connection={page.id}&type=json&keyPrefix=x"), '{"x":"a b"}')
        exported = page.page(f"/tools/export?connection={page.id}&type=redis&keyPrefix=x")
        check('SET "x" "a b"' in exported, exported)
        equal(c.ask("FLUSHALL"), OK)
        report = json.loads(page.page("/tools/import", body={
            "connection": urllib.parse.unquote(page.id), "data": exported + "\nSET y 'v'"}))
        equal((report["status"], report["errors"], c.ask("GET x"), c.ask("GET y")), ("OK", 0, b"a b", b"v"))


@test
def password():
    """redis-commander: with a password, and again after the server was away"""
    with Server("--requirepass", "secret", port=free_port()) as server:
        with Commander(server, "--redis-password", "secret") as page:
            page.save("a", "1")
            server.stop()
            with Server("--requirepass", "secret", port=server.port):
                until(lambda: page.ask(f"/apiv2/key/{page.id}/a").status == 200, 20, "it is connected again")
                equal(page.key("a"), {"key": "a", "type": "none"})
                page.save("a", "2")
                equal(page.cli("get a"), "2")


LINK = "[...document.querySelectorAll('#keyTree a')].find(a => a.textContent.startsWith('%s'))"


class Browser(Tool):
    """Chromium without a window, driven by its WebDriver."""

    def __init__(self):
        super().__init__(lambda port, _: ["chromedriver", f"--port={port}"], "/status")
        options = {"args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--no-proxy-server", f"--user-data-dir={self.folder}/chromium"]}
        try:
            self.session = "/session"
            wanted = {"browserName": "chrome", "goog:chromeOptions": options}
            answer = self.do("", {"capabilities": {"alwaysMatch": wanted}})
            self.session = f"/session/{answer['sessionId']}"
        except BaseException:
            self.kill()
            raise

    def do(self, path, body=None, method=None):
        body = None if body is None else json.dumps(body)
        answer = self.ask(self.session + path, body=body, method=method, seconds=60)
        value = json.loads(answer.body)["value"]
        check(answer.status == 200, f"the browser: {value}")
        return value

    def script(self, text):
        """What this function's body returns on the page."""
        return self.do("/execute/sync", {"script": text, "args": []})

    def wait(self, text, what):
        """Until it returns something; what the page shows is told where it does not."""
        return until(lambda: self.script("return " + text), 20,
                     lambda: f"{what}; the page: {self.script('return document.body.innerText')[:1500]}")

    def click(self, text):
        """On what the tree shows, which is not there while it is made anew."""
        self.wait(f"(link => link && (link.click(), true))({LINK % text})", f"the tree shows {text}")

    def __exit__(self, *how):
        try:
            self.do("", method="DELETE")
        except (Failure, OSError):
            pass  # it ends with its driver
        super().__exit__(*how)


@test(seconds=90)
def browser():
    """redis-commander in Chromium: the page shows the server and its keys; one is opened, changed and saved"""
    with Server() as server, server.connect() as c, Commander(server) as page, Browser() as chromium:
        equal(c.ask("MSET plain hello user:1 one user:2 two"), OK)
        address = {"url": f"http://127.0.0.1:{page.port}/"}
        chromium.do("/url", address)
        for text in (f"local (127.0.0.1:{server.port}:0)", "user:* (2)", "plain"):
            chromium.wait(LINK % text, f"the tree shows {text}")
        chromium.click("plain")
        chromium.wait("document.querySelector('#stringValue')?.value == 'hello'", "the key's value")
        chromium.script("document.querySelector('#stringValue').value = 'changed'; $('#saveKeyButton').click()")
        until(lambda: c.ask("GET plain") == b"changed", 20, "it is saved")
        chromium.do("/url", address)  # a page that is not about to show what was saved
        chromium.click("local")
        chromium.wait("document.querySelector('#body').innerText.includes('Sponson version')", "INFO as a table")
