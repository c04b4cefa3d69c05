"""The one exception that a person is meant to read, and what a person reads of the others."""

from optnas.credentials import scrubbed

__all__ = ["UsageError", "first_line"]


class UsageError(ValueError):
    """Bad input from outside: its message is one sentence that says what was expected, what came, and where.

    The command line prints the message without a traceback and exits with status 2. No password is kept in it.

    Args:
        message: The sentence.
        detail: What helps to mend it, such as the traceback of a person's own function; printed before it.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(scrubbed(message))
        self.detail = scrubbed(detail)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its kind where it has none; without passwords."""
    return scrubbed(next(iter(str(error).strip().splitlines()), type(error).__name__))
