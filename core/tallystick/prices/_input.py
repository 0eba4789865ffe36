"""How many tokens a request can have at most, before it is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tallystick.errors import InvalidCall
from tallystick.prices._request import Content, plain, read

_PER_MESSAGE = 16
_PER_TOOL = 32
_PER_REQUEST = 1024

#: Tokens of the largest image, by provider's documentation, for models that no longer change.
#: GPT-4o scales an image to 2048 × 768, eight tiles at most; GPT-4.1 to 1536 patches; Claude up to
#: 4.6 to 1568 pixels a side, at 750 pixels a token. Later models have raised their limits without
#: notice: their images are bounded by the model's window only.
_IMAGE_TOKENS = (
    (r"gpt-4o-mini", 2833 + 8 * 5667),
    (r"gpt-4o", 85 + 8 * 170),
    (r"gpt-4\.1", 1536),
    (r"gpt-4\.1-mini", 2489),
    (r"gpt-4\.1-nano", 3779),
    (r"claude-3(?:-[57])?-(?:opus|sonnet|haiku)", 3279),
    (r"claude-(?:opus|sonnet|haiku)-4(?:-[0-6])?", 3279),
)
_FAMILIES = tuple(
    (re.compile(rf"(?:.*[./])?{name}(?:[-@]20[\d-]+)?(?:-latest|-v\d(?::\d)?)?"), tokens)
    for name, tokens in _IMAGE_TOKENS
)


def input_bound(
    request: int | bytes | Mapping[str, Any],
    *,
    messages: int | None = None,
    tools: int | None = None,
    images: int = 0,
    model: str | None = None,
    max_input: int | None = None,
) -> int | None:
    """
    An upper bound of the input tokens of *request*; None if there is none.

    *request* is what goes to the provider: the keyword arguments of an OpenAI chat completion, of a
    Responses call or of an Anthropic message, clients' objects and all. Images are found in it, and
    their base64 is not counted as text. Or it is the JSON of a request without its images, or the
    number of its bytes; then *messages* and *tools* must be given, and *images* is how many were
    left out. *model* is taken from *request* where it is not given. *max_input* is the most that
    the model accepts, see :meth:`PriceBook.max_input`: it stands in for images that no formula
    bounds, for audio and files, and for what the provider keeps (an earlier response, a stored
    prompt). Where it is not known either, and where the provider runs tools of its own and reads
    the window once per round, the answer is None.

    Why it holds: every token of a byte-level BPE, and of SentencePiece with byte fallback, stands
    for at least one byte of the text (the exception are normalisations that lengthen it; no
    provider known here has one), so a text has at most as many tokens as bytes. Quoting a text in
    JSON only lengthens it, so that the bytes of the JSON bound all texts together. What providers
    add around it is bounded by 16 tokens a message, 32 a tool and 1024 in all. Sealed reasoning
    that is sent back is taken to have a byte for each token that it stands for.

    Raises InvalidCall for bytes without *messages* and *tools*, for negative numbers, and for a
    request that is no JSON.

    >>> request = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello!"}]}
    >>> input_bound(request)
    1112
    >>> input_bound(72, messages=1, tools=0)
    1112
    """
    if isinstance(request, Mapping):
        found = read(request)
        found.images += images
        try:
            size = len(json.dumps(found.text, default=plain(found)))
        except (TypeError, ValueError) as error:
            raise InvalidCall(f"input_bound: the request has no JSON form: {error}") from error
        return _sum(size, found, str(model or request.get("model") or ""), max_input)
    size = len(request) if isinstance(request, bytes) else request
    if messages is None or tools is None:
        raise InvalidCall("input_bound: bytes do not say how many messages= and tools= they hold")
    if min(size, messages, tools, images) < 0:
        raise InvalidCall(f"input_bound: {size}, {messages}, {tools}, {images}: numbers from 0")
    found = Content(messages=messages, tools=tools, images=images)
    return _sum(size, found, model or "", max_input)


def _sum(size: int, found: Content, model: str, max_input: int | None) -> int | None:
    if found.rounds:
        return None
    fixed = _PER_MESSAGE * found.messages + _PER_TOOL * found.tools + _PER_REQUEST + found.extra
    picture = _image_tokens(model) if found.images else 0
    if found.opaque or picture is None:
        # where the text alone exceeds what is said to be the most, that is not believed
        return None if max_input is None else max(max_input, size + fixed)
    return size + fixed + found.images * picture


def _image_tokens(model: str) -> int | None:
    name = model.lower()
    return next((tokens for family, tokens in _FAMILIES if family.fullmatch(name)), None)
