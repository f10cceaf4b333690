"""The pictures show the numbers they were given."""

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from crossfade.evaluation.calibration_plots import (
    ReliabilitySeries,
    RiskSeries,
    reliability_figure,
    risk_coverage_figure,
)
from crossfade.evaluation.plots import inline_svg


def reliability(name: str, *share: float) -> ReliabilitySeries:
    array = np.array(share)
    promised = np.linspace(0.01, 0.05, len(array))
    return ReliabilitySeries(name, promised, array, array - 0.005, array + 0.01)


def test_reliability_draws_every_models_bins_and_the_diagonal() -> None:
    figure = reliability_figure(
        [reliability("blend", 0.01, 0.02, 0.04), reliability("ease", 0.02, 0.05)], "it is played"
    )
    (axes,) = figure.axes
    diagonal, *lines = [np.asarray(line.get_xydata(), np.float64) for line in axes.lines]
    assert np.all(diagonal[:, 0] == diagonal[:, 1])
    np.testing.assert_allclose(lines[0], [[0.01, 0.01], [0.03, 0.02], [0.05, 0.04]])
    np.testing.assert_allclose(lines[1], [[0.01, 0.02], [0.05, 0.05]])
    bars: Any = axes.collections[0]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [0.005, 0.02])
    # Rare events fill the picture, not a corner of the unit square.
    assert 0.05 < axes.get_xlim()[1] < 0.08
    assert "it is played" in axes.get_xlabel()


def test_reliability_never_goes_beyond_certainty_and_takes_empty_curves() -> None:
    sure = ReliabilitySeries("a", *(np.array([value]) for value in (0.99, 1.0, 0.9, 1.0)))
    assert reliability_figure([sure], "x").axes[0].get_xlim()[1] == 1.0
    nothing = ReliabilitySeries("b", *[np.zeros(0)] * 4)
    assert reliability_figure([nothing], "x").axes[0].get_xlim()[1] == 1.0
    assert reliability_figure([], "x").axes


def test_an_interval_that_misses_its_share_by_rounding_is_drawn() -> None:
    share = np.array([0.3])
    reliability_figure([ReliabilitySeries("a", share, share, share + 1e-17, share - 1e-17)], "x")


def test_risk_is_drawn_from_first_to_last_with_few_points() -> None:
    n = 10_000
    coverage = np.arange(1, n + 1) / n
    one = RiskSeries("blend", coverage, coverage**2, 0.3333)
    (axes,) = risk_coverage_figure([one], "squared error").axes
    drawn = np.asarray(axes.lines[0].get_xydata(), np.float64)
    assert len(drawn) <= 400
    np.testing.assert_allclose(drawn[[0, -1]], [[coverage[0], coverage[0] ** 2], [1, 1]])
    assert axes.get_ylabel() == "mean squared error"
    assert axes.lines[0].get_label() == "blend (area 0.3333)"


def test_short_and_empty_curves_are_drawn_whole() -> None:
    short = RiskSeries("a", np.array([0.5, 1.0]), np.array([0.1, 0.2]), 0.15)
    empty = RiskSeries("b", np.zeros(0), np.zeros(0), np.nan)
    first, second = risk_coverage_figure([short, empty], "error").axes[0].lines
    np.testing.assert_allclose(np.asarray(first.get_xydata(), np.float64), [[0.5, 0.1], [1.0, 0.2]])
    assert len(np.asarray(second.get_xydata())) == 0


def test_the_page_gets_svg_in_its_own_colours() -> None:
    figure = reliability_figure([reliability("blend", 0.01, 0.02)], "it is played")
    text = inline_svg(figure, "reliability", "Reliability")
    root = ET.fromstring(text)
    assert root.attrib["aria-label"] == "Reliability"
    assert "var(--faint)" in text
    assert ">blend<" in text
