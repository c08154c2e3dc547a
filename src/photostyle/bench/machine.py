"""Facts about the machine and the software that are measured."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

from photostyle.bench.process import in_fresh_process
from photostyle.openmp import waiting


def machine(device: str) -> dict[str, str]:
    """Processor, system, device, threads and how they wait, and versions, by name.

    Raises PhotostyleError if the device does not exist.
    """
    return in_fresh_process(_machine, device)


def _machine(name: str) -> dict[str, str]:
    import torch

    from photostyle.transfer.stylizer import choose_device
    from photostyle.version import __version__

    device = choose_device(name)
    on_gpu = device.type == "cuda"
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "threads": str(torch.get_num_threads()),
        "waiting": waiting(),
        "photostyle": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
