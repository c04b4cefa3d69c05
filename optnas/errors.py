"""The one exception that a person is meant to read."""


class UsageError(ValueError):
    """Bad input from outside: its message is one sentence that says what was expected, what came, and where.

    The command line prints the message without a traceback and exits with status 2.

    Args:
        message: The sentence.
        detail: What helps to mend it, such as the traceback of a person's own function; printed before it.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
