"""Who hears of an alert: the channels that `[alerts] channels` names, one of which is here."""

from __future__ import annotations

import json
from dataclasses import asdict

from mlops_workbench import plugins
from mlops_workbench.plugins import Channel, Message
from mlops_workbench.store.context import Context


class Log:
    """`log`: a line of JSON for each alert in `.mlops/logs/alerts.jsonl`, for whatever collects logs."""

    def send(self, context: Context, message: Message) -> None:
        file = context.project.folder("logs") / "alerts.jsonl"
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(message), ensure_ascii=False) + "\n")


def deliver(context: Context, message: Message) -> dict[str, str]:
    """Send it through every channel; by name, why those that failed did. One never keeps another from hearing."""
    failed = {}
    for name in context.project.policy.alerts.channels:
        try:
            channel: Channel = plugins.load("channels", name)
            channel.send(context, message)
        except Exception as problem:  # a channel is foreign code on a foreign network
            failed[name] = f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
    return failed
