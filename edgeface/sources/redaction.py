"""Passwords out of whatever people may read: names, errors, logs, threads, the status of the live view."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["hide_secrets"]

# Up to the last @ of the word: FFmpeg ends the address at an unescaped slash, but what stands there may be a password.
_LOGIN: Final = re.compile(r"(?<=://)(?:(?P<user>[^\s/?#:@\"']*):[^\s\"']*|[^\s/?#\"']*)@")
# Options such as user-pw=… of GStreamer, passphrase=… of SRT, token=… of web cameras.
_OPTION: Final = re.compile(
    r"(?i)(?P<name>\b(?:[\w-]*[-_])?(?:pass(?:word|wd|phrase)?|pwd?|psk|secret|token|auth|api[-_]?key|access[-_]?key|"
    r"sig(?:nature)?|credentials?)\s*=\s*)(?:\([a-z]+\)\s*)?(?:\"[^\"]*\"|'[^']*'|[^\s&;,#\"']+)"
)
_HIDDEN: Final = "***"


def hide_secrets(text: str) -> str:
    """The text with passwords of addresses and of options replaced by stars.

    Examples:
        >>> hide_secrets("rtsp://admin:s3cret@10.0.0.7/h264?token=abc")
        'rtsp://admin:***@10.0.0.7/h264?token=***'
        >>> hide_secrets("rtspsrc location=rtsp://10.0.0.7/ user-id=admin user-pw=s3cret ! decodebin")
        'rtspsrc location=rtsp://10.0.0.7/ user-id=admin user-pw=*** ! decodebin'
    """
    text = _LOGIN.sub(lambda found: f"{found['user']}:{_HIDDEN}@" if found["user"] is not None else f"{_HIDDEN}@", text)
    return _OPTION.sub(lambda found: f"{found['name']}{_HIDDEN}", text)
