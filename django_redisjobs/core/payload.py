"""A whole job as one line of text: ``[function, args, kwargs, options]``.

Options may be missing, and a signature may follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .codec import Codec, parse_json, to_json
from .exceptions import (
    PayloadMalformed,
    PayloadNotSerializable,
    PayloadTooLarge,
    PayloadUnknown,
)
from .tags import PLAIN, Refused


# Not frozen: that would double what it costs to make one, for each job that runs.
@dataclass(slots=True)
class Body:
    """One job's function, arguments and options.

    ``args`` and ``kwargs`` of a parsed body are plain JSON: ``decoded`` restores them.
    """

    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    tagged: bool = False

    def decoded(self, codec: Codec) -> Body:
        """The same with real arguments; may fetch, and raises as Codec.loads does."""
        if not self.tagged:
            return self
        args = [codec.restore(value) for value in self.args]
        kwargs = {name: codec.restore(value) for name, value in self.kwargs.items()}
        return Body(self.function, args, kwargs, self.options)


class Callback(NamedTuple):
    """What a job's options say of a callback; what stands last may be left out.

    ``queue`` None is that of the job. ``ttl_ms``: how long after its job's end it may
    still start, in milliseconds; 0 for ever.
    """

    path: str
    queue: str | None = None
    signature: str | None = None
    priority: int = 0
    ttl_ms: int = 0


def encode_body(
    function: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    options: Mapping[str, object],
    codec: Codec,
    names: Sequence[str] = (),
) -> str:
    """One line of JSON: ``[function, args, kwargs]``, and options if there are any.

    ``names`` are the parameters that ``args`` fill, for error messages.

    Raises:
        PayloadNotSerializable: says which argument, its type, and what to do.
    """
    # Nearly all calls pass only plain values, which need no walk at all.
    if PLAIN.issuperset(map(type, args)) and (
        not kwargs or PLAIN.issuperset(map(type, kwargs.values()))
    ):
        try:
            return to_json(_parts(function, args, kwargs, options))
        except ValueError:
            pass  # NaN, a huge int or broken text: these travel tagged
    try:
        try:
            call = codec.encode_call(args, kwargs, names, careful=False)
            return to_json(_parts(function, *call, options))
        except ValueError:
            call = codec.encode_call(args, kwargs, names, careful=True)
            return to_json(_parts(function, *call, options))
    except (Refused, ValueError) as error:
        reason = error.describe() if isinstance(error, Refused) else f"{error}"
        raise PayloadNotSerializable(f"{function} was not enqueued: {reason}") from None


def parse_body(text: str) -> Body:
    """A body with its arguments still as plain JSON; runs and fetches nothing.

    Raises:
        PayloadMalformed: the text is not what ``encode_body`` makes; PayloadUnknown
            when it seems to be what a later version makes.
    """
    parts = parse_json(text)
    if type(parts) is list and len(parts) >= 3:
        function, args, kwargs, *more = parts
        if more and type(more[-1]) is str:
            more.pop()  # its signature, which is over the text
        options = more[0] if more else {}
        if (
            type(function) is str
            and type(args) is list
            and type(kwargs) is type(options) is dict
        ):
            if len(more) > 1:
                raise PayloadUnknown(
                    f"A stored job of {function} has {3 + len(more)} parts, of which "
                    "this build knows four: a newer version of this package wrote it."
                )
            return Body(function, args, kwargs, options, '"$"' in text)
    raise PayloadMalformed(
        "A stored job is not [function, args, kwargs, options]; another program "
        "wrote it."
    )


def decode_body(text: str, codec: Codec) -> Body:
    """What ``encode_body`` was given. Raises as ``parse_body`` and ``Codec.loads``."""
    return parse_body(text).decoded(codec)


def callback_body(function: str, job_id: str) -> str:
    """The body of a callback, as ``ending.lua`` makes it, without a signature."""
    return to_json([function, [job_id], {}])


def check_size(text: str, limit_bytes: int, what: str, of: str = "") -> None:
    """Raise PayloadTooLarge if ``text`` takes more than ``limit_bytes`` as UTF-8.

    ``what`` it is, and ``of`` whom, are for the message.
    """
    # UTF-8 takes at most 3 bytes a code point below U+10000 and 4 above.
    if len(text) * 4 <= limit_bytes:
        return
    size = len(text) if text.isascii() else len(text.encode())
    if size > limit_bytes:
        raise PayloadTooLarge(
            f"{what}{of}: {size:,} bytes of JSON, but MAX_PAYLOAD allows {limit_bytes:,}. "
            "Keep large data in a file or in the database and pass its id, "
            "or raise MAX_PAYLOAD."
        )


def _parts(
    function: str,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    options: Mapping[str, object],
) -> list[object]:
    return [function, args, kwargs, options] if options else [function, args, kwargs]
