"""What the stand-in's channels hold in the end, as Markdown: for a README that shows a real run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swirl.testing.slack import SlackMessage, SlackStandIn

__all__ = ["markdown"]

_FENCED = re.compile(r"```(.*?)```", re.DOTALL)


def markdown(slack: SlackStandIn) -> str:
    """Each root as it ends, with its marks, buttons and thread.

    Example:
        >>> from slack_sdk import WebClient
        >>> from swirl.testing.slack import SlackStandIn
        >>> with SlackStandIn() as slack:
        ...     bot = WebClient(token=slack.token, base_url=slack.url)
        ...     answer = bot.chat_postMessage(channel="#ads-oncall", text="*hello*")
        ...     print(markdown(slack))
        > **hello**
    """
    told = [_thread(root, replies) for root, *replies in slack.threads.values()]
    return "\n\n".join(told)


def _thread(root: SlackMessage, replies: list[SlackMessage]) -> str:
    lines = _message(root)
    if root.reactions:
        lines += ["", " ".join(f"`:{name}:`" for name in root.reactions)]
    for reply in replies:
        lines += ["", *(f"> {line}".rstrip() for line in _message(reply))]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _message(message: SlackMessage) -> list[str]:
    blocks = message.payload.get("blocks") or []
    parts = [part for block in blocks for part in _block(block)]
    if not blocks and message.text:
        parts.append(_mrkdwn(message.text))
    parts += [f"*{file.get('name')}: {file.get('title')}*" for file in message.files]
    lines = "\n\n".join(parts).split("\n")
    return lines if any(lines) else []


def _block(block: dict[str, Any]) -> list[str]:
    match block["type"]:
        case "header":
            return [f"**{_plain(block['text']['text'])}**"]
        case "actions":
            return [" ".join(f"`[{element['text']['text']}]`" for element in block["elements"])]
        case "context":
            return [f"<sub>{_mrkdwn(element['text'])}</sub>" for element in block["elements"]]
        case "section":
            return [_mrkdwn(block["text"]["text"])]
        case _:
            return []


def _mrkdwn(text: str) -> str:
    """Slack's own markup as Markdown; tables stay in their fences, on lines of their own."""
    told = []
    for index, part in enumerate(_FENCED.split(text)):
        if index % 2:
            told.append("\n```text\n" + _unescaped(part) + "\n```\n")
        elif part.strip():
            said = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", part.strip("\n"))
            said = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", r"[\2](\1)", said)
            said = re.sub(r"<!(here|channel|everyone)>", r"@\1", said)
            told.append(re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"**\1**", said))
    return "\n".join(told).strip("\n")


def _plain(text: str) -> str:
    return _unescaped(text).replace("*", r"\*")


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
