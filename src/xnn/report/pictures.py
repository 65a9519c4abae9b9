"""Pictures of a report: faces, and features made visible. PNG inside the page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from xnn.errors import ShapeError
from xnn.report.markup import Html, element, escape, join


def token_pca_images(
    tokens: Float[np.ndarray, "b n d"], *, grid: tuple[int, int]
) -> UInt8[np.ndarray, "b rows cols 3"]:
    """Show tokens as pixels: their first three principal components as red, green and blue.

    The components are those of all the tokens given, so that one colour means the same in every
    picture. This is what anyone sees who holds the records: nothing but the records is used.

    Args:
        tokens: Records of one data set, as they are or as they were sent.
        grid: Rows and columns; n must be their product, or one more. Then the first token (the
            class token, where the order is the extractor's own) is left out.

    Raises:
        ShapeError: The tokens do not fill the grid, or hold NaN or infinity.

    Trust: owner, as for the records themselves.
    """
    rows, columns = grid
    num_spare = tokens.shape[1] - rows * columns
    if num_spare not in (0, 1):
        raise ShapeError(
            f"{tokens.shape[1]} tokens do not fill a grid of {rows}x{columns}; "
            "give rows and columns with that product, or one less for a class token"
        )
    if not np.isfinite(tokens).all():
        raise ShapeError("the tokens hold NaN or infinity, expected none; check the extractor")
    shown = tokens[:, num_spare:].reshape(-1, tokens.shape[2]).astype(np.float64)
    projected = _first_components(shown, count=3)
    low, high = np.percentile(projected, [1, 99], axis=0)
    span = np.where(high > low, high - low, 1.0)
    levels = np.clip((projected - low) / span, 0.0, 1.0) * 255
    return levels.round().astype(np.uint8).reshape(len(tokens), rows, columns, 3)


def contact_sheet(
    crops: UInt8[np.ndarray, "b h w 3"], names: Sequence[str], *, class_: str = "sheet"
) -> Html:
    """Return faces side by side, each with its name."""
    return element(
        "div",
        join(
            element("div", join([picture(crop, alt=f"Aligned face of {name}"), _name(name)]))
            for crop, name in zip(crops, names, strict=True)
        ),
        class_=class_,
    )


def before_and_after(
    crops: UInt8[np.ndarray, "b h w 3"],
    plain: UInt8[np.ndarray, "b rows cols 3"],
    sent: UInt8[np.ndarray, "b rows cols 3"],
    names: Sequence[str],
) -> Html:
    """Return, for each face, the crop, its features and what was sent, one under the other."""
    columns = []
    for crop, before, after, name in zip(crops, plain, sent, names, strict=True):
        stack = [
            picture(crop, alt=f"Aligned face of {name}"),
            _name("photograph"),
            picture(before, alt=f"Features of {name} before the key, as colours", tokens=True),
            _name("its features"),
            picture(after, alt=f"Features of {name} as the cloud received them", tokens=True),
            _name("what the cloud sees"),
        ]
        columns.append(element("div", join(stack)))
    return element("div", join(columns), class_="seen")


def picture(pixels: UInt8[np.ndarray, "h w 3"], *, alt: str, tokens: bool = False) -> Html:
    """Return an image inside the page itself, as base64 PNG.

    Args:
        pixels: RGB.
        alt: What the image shows, for who cannot see it.
        tokens: One pixel is one token: show it as a square, not smoothed.
    """
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG", optimize=True)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    height, width = pixels.shape[:2]
    css_class = ' class="tokens"' if tokens else ""
    return Html(
        f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" '
        f'width="{width}" height="{height}"{css_class}>'
    )


def _name(text: str) -> Html:
    return element("div", escape(text), class_="names")


def _first_components(points: Float[np.ndarray, "p d"], *, count: int) -> Float[np.ndarray, "p k"]:
    centred = points - points.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    chosen = directions[:, ::-1][:, :count]
    # An eigenvector has no sign of its own: make its largest entry positive.
    largest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=0)[None], axis=0)
    projected = centred @ (chosen * np.where(largest < 0, -1.0, 1.0))
    missing = count - projected.shape[1]
    return np.pad(projected, ((0, 0), (0, max(missing, 0))))
