"""exporter.py -- a stand-in for /metrics: every metric that the server exports, growing with time."""
import http.server
import threading
import time

BUILD = '{version="0.5.0"}'
COUNTERS = {
    "sponson_commands_total": ["command", "get", "set", "client|list"], "sponson_command_errors_total": ["command", "get", "incr"],
    "sponson_errors_total": [], "sponson_slow_requests_total": [], "sponson_hits_total": [],
    "sponson_misses_total": ["cause", "never_seen", "expired", "evicted"],
    "sponson_evictions_total": ["cause", "bytes", "entries", "out_of_order"], "sponson_expired_total": [],
    "sponson_connections_total": [], "sponson_rejected_connections_total": ["reason", "maxclients", "protected_mode", "resources"],
    "sponson_closed_clients_total": ["reason", "client_memory", "query_buffer", "output_buffer", "monitor"],
    "sponson_auth_failures_total": [], "sponson_network_receive_bytes_total": [], "sponson_network_transmit_bytes_total": [],
    "process_cpu_seconds_total": [],
}
HISTOGRAMS = {"sponson_command_duration_seconds": ["command", "get", "set"], "sponson_evicted_age_seconds": [],
              "sponson_expiry_lag_seconds": []}
GAUGES = {
    "sponson_entries": [], "sponson_entries_with_ttl": [], "sponson_database_entries": ["db", "0"],
    "sponson_shard_entries": ["stat", "min", "max"], "sponson_shard_used_bytes": ["stat", "min", "max"],
    "sponson_memory_used_bytes": [], "sponson_memory_max_bytes": [], "sponson_client_memory_bytes": [],
    "sponson_client_memory_max_bytes": [], "sponson_connected_clients": [], "sponson_max_clients": [],
    "process_resident_memory_bytes": [], "process_start_time_seconds": [],
}


def text(n):
    lines = [f"sponson_build_info{BUILD} 1"]
    for table, value in ((COUNTERS, n), (GAUGES, 7)):
        for name, labels in table.items():
            lines += [f'{name}{{{labels[0]}="{label}"}} {value}' for label in labels[1:]] if labels else [f"{name} {value}"]
    for name, labels in HISTOGRAMS.items():
        for label in labels[1:] or [""]:
            own = f'{labels[0]}="{label}"' if labels else ""
            lines += [f'{name}_bucket{{{own}{"," * bool(own)}le="{le}"}} {n}' for le in ("1e-06", "2e-06", "+Inf")]
            lines += [f"{name}_sum{{{own}}} {n}", f"{name}_count{{{own}}} {n}"]
    return "\n".join(lines) + "\n"


class Fake:
    """with Fake(port): ..."""

    def __init__(self, port):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text(time.time()).encode())

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
