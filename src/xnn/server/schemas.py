"""What HTTP answers and takes as JSON, with examples: the source of the OpenAPI document."""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue

SUBJECT_PATTERN = r"^\.{0,127}[A-Za-z0-9_-][A-Za-z0-9._-]*$"
"""Letters, digits, dot, hyphen, underscore; not dots alone, which an address cannot carry."""
_HEX_32 = r"^[0-9a-f]{32}$"
_EXAMPLE_TEMPLATE = "5f1c1b9c0e8a4c7bb2a4f0a6c1d2e3f4"
_EXAMPLE_BUNDLE = "3b" * 32

SubjectName = Annotated[str, Field(min_length=1, max_length=128, pattern=SUBJECT_PATTERN)]
SubjectPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=128,
        pattern=SUBJECT_PATTERN,
        description="The person, by the operator's own name.",
        examples=["badge-0042"],
    ),
]
TemplatePath = Annotated[
    str, Path(pattern=_HEX_32, description="As enrolment named it.", examples=[_EXAMPLE_TEMPLATE])
]
KeyNamePath = Annotated[
    str, Path(pattern=r"^[0-9a-f]{12}$", description="Middle part of an API key.")
]
Role = Literal["enrol", "search", "admin"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemOut(BaseModel):
    """RFC 9457. Programs decide by `type`, people read `detail`."""

    type: str = Field(examples=["urn:xnn:problem:stale-message"])
    title: str
    status: int
    detail: str


class ThresholdOut(_Model):
    """A false accept rate and its score."""

    far: float = Field(description="Kept to.", examples=[0.001])
    threshold: float = Field(examples=[0.41])
    far_low: float | None = Field(
        description="The rate lies from here to `far_high` in 95 % of resamples of the people that "
        "it was measured on; null where the operator measured himself.",
        examples=[0.0001],
    )
    far_high: float | None = Field(examples=[0.00097])


class BundleOut(_Model):
    """What a device must know of the service before it sends."""

    bundle_id: str = Field(examples=[_EXAMPLE_BUNDLE])
    scheme: str = Field(examples=["xnn"])
    m: int = Field(description="Tokens of a record.", examples=[1])
    e: int = Field(description="Width of a token.", examples=[80])
    dtypes: list[str] = Field(description="That the student survives.", examples=[["float32"]])
    embedding_dim: int = Field(examples=[64])
    wire_version: int = Field(examples=[1])
    max_records: int = Field(description="In one message.", examples=[64])
    thresholds: list[ThresholdOut]
    default_far: float | None = Field(examples=[0.001])


class SubjectIn(_Model):
    """A person to be made."""

    subject_id: SubjectName = Field(examples=["badge-0042"])


class SubjectOut(_Model):
    """A person in the gallery."""

    subject_id: str = Field(examples=["badge-0042"])
    templates: int = Field(description="How many.", examples=[3])


class SubjectsOut(_Model):
    """A page of people, by name."""

    subjects: list[str] = Field(examples=[["badge-0041", "badge-0042"]])
    next: str | None = Field(
        description="Give it as `after` for the next page; null at the end.", examples=[None]
    )


class ErasedOut(_Model):
    """What was erased."""

    templates: int = Field(examples=[3])


class TemplateOut(_Model):
    """A template without its vector, which never leaves."""

    template_id: str = Field(examples=[_EXAMPLE_TEMPLATE])
    subject_id: str = Field(examples=["badge-0042"])
    bundle_id: str = Field(examples=[_EXAMPLE_BUNDLE])
    key_id: str | None = Field(examples=[None])
    created_ms: int = Field(examples=[1767225600000])


class TemplatesOut(_Model):
    """Templates, oldest first."""

    templates: list[TemplateOut]


class VerdictOut(_Model):
    """One probe against one person."""

    score: float | None = Field(
        description="Cosine, as exact as the operator lets it be; null where hidden.",
        examples=[0.83],
    )
    match: bool = Field(description="Score at or above the threshold, judged on the exact score.")


class VerifyOut(_Model):
    """A verdict for each record of the message, in order."""

    results: list[VerdictOut]
    threshold: float = Field(examples=[0.41])
    far: float = Field(examples=[0.001])


class CandidateOut(_Model):
    """Somebody found."""

    subject_id: str = Field(examples=["badge-0042"])
    template_id: str = Field(examples=[_EXAMPLE_TEMPLATE])
    score: float | None = Field(examples=[0.83])


class FoundOut(_Model):
    """The people found for one probe, best first; empty where nobody is above the threshold."""

    candidates: list[CandidateOut]


class SearchOut(_Model):
    """A list of candidates for each record of the message, in order."""

    results: list[FoundOut]
    threshold: float = Field(examples=[0.41])
    far: float = Field(examples=[0.001])
    gallery_size: int = Field(description="Templates of the tenant.", examples=[120])


class KeyIn(_Model):
    """An API key to be made, for the caller's own tenant."""

    roles: list[Role] = Field(min_length=1, max_length=3, examples=[["search"]])
    label: str = Field(
        "", max_length=64, pattern=r"^[ -~]*$", description="What for.", examples=["front door"]
    )


class KeyOut(_Model):
    """An API key without its secret."""

    key_name: str = Field(examples=["0f3a9c5d71be"])
    tenant: str = Field(examples=["default"])
    roles: list[str] = Field(examples=[["search"]])
    label: str = Field(examples=["front door"])
    created_ms: int = Field(examples=[1767225600000])
    revoked_ms: int | None = Field(examples=[None])


class NewKeyOut(KeyOut):
    """An API key with its secret: shown this once, kept nowhere."""

    api_key: str = Field(examples=["xnn_0f3a9c5d71be_" + "A" * 43])


class KeysOut(_Model):
    """All API keys of the tenant."""

    keys: list[KeyOut]


class RetireIn(_Model):
    """What is to be retired: one of the two."""

    bundle_id: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", examples=[_EXAMPLE_BUNDLE])
    key_id: str | None = Field(
        None, min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$", examples=[None]
    )


class RetiredOut(_Model):
    """Who must be enrolled again."""

    subjects: list[str] = Field(examples=[["badge-0042"]])


class AuditEntryOut(_Model):
    """Who did what; each entry's digest covers the one before."""

    number: int = Field(description="In the chain of all tenants.", examples=[17])
    at_ms: int = Field(examples=[1767225600000])
    actor: str = Field(description="Name of the API key.", examples=["0f3a9c5d71be"])
    action: str = Field(examples=["search"])
    subject: str | None = Field(description="As the log holds it.", examples=["badge-0042"])
    outcome: str = Field(examples=["done"])
    facts: dict[str, JsonValue] = Field(examples=[{"records": 1}])
    digest: str = Field(examples=["9f" * 32])


class AuditOut(_Model):
    """A page of the audit log of the caller's tenant, oldest first."""

    entries: list[AuditEntryOut]
    next: int | None = Field(description="Give it as `after`; null at the end.", examples=[None])


class HealthOut(_Model):
    """The process runs, or what is not ready."""

    status: Literal["ok", "ready"]
