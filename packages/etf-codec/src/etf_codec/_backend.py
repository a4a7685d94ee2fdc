"""Which codec runs: the pure Python one, or the native one of the package etf-codec-native.

The environment variable ETF_CODEC_IMPL forces one: `python` or `native`. Without it the native one runs if
it is installed. Both share the classes and errors of this package and give the same results.
"""

from importlib import import_module
from os import environ
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

from . import _decoder, _encoder

__all__ = [
    "PacketReader",
    "PacketWriter",
    "backend",
    "decode",
    "decode_bare",
    "decode_prefix",
    "encode",
    "encode_bare",
    "encode_parts",
    "encode_referring",
]

# Changes whenever what is listed below, or the classes they share, change so that native code must
# follow.
SEAM_VERSION: Final = 8

_NATIVE: Final = "etf_codec_native"


def _native() -> ModuleType | None:
    """The native codec, if it is to run.

    Raises:
        ImportError: It was asked for and is missing, or it was built for another version of this package.
    """
    wanted = environ.get("ETF_CODEC_IMPL", "")
    if wanted not in ("", "python", "native"):
        raise ImportError(f"ETF_CODEC_IMPL is 'python' or 'native', not {wanted!r}")
    if wanted == "python":
        return None
    try:
        module = import_module(_NATIVE)
    except ModuleNotFoundError as error:
        if error.name != _NATIVE:
            raise
        if wanted == "native":
            raise ImportError("ETF_CODEC_IMPL=native needs: pip install etf-codec[native]") from None
        return None
    if module.SEAM_VERSION != SEAM_VERSION:
        raise ImportError(
            f"etf-codec-native is of seam {module.SEAM_VERSION}, etf-codec of {SEAM_VERSION}: upgrade one"
        )
    return module


_codec = _native()

if TYPE_CHECKING:
    # Both have the same signatures; a type checker only sees those in Python.
    from ._decoder import PacketReader, decode, decode_bare, decode_prefix
    from ._encoder import PacketWriter, encode, encode_bare, encode_parts, encode_referring
else:
    _encode = _encoder if _codec is None else _codec
    _decode = _decoder if _codec is None else _codec

    encode = _encode.encode
    encode_parts = _encode.encode_parts
    encode_bare = _encode.encode_bare
    encode_referring = _encode.encode_referring
    PacketWriter = _encode.PacketWriter
    decode = _decode.decode
    decode_prefix = _decode.decode_prefix
    decode_bare = _decode.decode_bare
    PacketReader = _decode.PacketReader


def backend() -> Literal["python", "native"]:
    """Which codec runs in this process."""
    return "python" if _codec is None else "native"
