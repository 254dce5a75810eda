"""Memory does not grow. EDGEFACE_SOAK_FRAMES=20000 makes it the long test."""

import importlib
import os
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from support.moving import Person, ScriptedEngine

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FRAMES = int(os.environ.get("EDGEFACE_SOAK_FRAMES", "1500"))


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    memory, soak = importlib.import_module("memory"), importlib.import_module("soak")
    if not memory.can_look():
        pytest.skip("the C library has no mallinfo2 (glibc 2.33)")
    # a minute of notes on where faces are would fill for as long as the test runs
    monkeypatch.setattr("edgeface.web.placing._SPAN_S", 0.5)
    return soak


class Leaky(ScriptedEngine):
    """Sees somebody walk, and keeps some bytes of every frame."""

    def __init__(self, leak: int = 0) -> None:
        super().__init__(
            lambda i: [Person(60 + 2 * (i % 100), 120, 50, quality=0.3 + 0.4 * (i % 7) / 7)] if i % 40 < 35 else []
        )
        self.calls: Any = deque(maxlen=1)  # the stand-in's own notes would grow
        self._leak, self._kept = leak, []

    def detect(self, *args: Any, **options: Any) -> Any:
        if self._leak:
            self._kept.append(bytes(self._leak))
        return super().detect(*args, **options)


def test_streaming_does_not_grow(benchmark: Any) -> None:
    result = benchmark.soak(Leaky(), FRAMES)
    assert result.stats.results > 0.9 * FRAMES
    assert result.stats.reconnects == FRAMES // 500
    assert result.stats.damaged == pytest.approx(FRAMES // 97, abs=2)
    # one person: nobody is tracked twice, and nobody goes on over another size, rotation, clock or an outage
    assert 1 <= result.tracks <= 3
    assert FRAMES // benchmark.RUN <= result.ids < FRAMES // 10
    # bytes in use, not resident ones: these are exact. In a short run caches still fill
    assert result.heap.value < 50, f"{result.heap} bytes a frame"
    assert result.blocks.value < 0.5, f"{result.blocks} Python objects a frame"


@pytest.mark.parametrize("leak", [100, 1000])
def test_a_leak_would_show(benchmark: Any, leak: int) -> None:
    """Small objects are Python's own allocator's, larger ones malloc's."""
    result = benchmark.soak(Leaky(leak), 960)
    if leak > 512:
        assert result.heap.value == pytest.approx(leak, rel=0.2)
    else:
        assert result.blocks.value == pytest.approx(1, rel=0.2)
