"""EfficientNet-Lite0 against the same network written out with its batch norm, and its padding against known values."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.evaluation.evaluators.lite0 import Convolution, Lite0
from tests.lite0 import BLOCKS, CLASSES, FEATURES, small_lite0


def written_out(tensors: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits of images in [-1, 1]; the padding is as TensorFlow's documentation has it."""

    def layer(x: Tensor, convolution: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight, sides = tensors[f"{convolution}.weight"], []
        for size in (x.shape[3], x.shape[2]):
            total = max(weight.shape[-1] - (stride if size % stride == 0 else size % stride), 0)
            sides += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, sides), weight, stride=stride, groups=groups)
        mean, variance = tensors[f"{norm}.running_mean"], tensors[f"{norm}.running_var"]
        return F.batch_norm(x, mean, variance, tensors[f"{norm}.weight"], tensors[f"{norm}.bias"], eps=1e-3)

    pixels = (images + 1) / 2 * 255
    x = layer((pixels - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
    for i, (_, stride, expansion, inputs, outputs) in enumerate(BLOCKS):
        hidden, name = x, f"_blocks.{i}."
        if expansion > 1:
            hidden = layer(hidden, f"{name}_expand_conv", f"{name}_bn0").clamp(0, 6)
        hidden = layer(hidden, f"{name}_depthwise_conv", f"{name}_bn1", stride, expansion * inputs).clamp(0, 6)
        hidden = layer(hidden, f"{name}_project_conv", f"{name}_bn2")
        x = x + hidden if stride == 1 and inputs == outputs else hidden
    features = layer(x, "_conv_head", "_bn1").clamp(0, 6).mean((2, 3))
    return features, F.linear(features, tensors["_fc.weight"], tensors["_fc.bias"])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (31, 31), (17, 26), (7, 48), (1, 1)])
def test_folding_changes_no_result(height: int, width: int) -> None:
    tensors = {name: tensor.double() for name, tensor in small_lite0().items()}  # rounding would hide small mistakes
    random = torch.Generator().manual_seed(1)
    images = 2 * torch.rand(3, 3, height, width, generator=random, dtype=torch.float64) - 1
    before = images.clone()
    features, logits = Lite0(tensors)(images)
    expected_features, expected_logits = written_out(tensors, images)
    assert torch.equal(images, before)
    assert features.shape == (3, FEATURES)
    assert logits.shape == (3, CLASSES)
    assert features.std() > 0 and features.min() >= 0 and features.max() <= 6
    torch.testing.assert_close(features, expected_features)
    torch.testing.assert_close(logits, expected_logits)


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "centres"),
    [
        (3, 1, 4, [0, 1, 2, 3]),
        (5, 1, 4, [0, 1, 2, 3]),
        (3, 2, 4, [1, 3]),  # one more at the right: windows begin at 0 and 2
        (3, 2, 5, [0, 2, 4]),
        (5, 2, 6, [1, 3, 5]),
        (5, 2, 7, [0, 2, 4, 6]),
        (1, 2, 4, [0, 2]),
    ],
)
def test_windows_are_where_tensorflow_has_them(kernel: int, stride: int, size: int, centres: list[int]) -> None:
    centre = torch.zeros(1, 1, kernel, kernel)
    centre[..., kernel // 2, kernel // 2] = 1
    convolution = Convolution(centre, torch.zeros(1), stride)
    across = torch.arange(size).float().expand(1, 1, size, size)
    assert convolution(across)[0, 0, 0].tolist() == centres
    assert convolution(across.mT)[0, 0, :, 0].tolist() == centres


def test_height_and_width_are_padded_each_for_itself() -> None:
    convolution = Convolution(torch.ones(1, 1, 3, 3), torch.zeros(1), stride=2)
    assert convolution(torch.ones(1, 1, 4, 5))[0, 0].tolist() == [[6, 9, 6], [4, 6, 4]]
