"""The attacks by name. Adding one: a file with its `Attack`, and a line here."""

import difflib

from xnn.attacks.base import Attack
from xnn.attacks.inference_phase.attribute_heads import AttributeHeads
from xnn.attacks.inference_phase.distilled_linkage import DistilledLinkage
from xnn.attacks.inference_phase.moment_map import MomentMap
from xnn.attacks.inference_phase.noise_filter import NoiseFilter
from xnn.attacks.inference_phase.noisy_gallery import NoisyGallery
from xnn.attacks.inference_phase.query_averaging import QueryAveraging
from xnn.attacks.inference_phase.ridge_denoiser import DenoiserSettings, RidgeDenoiser
from xnn.attacks.inference_phase.tail_from_pretrained import TailFromPretrained
from xnn.attacks.inference_phase.tail_from_scratch import TailFromScratch
from xnn.attacks.inference_phase.white_box_student import WhiteBoxStudent
from xnn.attacks.inference_phase.z_inversion import ZInversion
from xnn.attacks.training_phase.aligned_order import AlignedOrder
from xnn.attacks.training_phase.chosen_plaintext import ChosenPlaintext
from xnn.attacks.training_phase.class_anchors import ClassAnchors
from xnn.attacks.training_phase.class_averaging import ClassAveraging
from xnn.attacks.training_phase.class_reading import ClassReading
from xnn.attacks.training_phase.cross_covariance import CrossCovariance
from xnn.attacks.training_phase.distilled_linkage import KeyedDistilledLinkage
from xnn.attacks.training_phase.expectation_inverse import ExpectationInverse
from xnn.attacks.training_phase.expectation_recognition import ExpectationRecognition
from xnn.attacks.training_phase.fingerprint import Fingerprint
from xnn.attacks.training_phase.gram_features import GramFeatures
from xnn.attacks.training_phase.inversion import Inversion
from xnn.attacks.training_phase.known_plaintext import KnownPlaintext
from xnn.attacks.training_phase.label_aware import LabelAware
from xnn.attacks.training_phase.label_constellation import LabelConstellation
from xnn.attacks.training_phase.label_size import LabelSize
from xnn.attacks.training_phase.learned_alignment import LearnedAlignment
from xnn.attacks.training_phase.learned_inversion import LearnedInversion
from xnn.attacks.training_phase.membership import Membership
from xnn.attacks.training_phase.membership_aligned import AlignedMembership
from xnn.attacks.training_phase.moment_recovery import MomentRecovery
from xnn.attacks.training_phase.relu_key import ReluKey
from xnn.attacks.training_phase.row_column_restoration import RowColumnRestoration
from xnn.attacks.training_phase.tail_inversion import TailInversion
from xnn.attacks.training_phase.token_clusters import TokenClusters
from xnn.attacks.training_phase.weak_key import WeakKeySearch
from xnn.errors import ConfigError

ATTACKS: dict[str, Attack] = {
    "aligned-order": AlignedOrder(),
    "chosen-plaintext": ChosenPlaintext(),
    "class-averaging": ClassAveraging([MomentRecovery(), AlignedOrder(), TokenClusters()]),
    "cross-covariance": CrossCovariance(),
    "distilled-linkage": KeyedDistilledLinkage(),
    "expectation-inverse": ExpectationInverse(),
    "class-anchors": ClassAnchors(),
    "class-reading": ClassReading(),
    "inversion": Inversion([KnownPlaintext(), MomentRecovery()]),
    "known-plaintext": KnownPlaintext(),
    "expectation-recognition": ExpectationRecognition(),
    "fingerprint": Fingerprint(),
    "gram-features": GramFeatures(),
    "label-aware-moments": LabelAware(),
    "label-constellation": LabelConstellation(),
    "label-size": LabelSize(),
    "learned-alignment": LearnedAlignment(),
    "learned-inversion": LearnedInversion(),
    "membership-aligned": AlignedMembership(),
    "membership-record": Membership("nearest-record"),
    "membership-tail": Membership("margin"),
    "tail-inversion": TailInversion(),
    "unpaired-moments": MomentRecovery(),
    "relu-key": ReluKey(),
    "row-column-restoration": RowColumnRestoration(),
    "token-clusters": TokenClusters(),
    "weak-key-search": WeakKeySearch(),
    "tail-from-scratch": TailFromScratch(),
    "tail-from-pretrained": TailFromPretrained(),
    "z-linkage": DistilledLinkage(),
    "ridge-denoiser": RidgeDenoiser(),
    "ridge-denoiser-10": RidgeDenoiser(DenoiserSettings(queries=10)),
    "ridge-denoiser-50": RidgeDenoiser(DenoiserSettings(queries=50)),
    "moment-map": MomentMap(),
    "noise-filter": NoiseFilter(),
    "query-averaging": QueryAveraging(),
    "noisy-gallery": NoisyGallery(),
    "z-inversion": ZInversion(),
    "attribute-heads": AttributeHeads(),
    "white-box-student": WhiteBoxStudent(),
}


def find_attack(name: str) -> Attack:
    """Return an attack by name.

    Raises:
        ConfigError: There is no such attack.
    """
    if name not in ATTACKS:
        near = difflib.get_close_matches(name, ATTACKS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"unknown attack {name!r}; {hint}`xnn attack list` names them all")
    return ATTACKS[name]
