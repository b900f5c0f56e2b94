"""test_compose.py -- examples/docker-compose.yml and examples/kubernetes, with a Docker daemon of the tests' own.

The daemon lives in a network namespace of its own, so that the ports, networks and firewall rules that it makes are
nobody else's. No registry is asked; the images that the file names are made here:

    sponson             the last stage of the Dockerfile, with the static binary
    prom/prometheus     Debian's prometheus, and busybox for the health check, as the real image has both
    grafana/grafana     a stand-in: Debian has no Grafana. It sees that what is mounted is where Grafana looks for it,
                        and that the data source's address leads to Prometheus, before it calls itself healthy
"""
import json
import os
import re
import shutil
import subprocess
import tempfile

import yaml
from harness import MB, PATIENCE, Failure, Process, check, equal, test, until
from typed import complaints

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = os.path.join(ROOT, "examples")
COMPOSE = os.path.join(EXAMPLES, "docker-compose.yml")
IMAGE_BINARY = os.environ.get("IMAGE_BINARY", "build/static/sponson")
GRAFANA = """#!/bin/sh
set -e
cd /etc/grafana
path=$(sed -n 's/^ *path: //p' provisioning/dashboards/*.yml)
grep -q '"uid": "sponson"' "$path/sponson.json"
test "$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH" = "$path/sponson.json"
wget -q -O /dev/null "$(sed -n 's/^ *url: //p' provisioning/datasources/*.yml)/api/v1/status/buildinfo"
mkdir -p /tmp/www/api
echo ok >/tmp/www/api/health
exec httpd -f -p 3000 -h /tmp/www
"""


def compose_file():
    with open(COMPOSE) as f:
        return yaml.safe_load(f)


class Docker:
    """The daemon, its folder and its network namespace; all of it goes at the end."""

    def __init__(self):
        check(os.geteuid() == 0, "dockerd takes root")
        self.folder = tempfile.mkdtemp(prefix="sponson-docker-")
        self.name = f"sponson-docker-{os.getpid()}"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        self.environment.update(DOCKER_HOST=f"unix://{self.folder}/socket", DOCKER_CONFIG=f"{self.folder}/config",
                                DOCKER_BUILDKIT="0", COMPOSE_PROJECT_NAME="sponson")
        daemon = f"""ip link set lo up && exec dockerd --bridge=none --storage-driver=overlay2
            --default-ulimit nofile=20000:20000 -p {self.folder}/pid -H unix://{self.folder}/socket
            --containerd-namespace={self.name} --containerd-plugins-namespace={self.name}-plugins
            --data-root {self.folder}/data --exec-root {self.folder}/exec
            --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent=/{self.name}""".replace("\n", " ")
        self.process = Process(["unshare", "--net", "setsid", "sh", "-c", daemon])
        try:
            def answers():
                check(self.process.running(), f"dockerd ended\n{self.process.stderr()[-3000:]}")
                return self.run("docker", "version")[0] == 0
            until(answers, 60, lambda: f"dockerd answers\n{self.process.stderr()[-3000:]}")
        except BaseException:
            self.close()
            raise

    def run(self, *argv, seconds=300):
        """(exit code, all output)"""
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env=self.environment, timeout=seconds * PATIENCE, check=False)
        return done.returncode, done.stdout.strip()

    def __call__(self, *argv, seconds=300):
        code, output = self.run(*argv, seconds=seconds)
        check(code == 0, f"{' '.join(argv)}: exit {code}\n{output[-3000:]}")
        return output

    def inside(self, *argv):
        """A program of this machine, in the daemon's network."""
        return self("nsenter", "--net", f"--target={self.process.pid}", "--", *argv)

    def build(self, image, dockerfile, files):
        """An image from a Dockerfile's text and {name: path or bytes}."""
        with tempfile.TemporaryDirectory() as context:
            for name, source in {**files, "Dockerfile": dockerfile.encode()}.items():
                if isinstance(source, bytes):
                    with open(os.path.join(context, name), "wb") as f:
                        f.write(source)
                else:
                    os.makedirs(os.path.dirname(os.path.join(context, name)), exist_ok=True)
                    shutil.copy(source, os.path.join(context, name))
            self("docker", "build", "--network", "none", "-t", image, context)

    def close(self):
        containers = self.run("docker", "ps", "-aq")[1].split() if self.process.running() else []
        if containers:
            self.run("docker", "rm", "-f", "-v", *containers)
        self.process.signal(15)
        try:
            self.process.child.wait(30)
        except subprocess.TimeoutExpired:
            pass
        self.process.kill()
        with open("/proc/self/mounts") as f:
            mounts = [line.split()[1] for line in f if line.split()[1].startswith(self.folder + "/")]
        for mount in sorted(mounts, reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)
        subprocess.run(["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*/{self.name}*", "-exec", "rmdir",
                        "{}", ";"], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def build_cache(docker, name):
    """The last stage of the Dockerfile, as it is but for where the binary comes from."""
    with open(os.path.join(ROOT, "Dockerfile")) as f:
        text = f.read()
    stage, count = re.subn(r"COPY --from=build /src/sponson ", "COPY sponson ", text[text.index("FROM scratch"):])
    equal(count, 1, "binaries that the Dockerfile copies")
    check(os.path.exists(IMAGE_BINARY), f"there is no {IMAGE_BINARY}, which make test-deploy makes")
    docker.build(name, stage, {"sponson": IMAGE_BINARY})


def build_others(docker, services):
    prometheus = shutil.which("prometheus")
    linked = subprocess.run(["ldd", prometheus], capture_output=True, text=True, check=True).stdout
    libraries = {path.lstrip("/"): os.path.realpath(path) for path in re.findall(r"(/\S+) \(", linked)}
    docker.build(services["prometheus"]["image"],
                 "FROM scratch\nCOPY . /\nRUN [\"/bin/busybox\", \"--install\", \"/bin\"]\n"
                 "RUN mkdir /prometheus && chown 65534 /prometheus\nVOLUME /prometheus\nUSER 65534\n"
                 "ENTRYPOINT [\"/bin/prometheus\"]\n",
                 {**libraries, "bin/prometheus": prometheus, "bin/busybox": "/usr/bin/busybox"})
    docker.build(services["grafana"]["image"],
                 "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"/bin\"]\n"
                 "COPY run.sh /run.sh\nENTRYPOINT [\"/bin/sh\", \"/run.sh\"]\n",
                 {"busybox": "/usr/bin/busybox", "run.sh": GRAFANA.encode()})


def described(docker, service):
    """What docker inspect says of the service's container."""
    name = docker("docker-compose", "-f", COMPOSE, "ps", "-q", service)
    return json.loads(docker("docker", "inspect", name))[0]


@test(seconds=180)
def compose():
    """examples/docker-compose.yml, unchanged: all become healthy, Prometheus scrapes the cache and has its rules"""
    services = compose_file()["services"]
    with Docker() as docker:
        build_cache(docker, services["cache"]["image"])
        build_others(docker, services)
        try:
            docker("docker-compose", "-f", COMPOSE, "up", "-d", "--no-build", seconds=600)
        except Failure as e:
            logs = docker.run("docker-compose", "-f", COMPOSE, "logs", "--tail", "10")[1]
            raise Failure(f"{e}\n{logs[-3000:]}") from None

        def all_healthy():
            return all(described(docker, s)["State"].get("Health", {}).get("Status") == "healthy" for s in services)
        until(all_healthy, 60, lambda: docker.run("docker-compose", "-f", COMPOSE, "ps")[1] +
              docker.run("docker-compose", "-f", COMPOSE, "logs", "--tail", "20")[1][-3000:])
        for service in services:  # nothing is published but on loopback
            for places in described(docker, service)["HostConfig"]["PortBindings"].values():
                equal([place["HostIp"] for place in places], ["127.0.0.1"], service)

        def cli(*words):
            return docker.inside("redis-cli", "-p", "7171", *words)
        equal(cli("SET", "greeting", "hello"), "OK")
        equal(cli("GET", "greeting"), "hello")
        maxmemory = int(cli("CONFIG", "GET", "maxmemory").split()[-1])
        check(256 * MB < maxmemory <= 384 * MB, f"maxmemory {maxmemory} of 512 MB")
        equal(cli("CONFIG", "GET", "maxclients").split()[-1], "10000")

        def prometheus(path):
            url = f"http://127.0.0.1:9090/api/v1/{path}"
            return json.loads(docker.inside("busybox", "wget", "-q", "-O", "-", url))["data"]
        equal(len(prometheus("rules")["groups"][0]["rules"]) > 5, True, "rules")
        targets = prometheus("targets")["activeTargets"]
        equal([t["scrapeUrl"] for t in targets], ["http://cache:9171/metrics"])
        until(lambda: prometheus("query?query=up")["result"], 40, "a scrape")
        until(lambda: prometheus("targets")["activeTargets"][0]["health"] == "up", 40,
              lambda: f"the cache is scraped: {prometheus('targets')['activeTargets']}")
        docker("docker-compose", "-f", COMPOSE, "down", "-v")


# ---- Kubernetes ----


def sidecar():
    with open(os.path.join(EXAMPLES, "kubernetes/sidecar.yaml")) as f:
        return list(yaml.safe_load_all(f))


def judge(manifest):
    return complaints((manifest, manifest["kind"], f"kubernetes-types/{manifest['apiVersion']}"))


@test(seconds=120)
def kubernetes_form():
    """examples/kubernetes/sidecar.yaml: each field is one that Kubernetes knows, of its type; a native sidecar"""
    manifests = sidecar()
    equal([m["kind"] for m in manifests], ["Deployment"])
    equal(judge(manifests[0]), "")
    pod = manifests[0]["spec"]["template"]["spec"]
    cache, application = pod["initContainers"][0], pod["containers"][0]
    equal(cache["restartPolicy"], "Always")
    equal(manifests[0]["spec"]["selector"]["matchLabels"], manifests[0]["spec"]["template"]["metadata"]["labels"])
    volumes = {v["name"]: v for v in pod["volumes"]}
    for container in (cache, application):
        for mount in container["volumeMounts"]:
            check("emptyDir" in volumes[mount["name"]], f"{container['name']} mounts {mount}")
    socket = {e["name"]: e["value"] for e in cache["env"]}["SPONSON_UNIXSOCKET"]
    equal(os.path.dirname(socket), cache["volumeMounts"][0]["mountPath"])
    check(socket in application["env"][0]["value"], socket)
    cache["livenessProbe"]["periodSecond"] = 3  # and this is noticed
    check("periodSecond" in judge(manifests[0]), "a wrong field passes")


@test(seconds=120)
def kubernetes_run():
    """The sidecar's container, started as the manifest says: its probes succeed, the socket serves its group"""
    pod = sidecar()[0]["spec"]["template"]["spec"]
    cache = pod["initContainers"][0]
    security, folder = cache["securityContext"], tempfile.mkdtemp(prefix="sponson-pod-")
    group = pod["securityContext"]["fsGroup"]
    limit = re.fullmatch(r"(\d+)Mi", cache["resources"]["limits"]["memory"]).group(1)
    environment = {e["name"]: e["value"] for e in cache["env"]}
    try:
        os.chown(folder, 0, group)  # what Kubernetes does of an emptyDir
        os.chmod(folder, 0o2775)
        with Docker() as docker:
            build_cache(docker, "sponson")
            started = docker("docker", "run", "-d", "--network", "host", "--read-only", "--cap-drop", "ALL",
                             "--security-opt", "no-new-privileges", "--memory", f"{limit}m",
                             "--user", f"{security['runAsUser']}:{security['runAsGroup']}",
                             "-v", f"{folder}:{cache['volumeMounts'][0]['mountPath']}",
                             *(word for item in environment.items() for word in ("-e", "=".join(item))), "sponson")
            for probe in ("startupProbe", "livenessProbe"):
                words = ("docker", "exec", started, *cache[probe]["exec"]["command"])
                until(lambda words=words: docker.run(*words)[0] == 0, 20,
                      lambda probe=probe: f"{probe}: {docker.run('docker', 'logs', started)[1]}")
            socket = os.path.join(folder, os.path.basename(environment["SPONSON_UNIXSOCKET"]))
            equal((oct(os.stat(socket).st_mode & 0o777), os.stat(socket).st_gid), ("0o770", group))

            def ping(group_of_client):
                return docker.run("setpriv", "--reuid=12345", f"--regid={group_of_client}", "--clear-groups",
                                  "redis-cli", "-s", socket, "PING")[1]
            equal(ping(group), "PONG")
            check(ping(12345) != "PONG", "another group is served")
            maxmemory = int(docker("redis-cli", "-s", socket, "CONFIG", "GET", "maxmemory").split()[-1])
            check(maxmemory <= int(limit) * MB * 3 // 4, f"maxmemory {maxmemory} of {limit} MB")
            probe = cache["readinessProbe"]["httpGet"]
            port = {p["name"]: p["containerPort"] for p in cache["ports"]}[probe["port"]]
            docker.inside("busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{port}{probe['path']}")
            docker("docker", "stop", "-t", "10", started)
            equal(docker("docker", "inspect", "-f", "{{.State.ExitCode}}", started), "0")
    finally:
        shutil.rmtree(folder)
