"""Every error that XNN raises on purpose.

    XnnError
    |-- ConfigError            (ValueError)       a setting is outside its range
    |-- MissingExtraError      (ImportError)      an optional package is not installed
    |-- InsufficientDataError  (ValueError)       too little data for what was asked
    |-- ExposureError          (ValueError)       more records under one key than the policy allows
    |-- FacesError             (ValueError)       photographs, folders and manifests
    |-- ShapeError             (ValueError)       an array has the wrong shape, type or values
    |-- NoInverseError         (ValueError)       records that cannot be turned back into features
    |-- FormatError            (ValueError)       a file is not what it should be
    |   |-- VersionError                          written by another version of a format
    |   |-- CorruptError                          truncated, altered or failing its checksum
    |   `-- WireError                             no message of ours, or not authentic
    |-- StaleMessageError      (ValueError)       a message replayed, too old, or from the future
    |-- BundleMismatchError    (ValueError)       a message for another or a retired bundle
    |-- AccessError            (PermissionError)  no valid API key
    |   `-- RoleError                             a valid one, without the role
    |-- UnknownNameError       (LookupError)      no such subject, template, key or bundle
    |-- DuplicateError         (ValueError)       it exists already
    |-- LimitError             (ValueError)       more than the service allows: samples, records
    |   |-- TooLargeError                         of bytes
    |   |-- TooSlowError                          of seconds for a body to arrive
    |   `-- RateError                             of requests or probes in a time
    |-- MediaTypeError         (ValueError)       sent as another kind of content than is taken
    |   `-- PhotographError                       a raw picture, where only protected records are
    |-- BusyError              (RuntimeError)     cannot be served now: locked, full, shutting down
    |-- ServiceError           (RuntimeError)     the service refused or did not answer
    |-- SecretError            (ValueError)       keys and what is sealed with them
    |   |-- PassphraseError                       wrong passphrase, or the sealed file was altered
    |   |-- KeyMismatchError                      the key was made for something else
    |   `-- SecretLeakError    (TypeError)        refused: this would copy key material
    |-- StorageError           (OSError)          the disk refused: full, read-only, missing
    |   `-- OutputExistsError                     would overwrite what is there
    |-- ResumeError            (ValueError)       what is on disk was begun with other settings
    `-- DivergedError          (ArithmeticError)  training met NaN or infinity

The text of an error names the thing, says what was found, what was expected and what to do.
It never holds key bytes, embeddings or pixel values.
"""


class XnnError(Exception):
    """Root of the tree: catch this to catch all of them."""


class ConfigError(XnnError, ValueError):
    """A setting is outside its range."""


class MissingExtraError(XnnError, ImportError):
    """An optional package is needed and not installed."""


class InsufficientDataError(XnnError, ValueError):
    """Too little data for what was asked."""


class ExposureError(XnnError, ValueError):
    """More records would stand under one key than the exposure policy allows."""


class FacesError(XnnError, ValueError):
    """A photograph, a folder of photographs or a manifest cannot be used."""


class ShapeError(XnnError, ValueError):
    """An array has the wrong shape, type or values."""


class NoInverseError(XnnError, ValueError):
    """The scheme's records cannot be turned back into features."""


class FormatError(XnnError, ValueError):
    """A file is not what it should be."""


class VersionError(FormatError):
    """A file was written by another version of its format."""


class CorruptError(FormatError):
    """A file is truncated, was altered or fails its checksum."""


class WireError(FormatError):
    """Bytes are no message of ours: malformed, altered, too large or not authentic."""


class StaleMessageError(XnnError, ValueError):
    """A message was seen before, is too old, or comes from the future."""


class BundleMismatchError(XnnError, ValueError):
    """A message was made for another bundle than the service's, or for a retired one."""


class AccessError(XnnError, PermissionError):
    """No API key, or an unknown or revoked one."""


class RoleError(AccessError):
    """A valid API key that lacks the role for what was asked."""


class UnknownNameError(XnnError, LookupError):
    """There is no such subject, template, API key or bundle."""


class DuplicateError(XnnError, ValueError):
    """What should be made exists already."""


class LimitError(XnnError, ValueError):
    """More than the service allows: of bytes, of records, of samples, or per time."""


class TooLargeError(LimitError):
    """More bytes than the service reads."""


class TooSlowError(LimitError):
    """A body took longer to arrive than the service waits."""


class RateError(LimitError):
    """More requests or probes than an API key may send in this time."""

    def __init__(self, text: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class MediaTypeError(XnnError, ValueError):
    """What was sent is of another content type than the service takes."""


class PhotographError(MediaTypeError):
    """A raw picture was sent to a service that takes protected records only."""


class BusyError(XnnError, RuntimeError):
    """It cannot be served now: locked, full, overloaded or shutting down; try again later."""


class ServiceError(XnnError, RuntimeError):
    """The service refused, did not answer, or answered something that is no answer of ours.

    Where it refused, `status` is HTTP's and `problem` the name of the kind, as in
    docs/reference/errors.md: programs decide by it. Else they are None and "".
    """

    def __init__(self, text: str, *, status: int | None = None, problem: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.problem = problem


class SecretError(XnnError, ValueError):
    """A key, or something sealed with one, cannot be used."""


class PassphraseError(SecretError):
    """The passphrase is wrong, or the sealed file was altered: the two look the same."""


class KeyMismatchError(SecretError):
    """The key was made for another data set, extractor, shape or scheme."""


class SecretLeakError(SecretError, TypeError):
    """Refused: the operation would copy key material out of its owner."""


class StorageError(XnnError, OSError):
    """The disk refused: full, read-only or missing."""


class OutputExistsError(StorageError):
    """The output exists and would be overwritten."""


class ResumeError(XnnError, ValueError):
    """What is on disk was begun with other settings and cannot be continued with these."""


class DivergedError(XnnError, ArithmeticError):
    """Training met NaN or infinity."""
