"""The attacks by name. Adding one: a file with its `Attack`, and a line here."""

from xnn.attacks.base import Attack
from xnn.attacks.inference_phase.distilled_linkage import DistilledLinkage
from xnn.attacks.inference_phase.moment_map import MomentMap
from xnn.attacks.inference_phase.ridge_denoiser import RidgeDenoiser
from xnn.attacks.inference_phase.tail_from_scratch import TailFromScratch
from xnn.attacks.training_phase.chosen_plaintext import ChosenPlaintext
from xnn.attacks.training_phase.class_averaging import ClassAveraging
from xnn.attacks.training_phase.expectation_recognition import ExpectationRecognition
from xnn.attacks.training_phase.fingerprint import Fingerprint
from xnn.attacks.training_phase.gram_features import GramFeatures
from xnn.attacks.training_phase.inversion import Inversion
from xnn.attacks.training_phase.known_plaintext import KnownPlaintext
from xnn.attacks.training_phase.label_constellation import LabelConstellation
from xnn.attacks.training_phase.label_size import LabelSize
from xnn.attacks.training_phase.learned_inversion import LearnedInversion
from xnn.attacks.training_phase.membership import Membership
from xnn.attacks.training_phase.moment_recovery import MomentRecovery
from xnn.attacks.training_phase.row_column_restoration import RowColumnRestoration
from xnn.attacks.training_phase.tail_inversion import TailInversion
from xnn.attacks.training_phase.weak_key import WeakKeySearch
from xnn.errors import ConfigError

ATTACKS: dict[str, Attack] = {
    "chosen-plaintext": ChosenPlaintext(),
    "class-averaging": ClassAveraging([MomentRecovery()]),
    "inversion": Inversion([KnownPlaintext(), MomentRecovery()]),
    "known-plaintext": KnownPlaintext(),
    "expectation-recognition": ExpectationRecognition(),
    "fingerprint": Fingerprint(),
    "gram-features": GramFeatures(),
    "label-constellation": LabelConstellation(),
    "label-size": LabelSize(),
    "learned-inversion": LearnedInversion(),
    "membership-record": Membership("nearest-record"),
    "membership-tail": Membership("margin"),
    "tail-inversion": TailInversion(),
    "unpaired-moments": MomentRecovery(),
    "row-column-restoration": RowColumnRestoration(),
    "weak-key-search": WeakKeySearch(),
    "tail-from-scratch": TailFromScratch(),
    "z-linkage": DistilledLinkage(),
    "ridge-denoiser": RidgeDenoiser(),
    "moment-map": MomentMap(),
}


def find_attack(name: str) -> Attack:
    """Return an attack by name.

    Raises:
        ConfigError: There is no such attack.
    """
    if name not in ATTACKS:
        raise ConfigError(f"unknown attack {name!r}; choose one of {', '.join(ATTACKS)}")
    return ATTACKS[name]
