"""What can go wrong, and whose fault it is.

    EtfError(ValueError)
    ├── DecodeError            the bytes are not a term (their writer's fault); `offset` says where
    │   ├── TruncatedError     the bytes end inside a term: more input may complete it
    │   └── LimitExceeded      a legal term, larger than your `Limits` allow
    ├── EncodeError            the Python value has no external form (our caller's fault); `path` says where
    └── MismatchError          a term does not have the shape of a Python type; `path` says where

`decode` raises nothing but DecodeErrors for any bytes, `encode` nothing but EncodeErrors for any value.
"""


class EtfError(ValueError):
    """The root of every error this package raises on purpose."""


class DecodeError(EtfError):
    """The bytes, or the Erlang text, are not a valid term.

    Attributes:
        offset: Index of the byte (of the character, in text) where the offending term starts. Inside a
            compressed term it counts from the start of the inflated body, and the message says so.
    """

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message, offset)
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.args[0]} (at offset {self.offset})"


class TruncatedError(DecodeError):
    """The input ends inside a term. For a stream: read more, then try again."""


class LimitExceeded(DecodeError):
    """The input breaks one of the `Limits`; raise that limit if the sender is trusted."""


class EncodeError(EtfError):
    """The value cannot be written as an external term.

    Attributes:
        path: Where in the value, as subscripts: `[3]['price']`; empty for the value itself.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        return f"at {self.path}: {self.args[0]}" if self.path else str(self.args[0])


class MismatchError(EtfError):
    """A term does not fit the type it was to become, or a value cannot become a term.

    Attributes:
        path: Where in the term: `order.items[3].price`.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.args[0]}" if self.path else str(self.args[0])
