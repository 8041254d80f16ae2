"""Figure 8: inference by ALI, by two encoders trained after a GAN, and by a VAE, on 25 Gaussians."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from genzoo import Run, SettingsError
from genzoo.comparison import Lab, Study
from genzoo.runs import TrainingRequest
from genzoo_studies.coverage import RECIPE, SEEDS, SHORT, STEPS, intervals

_COLUMNS = ("(a) ALI", "(b) GAN + inverse mapping", "(c) GAN + post-hoc ALI", "(d) VAE")
_ROWS = ("x ~ q(x)", "ẑ ~ q(z|x)", "x̂ = Gx(ẑ)", "z ~ p(z)", "x̃ = Gx(z)")
_POINTS = 10_000
_SETTINGS = {"training.learning_rate": 1e-3, "training.beta1": 0.5}


@dataclass(frozen=True, kw_only=True)
class Figure8(Study):
    """Draw held-out x, their codes, their reconstructions, prior draws and samples for four models (5 × 4 panels).

    The best ALI and GAN are those of the study ali/mode-coverage where it was carried out with this budget; else one of
    each is trained. Every training here has the learning rate 1e-3 and β1 0.5.
    """

    name: ClassVar[str] = "ali/figure8"
    published: ClassVar[str] = "figure 8, 5 × 4 scatter plots: ALI, GAN with two post-hoc encoders, VAE"
    cost: ClassVar[str] = "quick: at most 12 minutes on two CPU cores; paper: 200 epochs of three to five models"
    needs: ClassVar[tuple[str, ...]] = ("mixture25",)
    steps: int | None = None
    """None: as many as the budget says."""

    def carry_out(self, lab: Lab) -> str:
        """Train the missing models, draw the figure, and return a table of scores."""
        steps = self.steps or STEPS[self.budget]
        ali, gan, origin = self._best(lab, steps)
        if ali is None or gan is None:
            raise SettingsError("the ALI or GAN that figure 8 is drawn from diverged", "see the study's folder")
        inverse, post_hoc, vae = lab.train(
            [
                self._request("inverse-mapping", steps, from_run=gan),
                self._request("post-hoc-ali", steps, from_run=gan),
                self._request("vae", steps),
            ],
        )
        columns = dict(zip(_COLUMNS, (ali, inverse, post_hoc, vae), strict=True))
        lab.folder.mkdir(parents=True, exist_ok=True)
        _draw(lab, columns, lab.folder / "figure8.png")
        scores = {name: _scores(run) for name, run in columns.items()}
        deviations = [SEEDS, *([SHORT.format(steps=steps)] if self.budget == "quick" else [])]
        document = {"study": self.name, "budget": self.budget, "steps": steps, "origin": origin}
        document |= {"deviations": deviations}
        runs = {name: None if run is None else run.name for name, run in columns.items()}
        lab.write(document | {"runs": runs, "scores": scores, "gan": gan.name})
        return _table(scores, origin, deviations)

    def _best(self, lab: Lab, steps: int) -> tuple[Run | None, Run | None, str]:
        coverage = lab.found_by("ali/mode-coverage")
        if coverage is not None and coverage["budget"] == self.budget and coverage["steps"] == steps:
            names = [coverage["models"][model]["best"] for model in ("ali", "gan")]
            if None not in names:
                best_ali, best_gan = (lab.run("ali/mode-coverage", name) for name in names)
                return best_ali, best_gan, "the best ALI and GAN of ali/mode-coverage"
        ali, gan = lab.train([self._request(model, steps) for model in ("ali", "gan")])
        return ali, gan, "one ALI and one GAN with a learning rate of 0.001 and β1 0.5, as no coverage study was found"

    def _request(self, model: str, steps: int, from_run: Run | None = None) -> TrainingRequest:
        overrides = {**intervals(self.budget, steps), **_SETTINGS}
        return TrainingRequest(recipe=RECIPE, model=model, steps=steps, overrides=overrides, from_run=from_run)


def _draw(lab: Lab, columns: Mapping[str, Run | None], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 15), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(5, 4)
    for across, (title, run) in enumerate(columns.items()):
        panels[0, across].set_title(title)
        if run is None:
            continue
        model = lab.load(run)
        test = lab.data(run).test
        assert test.labels is not None
        x, _ = model.rows(test, _POINTS)
        codes = model.encode(x).z
        z = model.draw_z(_POINTS)
        rows = (x, codes, model.decode(codes), z, model.decode(z))
        for down, points in enumerate(rows):
            limit = 4 if down in (1, 3) else 6
            colour = {"color": "black"} if down > 2 else {"c": test.labels[:_POINTS], "cmap": "jet"}
            axes = panels[down, across]
            axes.scatter(*points[:, :2].cpu().numpy().T, s=2, linewidths=0, rasterized=True, **colour)
            axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
            axes.set_aspect("equal")
    for down, label in enumerate(_ROWS):
        panels[down, 0].set_ylabel(label)
    figure.savefig(path, dpi=90)


def _scores(run: Run | None) -> dict[str, float]:
    return {} if run is None else {score["metric"]: score["value"] for score in run.final_scores}


def _table(scores: Mapping[str, Mapping[str, float]], origin: str, deviations: Sequence[str]) -> str:
    names = ("modes", "modes/strict", "reconstruction", "reconstruction/ratio", "latent-match", "cycle")
    lines = [f"| score | {' | '.join(scores)} |", "|---" * (len(scores) + 1) + "|"]
    for name in names:
        values = (of_model.get(name) for of_model in scores.values())
        lines.append(f"| {name} | {' | '.join('–' if value is None else f'{value:.4g}' for value in values)} |")
    lines += [
        "",
        f"Columns (b) and (c) share one decoder. Used: {origin}.",
        "",
        "Where this differs from the paper:",
        "",
    ]
    return "\n".join([*lines, *(f"* {line}" for line in deviations)])
