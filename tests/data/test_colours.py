"""The colour matrix against Pillow's steps, and what each of them leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sbnet.data.synthetic.scenes import scene
from sbnet.data.training.colours import (
    GREY,
    STEPS,
    Jitter,
    colour_matrix,
    draw_jitter,
    jitter_by_matrix,
    jitter_in_steps,
)

SAME = Jitter(1.0, 1.0, 1.0, 0.0, (0, 1, 2, 3))
factors = st.floats(0.7, 1.3)


def changed(colours: np.ndarray, jitter: Jitter, mean: np.ndarray) -> np.ndarray:
    matrix = colour_matrix(jitter, mean)
    return colours @ matrix[:, :3].T + matrix[:, 3]


@settings(deadline=None)
@given(brightness=factors, contrast=factors, saturation=factors, order=st.permutations(range(4)))
def test_all_but_hue_are_pillows_steps(
    brightness: float, contrast: float, saturation: float, order: list[int]
) -> None:
    """On colours that no step clips. Each of Pillow's steps cuts off what is below a whole level, half of one on
    average, where the matrix rounds once.
    """
    picture = np.random.default_rng(0).integers(90, 140, (24, 24, 3), dtype=np.uint8)
    jitter = Jitter(brightness, contrast, saturation, 0.0, tuple(order))
    without_hue = jitter._replace(order=tuple(step for step in order if STEPS[step] != "hue"))
    expected = np.asarray(jitter_in_steps(Image.fromarray(picture), without_hue)).astype(int)
    found = np.asarray(jitter_by_matrix(Image.fromarray(picture), jitter, picture.mean((0, 1)))).astype(int)
    assert np.abs(found - expected).max() <= 4
    assert -0.6 < (found - expected).mean() < 2.1


@given(hue=st.floats(-0.5, 0.5), level=st.floats(0, 255), colour=st.tuples(*3 * [st.floats(0, 255)]))
def test_hue_keeps_greys_and_the_mean_of_the_channels(
    hue: float, level: float, colour: tuple[float, float, float]
) -> None:
    turned = SAME._replace(hue=hue)
    np.testing.assert_allclose(changed(np.full(3, level), turned, np.zeros(3)), level, atol=1e-9)
    given_colour = np.array(colour)
    found = changed(given_colour, turned, np.zeros(3))
    np.testing.assert_allclose(found.mean(), given_colour.mean(), atol=1e-9)
    back = changed(found, SAME._replace(hue=-hue), np.zeros(3))
    np.testing.assert_allclose(back, given_colour, atol=1e-9)


@pytest.mark.parametrize("thirds", [-1, 0, 1])
def test_at_thirds_of_a_turn_hue_is_that_of_hsv(thirds: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(float)
    found = changed(colours, SAME._replace(hue=thirds / 3), np.zeros(3))
    np.testing.assert_allclose(found, np.roll(colours, thirds, axis=1), atol=1e-9)


def test_hue_turns_as_pillow_does() -> None:
    """Towards green from red, and for pale colours nearly as far."""
    pale = np.full((8, 8, 3), (140, 120, 120), np.uint8)
    for hue in (-0.1, -0.05, 0.05, 0.1):
        jitter = SAME._replace(hue=hue)
        exact = np.asarray(jitter_in_steps(Image.fromarray(pale), jitter)).astype(int)
        found = np.asarray(jitter_by_matrix(Image.fromarray(pale), jitter, np.zeros(3))).astype(int)
        assert np.abs(found - exact).max() <= 6
        assert np.sign(found[0, 0, 1] - found[0, 0, 2]) == np.sign(hue)


def test_contrast_is_about_the_mean_grey_of_what_it_is_given() -> None:
    mean = np.array([100.0, 50.0, 150.0])
    flat = changed(mean, SAME._replace(contrast=0.0), mean)
    np.testing.assert_allclose(flat, GREY @ mean)
    after = changed(mean, SAME._replace(brightness=1.2, contrast=0.0), mean)
    np.testing.assert_allclose(after, 1.2 * GREY @ mean)


def test_draws_are_torchvisions() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_jitter((0.3, 0.2, 0.1, 0.05), rng) for _ in range(2000)]
    values = np.array([jitter[:4] for jitter in drawn])
    np.testing.assert_allclose(values.min(0), [0.7, 0.8, 0.9, -0.05], atol=0.005)
    np.testing.assert_allclose(values.max(0), [1.3, 1.2, 1.1, 0.05], atol=0.005)
    np.testing.assert_allclose(values.mean(0), [1, 1, 1, 0], atol=0.02)
    assert len({jitter.order for jitter in drawn}) == 24


def test_close_to_pillow_on_pictures() -> None:
    """Mean difference over draws of the full reach, in grey levels; hue alone, and all four."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(scene(index, 5, size=(72, 96))[0]) for index in range(6)]
    for reach, bound in (
        ((0.0, 0.0, 0.0, 0.1), 6.0),
        ((0.3, 0.3, 0.3, 0.0), 3.0),
        ((0.3, 0.3, 0.3, 0.1), 7.0),
    ):
        differences = []
        for number in range(60):
            picture, jitter = pictures[number % 6], draw_jitter(reach, rng)
            exact = np.asarray(jitter_in_steps(picture, jitter)).astype(int)
            mean = np.asarray(picture).mean((0, 1))
            differences.append(np.abs(np.asarray(jitter_by_matrix(picture, jitter, mean)) - exact).mean())
        assert np.mean(differences) < bound
