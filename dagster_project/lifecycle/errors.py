"""The two ways of saying no."""


class InputError(Exception):
    """The call or its input is wrong: one line that names the file or key, what was found, what is allowed. Exit code 2."""


class LostConnectionError(InputError):
    """The database went away in the middle. What was asked may or may not have happened; asking again is safe."""


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """The answer is no: a gate, a check, a missing release, a control. Exit code 1."""
