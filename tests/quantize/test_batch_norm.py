"""The compiled batch norm against PyTorch's in double precision."""

import pytest

torch = pytest.importorskip("torch")

from quantize.models.layers import ConvBNReLU  # noqa: E402
from quantize.train.batch_norm import FusedConvBNReLU, compiled  # noqa: E402


@pytest.mark.parametrize(("channels", "side", "act"), [(16, 37, True), (24, 9, False), (40, 7, True), (8, 1, True)])
def test_it_trains_as_pytorch_does(channels: int, side: int, act: bool) -> None:
    assert compiled() is not None
    torch.manual_seed(channels)
    plain = ConvBNReLU(channels, channels, 1, act=act).double()
    with torch.no_grad():
        plain[0].weight.copy_(torch.eye(channels)[..., None, None])  # what is normalised is the input itself
        plain[1].weight.uniform_(0.5, 2)
        plain[1].bias.uniform_(-1, 1)
    fused = ConvBNReLU(channels, channels, 1, act=act)
    fused.load_state_dict(plain.state_dict())
    fused.__class__ = FusedConvBNReLU
    pixels = (2 * torch.randn(5, channels, side, side) + 3).bfloat16().contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(pixels.shape).bfloat16().contiguous(memory_format=torch.channels_last)
    a = pixels.double().requires_grad_()
    b = pixels.clone().requires_grad_()
    wanted = plain(a)
    wanted.backward(gradient.double())
    with torch.autocast("cpu", torch.bfloat16):
        got = fused(b)
    got.backward(gradient)
    assert got.dtype == torch.bfloat16 and got.grad_fn.name() == "_BatchNormReLUBackward"
    assert torch.allclose(got.double(), wanted, atol=0.03, rtol=0.01)  # bfloat16 has 8 bits
    assert torch.allclose(b.grad.double(), a.grad, atol=0.02, rtol=0.02)
    for name in ("weight", "bias"):
        assert torch.allclose(getattr(fused[1], name).grad.double(), getattr(plain[1], name).grad, atol=0.01, rtol=1e-3)
    assert torch.allclose(fused[1].running_mean.double(), plain[1].running_mean, atol=1e-5)
    assert torch.allclose(fused[1].running_var.double(), plain[1].running_var, rtol=1e-4)
    assert fused[1].num_batches_tracked == 1


def test_measuring_and_float32_go_pytorchs_way() -> None:
    block = ConvBNReLU(8, 8)
    block.__class__ = FusedConvBNReLU
    x = torch.randn(1, 8, 4, 4)
    assert block(x).grad_fn.name() == "ReluBackward0"
    block.eval()
    assert (block(x) >= 0).all()
