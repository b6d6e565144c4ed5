"""Draws throughput over the number of sessions as an SVG that reads on light and dark pages."""

COLOURS = {"batched": "#d9480f", "exact": "#7048e8", "serialized": "#868e96", "mlx-lm": "#1971c2", "llama.cpp": "#2f9e44"}
LABELS = {"batched": "llmeval batched", "exact": "llmeval exact", "serialized": "llmeval serialized"}
WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 190, 46, 46


def plot(medians, sessions):
    highest = max(max(by_sessions.values()) for by_sessions in medians.values())
    step = next(step for step in (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 5000) if highest / step <= 6)
    top = (int(highest / step) + 1) * step
    across = lambda place: LEFT + (WIDTH - LEFT - RIGHT) * (place / max(1, len(sessions) - 1))
    up = lambda speed: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * speed / top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="15" font-weight="600" fill="#212529">Tokens per second, all sessions together</text>',
    ]
    for line in range(0, top + 1, step):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(line):.1f}" y2="{up(line):.1f}" stroke="#e9ecef"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{up(line) + 4:.1f}" text-anchor="end" fill="#495057">{line}</text>')
    for place, count in enumerate(sessions):
        parts.append(f'<text x="{across(place):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle" fill="#495057">{count}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle" fill="#495057">sessions</text>')
    ends = []
    for engine, by_sessions in medians.items():
        colour = COLOURS.get(engine, "#212529")
        points = [(across(place), up(by_sessions[count])) for place, count in enumerate(sessions) if count in by_sessions]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-linejoin="round"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        ends.append((points[-1][1], LABELS.get(engine, engine), by_sessions[max(by_sessions)], colour))
    # Labels stand at the lines' ends, pushed apart where those are near each other.
    lowest = TOP - 20
    for y, label, speed, colour in sorted(ends):
        lowest = max(lowest + 18, y + 4)
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{lowest:.1f}" fill="{colour}" font-weight="600">{label} {speed:.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])
