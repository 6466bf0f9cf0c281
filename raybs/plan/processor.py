"""What the processor at hand is, and what it can do; without torch."""

import functools
import platform
from pathlib import Path

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""Sets of instructions that decide how fast matmuls are, as Linux names them."""
HALF = {"avx512_bf16", "amx_bf16", "bf16"}
"""Those that multiply in bfloat16; without them it is some 20 times slower."""


def processor() -> str:
    """Name the processor, and those of INSTRUCTIONS that it has."""
    fields = _fields()
    model = fields.get("model name", platform.processor() or platform.machine())
    return ", ".join([model, *_instructions()])


def has_bfloat16() -> bool | None:
    """Tell whether it multiplies in bfloat16; None where it does not say."""
    return bool(HALF.intersection(_instructions())) if _fields() else None


def _instructions() -> list[str]:
    fields = _fields()
    flags = fields.get("flags", fields.get("Features", "")).split()
    return [name for name in INSTRUCTIONS if name in flags]


@functools.cache
def _fields() -> dict[str, str]:
    """Return what Linux says of one core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
