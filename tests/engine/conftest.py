"""A post for each test: both servers, and an audit of the promises at the end."""

from collections.abc import AsyncIterator

import pytest

from letterbook.engine import alerts, pool, run, share, sweep, watch
from tests.engine.post import Post
from tests.house import House


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine looks at twice a second it looks at more often here, to save time."""
    monkeypatch.setattr(watch, "_PERIOD", 0.1)
    monkeypatch.setattr(share, "_PERIOD", 0.1)
    monkeypatch.setattr(share, "_LEAST_PERIOD", 0.02)
    monkeypatch.setattr(sweep, "_PERIOD", 0.1)
    monkeypatch.setattr(alerts, "_PERIOD", 0.1)
    monkeypatch.setattr(run, "_IDLE_CHECK", 0.05)
    monkeypatch.setattr(pool, "_CHECK", 0.05)


@pytest.fixture
async def post(house: House) -> AsyncIterator[Post]:
    """Both servers, the routes to them and the archive address are set up; nothing is sent yet."""
    post = Post(house)
    await post.open()
    yield post
    await post.close()
    post.audit()
