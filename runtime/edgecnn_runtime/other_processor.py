"""Warnings where a file was made for other processors than the one that it runs on."""

import logging

from edgecnn_runtime.evidence import AMX_WEIGHTS, Evidence
from edgecnn_runtime.machine import cpu_family, has_amx
from edgecnn_runtime.providers import say_once

_SAME_ON_EVERY_FAMILY = "float32"  # but for the last bits; narrower numbers may be computed in other steps


def warn_of_other_processor(evidence: Evidence, name: str) -> None:
    """Says once that a file of fewer bits was checked on, or laid out for, processors of another kind than this one.

    Args:
        evidence: of a file that runs on the CPU.
        name: what messages call the file.
    """
    if evidence.precision == _SAME_ON_EVERY_FAMILY:
        return
    if evidence.quantization is not None and AMX_WEIGHTS in evidence.quantization.rewrites and has_amx() is False:
        say_once(
            logging.WARNING,
            f"{name}: its weights are laid out for AMX, which this processor does not have: it is slower here than a "
            "file that is exported without --tune-for amx. The answers are the same.",
        )
    cure = "It holds no golden samples to prove them with: export it with some, or on a processor like this"
    if evidence.golden:
        cure = f"Prove them here: edgecnn verify {name}, or Predictor.load(..., verify=True)"
    if evidence.cpu_family != (here := cpu_family()):
        say_once(
            logging.WARNING,
            f"{name}: its {evidence.precision} answers were checked on {evidence.cpu_family}, and this processor is "
            f"{here}. {cure}.",
        )
