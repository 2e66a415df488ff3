"""The vote of pixels in grid cells against a double loop."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.ops import label_grid


@given(
    seed=st.integers(0, 10_000), height=st.integers(1, 20), width=st.integers(1, 20), stride=st.integers(1, 8)
)
@settings(max_examples=50, deadline=None)
def test_vote_is_a_double_loop(seed, height, width, stride):
    label = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (2, height, width))
    found = label_grid(torch.from_numpy(label), stride=stride, classes=3).numpy()
    rows, columns = -(-height // stride), -(-width // stride)
    assert found.shape == (2, rows, columns)
    for b in range(2):
        for y in range(rows):
            for x in range(columns):
                cell = label[b, y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
                votes = [(cell == c).sum() for c in range(3)]
                unknown = stride * stride - sum(votes)
                assert found[b, y, x] == (int(np.argmax(votes)) if max(votes) >= unknown else 255)
