"""A receiver of webhooks, and a webhook to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallystick.hooks import Webhook, webhook_hook

from ._receiver import FAST, SECRET, Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def hook(receiver: Receiver) -> Iterator[Webhook]:
    made = webhook_hook(receiver.url, secret=SECRET, retry=FAST)
    yield made
    made.close()
