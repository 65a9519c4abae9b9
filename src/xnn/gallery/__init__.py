"""Templates of enrolled subjects: kept, searched, compared, erased."""

from xnn.gallery.base import Candidate, Gallery, TemplateInfo
from xnn.gallery.limits import GalleryLimits
from xnn.gallery.opening import open_gallery
from xnn.gallery.stored import StoredGallery

__all__ = [
    "Candidate",
    "Gallery",
    "GalleryLimits",
    "StoredGallery",
    "TemplateInfo",
    "open_gallery",
]
