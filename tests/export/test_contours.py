"""Contours of fields whose contours are known."""

import numpy as np
import pytest

from ganvas.export import contours

SIDE, STEP, TOLERANCE = 40.0, 0.2, 0.02
MIDDLE = np.array([21.3, 18.1])
TIMES = np.linspace(0, 1, 50)


def grid(field: contours.Field) -> np.ndarray:
    places = np.arange(round(SIDE / STEP) + 1) * STEP
    return field(np.stack(np.meshgrid(places, places), -1))


def found(field: contours.Field, *levels: float) -> list[contours.Contour]:
    return contours.find(grid(field), (STEP, STEP), field, levels, TOLERANCE)


def cone(places: np.ndarray) -> np.ndarray:
    """Its contours are circles, whose radius is the level."""
    return np.hypot(*np.moveaxis(places - MIDDLE, -1, 0))


def test_circles_are_few_curves_within_the_tolerance() -> None:
    circles = found(cone, 3.0, 10.0, 0.5)
    assert [each.level for each in circles] == [3.0, 10.0, 0.5]
    for level, curves in circles:
        radii = cone(contours.at(curves, TIMES))
        assert np.abs(radii - level).max() < TOLERANCE + 1e-3  # which is what the curves are rounded to
        assert (curves[1:, 0] == curves[:-1, 3]).all() and (curves[0, 0] == curves[-1, 3]).all()
        assert len(curves) <= 12
        assert contours.lengths(curves).sum() == pytest.approx(2 * np.pi * level, rel=TOLERANCE / level)
    worst = max(np.abs(cone(contours.at(curves, TIMES)) - level).max() for level, curves in circles)
    assert worst <= contours.deviation(circles, cone, TOLERANCE / 100) < 1.2 * worst + 1e-3


def test_ends_meet_smoothly() -> None:
    ((_, curves),) = found(cone, 10.0)
    stops, starts = curves[:, 3] - curves[:, 2], np.roll(curves[:, 1] - curves[:, 0], -1, axis=0)
    cosines = (stops * starts).sum(1) / np.hypot(*stops.T) / np.hypot(*starts.T)
    assert cosines.min() > np.cos(np.radians(1))


def test_lines_end_at_the_border() -> None:
    def plane(places: np.ndarray) -> np.ndarray:
        return places @ (0.8, 0.6)

    ((_, curves),) = found(plane, 20.0)
    assert len(curves) <= 8
    ends = np.sort(curves[[0, -1], [0, 3]], axis=0)
    np.testing.assert_allclose(ends, [[0, 0], [25, 20 / 0.6]], atol=2e-3)
    assert np.abs(plane(contours.at(curves, TIMES)) - 20).max() < 2e-3


def test_a_distance_that_is_too_large_is_said() -> None:
    """The curves of another circle."""
    ((_, curves),) = found(cone, 10.0)
    moved = [contours.Contour(9.5, curves)]
    assert 0.5 - 0.03 < contours.deviation(moved, cone, TOLERANCE) < 1.15 * 0.53


def test_what_the_grid_cannot_tell_apart_is_left_out() -> None:
    """Two hills that almost touch: no curve leaps from one to the other."""

    def hills(places: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(places - MIDDLE, -1, 0)
        return np.exp(-((x - 5) ** 2 + y**2) / 20) + np.exp(-((x + 5) ** 2 + y**2) / 20)

    pass_height = float(hills(MIDDLE))
    for above in (1e-7, 1e-5, 1e-3, -1e-7, -1e-5, -1e-3):
        lines = found(hills, pass_height + above)
        assert lines
        assert contours.deviation(lines, hills, TOLERANCE) < 1.5 * TOLERANCE


def test_no_contours() -> None:
    assert found(cone, 99.0) == []
    assert contours.deviation([], cone, TOLERANCE) == 0
