"""What attacks without a query need: records that hold a token for every token of the extractor."""

from xnn.attacks.observation import Observation
from xnn.errors import InsufficientDataError
from xnn.schemes import SchemeCard

_FEWEST = 8


def refused_shape(scheme: SchemeCard | None, observation: Observation) -> str | None:
    """Say why records cannot be compared with features place by place; None where they can."""
    if observation.records.shape[1:] != observation.public.tokens.shape[1:]:
        return "records have another shape than the extractor's features"
    if scheme is not None and scheme.fresh_order:
        return "positions mean nothing where every record has an order of its own"
    return None


def require_both(observation: Observation, needed_by: str) -> None:
    """Refuse too few records or public photographs.

    Args:
        observation: See there.
        needed_by: Who needs them, with its verb: "a filter needs".

    Raises:
        InsufficientDataError: Fewer than 8 of either.
    """
    held, own = len(observation.records), len(observation.public.tokens)
    if min(held, own) < _FEWEST:
        raise InsufficientDataError(
            f"{held} records and {own} public photographs; {needed_by} {_FEWEST} of each"
        )
