"""The one exception for a user's mistake: the command line prints its sentence, not a traceback."""


class UserError(Exception):
    """What was wrong (the key, the value, the file), what is allowed, what to do: one sentence each."""
