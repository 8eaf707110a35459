"""Small drawings in the explorer: svg in the colours of the page around them, and a png for viewers without svg."""

import base64
import io

import numpy as np

BLUE, ORANGE = "#0173b2", "#de8f05"  # of seaborn's colorblind palette, as in the figures
WIDTH, HEIGHT = 300, 64  # of a drawing's units
TICKS = 5  # numbers on the axis of scores


def svg(height: float, says: str, shapes: list[str], look: str = "") -> str:
    """A drawing in the colour of the text around it; `says` is what a screen reader reads."""
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{says}" {look}>{"".join(shapes)}</svg>'


def histogram(scores: np.ndarray, kept: np.ndarray, limits: tuple[float, float], chosen: tuple[float, float]) -> str:
    """All scores in grey, those of the rows kept in blue, and what lies outside the chosen range shaded."""
    counts, edges = np.histogram(scores, bins=40, range=limits)
    blue, _ = np.histogram(scores[kept], bins=edges)
    top, width = max(counts.max(), 1), WIDTH / len(counts)
    shapes = []
    for heights, colour in ((counts, "currentColor"), (blue, BLUE)):
        opacity = 1 if colour == BLUE else 0.25
        for i in np.flatnonzero(heights):
            tall = HEIGHT * heights[i] / top
            box = f'x="{i * width:.1f}" y="{HEIGHT - tall:.1f}" width="{width - 0.8:.1f}" height="{tall:.1f}"'
            shapes.append(f'<rect {box} fill="{colour}" opacity="{opacity}"/>')
    ends = [WIDTH * (end - limits[0]) / ((limits[1] - limits[0]) or 1) for end in chosen]
    for x, wide in ((0, ends[0]), (ends[1], WIDTH - ends[1])):
        if wide > 0.01:
            shapes.append(
                f'<rect x="{x:.1f}" y="0" width="{wide:.1f}" height="{HEIGHT}" fill="{ORANGE}" opacity="0.2"/>'
            )
    says = f"Histogram of {len(scores)} scores from {limits[0]:.4f} to {limits[1]:.4f}; {int(kept.sum())} rows match"
    return svg(HEIGHT, says, shapes, 'preserveAspectRatio="none"') + axis(limits)


def axis(limits: tuple[float, float]) -> str:
    """Numbers below a drawing, in HTML: those in a stretched drawing would be stretched."""
    ticks = np.linspace(*limits, TICKS)
    digits = int(np.clip(2 - np.floor(np.log10((limits[1] - limits[0]) or 1)), 2, 8))  # what tells ticks apart
    return f'<div class="axis">{"".join(f"<span>{tick:.{digits}f}</span>" for tick in ticks)}</div>'


def strip(probs_S: np.ndarray) -> str:
    """The probability of a class in each stochastic pass, 0 to 1: points, and mean ± standard deviation as a bar."""
    height, mean, spread = 26, probs_S.mean(), probs_S.std()
    low, high = (WIDTH * float(np.clip(end, 0, 1)) for end in (mean - spread, mean + spread))
    places = 5 + 16 * ((np.arange(len(probs_S)) * 0.618) % 1)  # apart, and every time in the same place
    shapes = [f'<rect x="0" y="12.6" width="{WIDTH}" height="0.8" fill="currentColor" opacity="0.35"/>']
    shapes += [
        f'<ellipse cx="{WIDTH * p:.1f}" cy="{y:.1f}" rx="2.2" ry="2.2" fill="{BLUE}" opacity="0.7"/>'
        for p, y in zip(probs_S, places, strict=True)
    ]
    shapes.append(f'<rect x="{low:.1f}" y="11" width="{max(high - low, 0.5):.1f}" height="4" fill="{ORANGE}"/>')
    shapes.append(f'<rect x="{WIDTH * mean - 1:.1f}" y="3" width="2" height="20" fill="{ORANGE}"/>')
    says = f"{len(probs_S)} passes from {probs_S.min():.3f} to {probs_S.max():.3f}, mean {mean:.3f}"
    return svg(height, says, shapes)


def entropy_bar(aleatoric: float, epistemic: float, classes: int) -> str:
    """The two parts of the entropy on a line as long as the largest entropy, log C."""
    unit = WIDTH / np.log(classes)
    shapes = [f'<rect x="0" y="0" width="{WIDTH}" height="10" fill="currentColor" opacity="0.12"/>']
    shapes.append(f'<rect x="0" y="0" width="{aleatoric * unit:.1f}" height="10" fill="{BLUE}"/>')
    shapes.append(
        f'<rect x="{aleatoric * unit:.1f}" y="0" width="{epistemic * unit:.1f}" height="10" fill="{ORANGE}"/>'
    )
    return svg(
        10, f"aleatoric {aleatoric:.4f}, epistemic {epistemic:.4f} of at most {np.log(classes):.4f} nats", shapes
    )


def picture(scores: np.ndarray) -> str:
    """The histogram as a png in the page: viewers that trust nothing leave out drawings in HTML, but not pictures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 2), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(scores, bins=40, color=BLUE)
    axes.set(xlabel="score", ylabel="rows of the pool")
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100, metadata={"Software": None})
    data = base64.b64encode(content.getvalue()).decode()
    says = f"Histogram of {len(scores)} scores, from {scores.min():.4f} to {scores.max():.4f}"
    return f'<p><img alt="{says}" src="data:image/png;base64,{data}"></p>'
