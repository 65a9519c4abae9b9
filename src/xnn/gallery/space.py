"""What may be compared with what, and a template on its way into the store."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from xnn.files import canonical_json
from xnn.gallery.base import TemplateInfo
from xnn.types import KeyId


class Space(NamedTuple):
    """Templates of one tenant, made under one bundle and one owner's key: comparable ones."""

    tenant: str
    bundle_id: str
    key_id: KeyId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshTemplate:
    """A template that is about to be stored."""

    tenant: str
    info: TemplateInfo
    vector: Float32[np.ndarray, " e"]
    """Of unit length."""
    version: int
    """Of the gallery, which adds it."""
    place: int
    """Among those added together."""


def associated_data(tenant: str, info: TemplateInfo) -> bytes:
    """Return what a sealed vector is bound to: moved to another row, it does not open."""
    return canonical_json(
        [
            "xnn template v1",
            tenant,
            info.subject_id,
            info.template_id,
            info.bundle_id,
            info.key_id,
        ]
    )
