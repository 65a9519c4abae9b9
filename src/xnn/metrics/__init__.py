"""How well faces are recognised, with intervals over subjects. NumPy only, no files, no torch."""

from xnn.metrics.calibration import Calibration, Threshold, calibrate
from xnn.metrics.chance import CHANCE_EER, chance_rank_k, chance_tar
from xnn.metrics.comparisons import (
    Comparisons,
    all_pairs_scores,
    pair_comparisons,
    search_comparisons,
)
from xnn.metrics.identification import (
    cmc,
    cosine_scores,
    euclidean_scores,
    gallery_and_probes,
    mated_ranks,
    rank_k,
)
from xnn.metrics.intervals import (
    Band,
    Bootstrap,
    Estimate,
    band,
    bootstrap_cmc,
    bootstrap_interval,
    bootstrap_mean,
    bootstrap_ratio,
    paired_difference,
    pool_seeds,
)
from xnn.metrics.membership import (
    CHANCE_AUC,
    MembershipBootstrap,
    bootstrap_membership,
    roc_auc,
    tpr_at_fpr,
)
from xnn.metrics.resampled_verification import VerificationBootstrap, bootstrap_verification
from xnn.metrics.unlinkability import (
    LinkabilityCurve,
    bootstrap_d_sys,
    chance_d_sys,
    d_sys,
    linkability_curve,
)
from xnn.metrics.verification import (
    RocCurve,
    equal_error_rate,
    roc,
    tar_at_far,
    threshold_at_far,
)

__all__ = [
    "CHANCE_AUC",
    "CHANCE_EER",
    "Band",
    "Bootstrap",
    "Calibration",
    "Comparisons",
    "Estimate",
    "LinkabilityCurve",
    "MembershipBootstrap",
    "RocCurve",
    "Threshold",
    "VerificationBootstrap",
    "all_pairs_scores",
    "band",
    "bootstrap_cmc",
    "bootstrap_d_sys",
    "bootstrap_interval",
    "bootstrap_mean",
    "bootstrap_membership",
    "bootstrap_ratio",
    "bootstrap_verification",
    "calibrate",
    "chance_d_sys",
    "chance_rank_k",
    "chance_tar",
    "cmc",
    "cosine_scores",
    "d_sys",
    "equal_error_rate",
    "euclidean_scores",
    "gallery_and_probes",
    "linkability_curve",
    "mated_ranks",
    "pair_comparisons",
    "paired_difference",
    "pool_seeds",
    "rank_k",
    "roc",
    "roc_auc",
    "search_comparisons",
    "tar_at_far",
    "threshold_at_far",
    "tpr_at_fpr",
]
