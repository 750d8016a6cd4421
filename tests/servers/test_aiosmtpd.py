"""aiosmtpd with TLS and AUTH on both routes."""

import asyncio
import urllib.parse
from pathlib import Path

import pytest

from letterbook.testing.authority import make_authority
from tests.house import House
from tests.servers.aiosmtpd_server import PASSWORD, USER, running_aiosmtpd

COUNT = 2000


# aiosmtpd warns of AUTH without STARTTLS, although the connection is encrypted from its start.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
async def test_both_sides_get_the_same_bytes_by_tls_and_auth(
    house: House, tmp_path: Path, scheme: str
):
    loop = asyncio.get_running_loop()
    authority = make_authority(tmp_path)
    implicit = scheme == "smtps"
    async with (
        running_aiosmtpd(loop, authority, implicit=implicit) as recipients,
        running_aiosmtpd(loop, authority, implicit=implicit) as archive,
    ):
        login = f"{USER}:{urllib.parse.quote(PASSWORD, safe='')}"
        for name, server in (("recipients", recipients), ("archive", archive)):
            url = f"{scheme}://{login}@localhost:{server.port}"
            house.set_route(name, server.port, url=url, ca=authority.ca)
        house.set_archive()
        house.with_settings(connect_timeout=20, reply_timeout=20, final_reply_timeout=20)
        delivery = house.started(COUNT if implicit else COUNT // 4)
        await house.work()
        sent = {each.original_content for each in recipients.keeper.envelopes}
        copies = {each.original_content for each in archive.keeper.envelopes}
        total = sum(house.counts(delivery).values())
        assert house.counts(delivery) == {"sent": total}
        assert len(recipients.keeper.envelopes) == len(sent) == total
        assert sent == copies
