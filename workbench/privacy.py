"""What must not leave the machine with an exported run: where somebody's home is, and credentials.

In: JSON values. Out: the same values with homes written as `~` and credentials as `[hidden]`. It knows the shapes that
secrets commonly have, not the secrets themselves; a password without a sign of being one passes. Neighbour: `record`
calls it on everything it keeps.
"""

import re
from typing import Any

HIDDEN = "[hidden]"

_HOMES = re.compile(
    r"""(?<![\w.~-])(?:/home/[^/\\\s:"'<>|]+|/Users/[^/\\\s:"'<>|]+|/root|[A-Za-z]:[\\/]+Users[\\/]+[^/\\\s:"'<>|]+)"""
    r"(?![\w.-])"
)
_SECRETS = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[\w-]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abprs]-[\w-]{10,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^\s/@:]{1,200}:[^\s/@]{1,200}(?=@)",
    re.DOTALL,
)
_NAMED = r"(?:api[_-]?key|secret(?:[_-]?key)?|password|passwd|(?:access|auth|hf|api|bearer)[_-]?token|authorization)"
_ASSIGNED = re.compile(rf"""(?i)\b({_NAMED}\\?["']?\s*[:=]\s*\\?["']?(?:bearer\s+)?)([^\s"',;\\]{{6,}})""")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{16,}")
_NAME = re.compile(rf"(?i)(?:.*[_-])?{_NAMED}|token")


def scrub(value: Any, home: str = "") -> Any:
    """A copy of `value` without homes and credentials; `home` is the folder of the one who asks."""
    if isinstance(value, str):
        return scrub_text(value, home)
    if isinstance(value, dict):
        return {
            scrub_text(name, home): HIDDEN if inner and _NAME.fullmatch(name) else scrub(inner, home)
            for name, inner in value.items()
        }
    return [scrub(inner, home) for inner in value] if isinstance(value, list) else value


def scrub_text(text: str, home: str = "") -> str:
    """`text` without homes and credentials."""
    if len(home) > 1:
        text = re.sub(rf"(?<![\w.~-]){re.escape(home.rstrip('/'))}(?![\w.-])", "~", text)
    text = _SECRETS.sub(HIDDEN, _HOMES.sub("~", text))
    return _BEARER.sub(rf"\1{HIDDEN}", _ASSIGNED.sub(rf"\1{HIDDEN}", text))
