"""report.py -- what bench.py has measured, as Markdown tables and as a chart. Where a figure is missing stands why."""
from xml.sax.saxutils import escape

TABLE = "workload|server|CPU a request|spread|x floor|requests/s|p50|p99|server's core busy|misses / wrong / errors"
SECOND = "workload|server|CPU a request|spread|x sponson|requests/s|p50|p99"


def ns(value):
    return f"{value:,.0f} ns"


def us(value):
    return f"{value:,.0f} us"


def ratio(row, base):
    return f"{row['cpu_ns'] / base['cpu_ns']:.2f}" if row and base else "-"


def line(cells):
    return "| " + " | ".join(cells) + " |"


def table(heads, rows, left=1):
    """Figures stand to the right; the first columns are names."""
    rule = ["---" if i < left else "---:" for i in range(len(heads))]
    return "\n".join([line(heads), line(rule)] + [line(row + [""] * (len(heads) - len(row))) for row in rows])


def cells(row, base):
    return [ns(row["cpu_ns"]), row['spread'], ratio(row, base), f"{row['rate']:,.0f}", us(row["p50_us"]),
            us(row["p99_us"])]


def main_table(bench, workloads):
    rows = []
    for key in [key for key in workloads if key in bench.options.workloads]:
        base = bench.median(key, "null")
        for name in bench.options.servers:
            row = bench.median(key, name)
            answers = "not checked" if name == "null" else row and f"{row['misses']} / {row['wrong']} / {row['errors']}"
            rows.append([key, name] + (cells(row, base) + [f"{row['busy']:.0%}", answers] if row else
                                       [bench.reasons.get((key, name), "not measured")]))
    return table(TABLE.split("|"), rows, 2)


def second_table(bench, workloads):
    rows = []
    for key in workloads:
        second = f"redis-benchmark {key}"
        for name in bench.options.servers:
            row = bench.median(second, name)
            reason = bench.reasons.get((second, name))
            if row or reason:
                rows.append([key, name] + (cells(row, bench.median(second, "sponson")) if row else [reason]))
    return table(SECOND.split("|"), rows, 2)


def memory_table(bench, values):
    rows = []
    for name in bench.options.servers[1:]:
        told = [f"{bench.bytes[v, name]:.1f} bytes" if (v, name) in bench.bytes else
                bench.reasons.get((f"{v}-byte values", name), "not measured") for v in values]
        rows.append([name] + told)
    return table(["server"] + [f"16 + {v} bytes" for v in values], rows)


def tables(bench, about, workloads, memory_values):
    chosen = bench.options.workloads
    parts = ["# The servers side by side",
             "Made by `make bench`, which writes it anew. What is measured, and how: `bench.py`.",
             f"- {about['machine']}; {about['date']}\n- {about['versions']}\n- {about['run']}"]
    if any(key in workloads for key in chosen):
        parts += ["![CPU per request](results.svg)", main_table(bench, workloads),
                  "\n".join(f"- {key}: {w.title}" for key, w in workloads.items() if key in chosen),
                  "CPU is the server's own, user and kernel; spread: the highest less the lowest of its rounds. `null` "
                  "parses nothing and answers a fixed reply: the floor; it is asked GET alone, or SET alone. memcached "
                  "is asked mg and ms, which it answers many in one send. A latency is that of a whole pipeline. A "
                  "server whose core is not busy waited for the load: its requests/s are the load's."]
    if "memory" in chosen:
        parts += ["## Memory an entry", memory_table(bench, memory_values),
                  "Resident memory after the fill less that before it, over the entries."]
    if "redis-benchmark" in chosen:
        parts += ["## A second opinion: redis-benchmark", second_table(bench, workloads),
                  "The same entries, GET alone, drawn uniformly; it does not check what it gets."]
    commands = "\n".join(about["commands"].values())
    return "\n\n".join(parts + ["## How the servers were started", f"```\n{commands}\n```"]) + "\n"


# ---- the chart ----

COLOURS = {"null": "#8c959f", "sponson": "#0969da", "redis": "#cf222e", "memcached": "#1a7f37"}
GREY = "#59636e"
WIDTH, LEFT, RIGHT = 820, 110, 170  # the bars stand between the names and room for their figures
BAR, STEP, HEAD, GAP, TOP, BOTTOM = 16, 21, 24, 16, 70, 46


def text(x, y, content, **attributes):
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{given}>{escape(content)}</text>'


def chart(bench, about, workloads):
    """Bars of CPU per request over the floor's; its own background, so that it reads on a light and a dark page."""
    keys = [key for key in workloads if key in bench.options.workloads]
    names = bench.options.servers
    rows = {(key, name): bench.median(key, name) for key in keys for name in names}
    floors = {key: rows[key, "null"]["cpu_ns"] for key in keys if rows[key, "null"]}
    times = {at: row["cpu_ns"] / floors[at[0]] for at, row in rows.items() if row and at[0] in floors}
    scale = (WIDTH - LEFT - RIGHT) / max(times.values(), default=1)
    height = TOP + len(keys) * (HEAD + len(names) * STEP + GAP) + BOTTOM
    title = "CPU per request, relative to the floor"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           'role="img" font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13" '
           'fill="#1f2328">', f"<title>{title}</title>",
           f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" fill="#ffffff" stroke="#d1d9e0"/>',
           text(20, 30, title, font_size=18, font_weight=600),
           text(20, 51, "Less is better. null parses nothing and answers a fixed reply: what the kernel alone costs. "
                "The line is that floor.", fill=GREY)]
    y = TOP
    for key in keys:
        out.append(text(20, y + 16, f"{key}: {workloads[key].title}", font_weight=600))
        y += HEAD
        if key in floors:
            x, end = round(LEFT + scale, 1), y + len(names) * STEP - 3
            out.append(f'<line x1="{x}" y1="{y - 2}" x2="{x}" y2="{end}" stroke="{GREY}" stroke-dasharray="3 3"/>')
        for name in names:
            at = (key, name)
            out.append(text(LEFT - 10, y + 13, name, text_anchor="end", font_weight=600 if name == "sponson" else 400))
            if at in times:
                width = times[at] * scale
                out.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" '
                           f'fill="{COLOURS[name]}"/>')
                out.append(text(LEFT + width + 8, y + 13, f"{times[at]:.2f} x, {ns(rows[at]['cpu_ns'])}"))
            else:
                reason = bench.reasons.get(at, "not measured")
                out.append(text(LEFT + 4, y + 13, reason, fill=GREY, font_style="italic"))
            y += STEP
        y += GAP
    quick = "A quick run, no measurement. " if bench.options.quick else ""
    below = f"{quick}{about['versions']}; one server thread, 50 connections", f"{about['machine']}; {about['date']}"
    out += [text(20, height - 32 + 18 * i, content, fill=GREY, font_size=12) for i, content in enumerate(below)]
    return "\n".join(out + ["</svg>"]) + "\n"
