"""Routes: what their addresses mean, when TLS is needed, and passwords that nobody sees."""

import re
import urllib.parse
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from letterbook.control.kernel.actor import Right
from letterbook.control.kernel.errors import NotAllowedError
from letterbook.control.platform.actions import ensure_secrets, note_probe, set_route
from letterbook.control.platform.errors import RouteError
from letterbook.control.platform.queries import routes
from letterbook.control.platform.routes import RouteUrl
from letterbook.sealing import Sealer, SealError
from tests.control.desk import audit, do, without
from tests.house import ACTOR, House

PASSWORD = "s3cret-pa:ss/w@rd #?%"


def certificate() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example CA")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def change(house: House, url: str, name: str = "archive", **more: object) -> None:
    options = {"ca": None, "insecure": False, "actor": ACTOR} | more
    do(set_route, options.pop("actor"), house.sealer, name, RouteUrl.parse(url), **options)


# The address of a route.


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("smtp://localhost", ("none", "localhost", 25, None, None)),
        ("smtp://127.0.0.1:2525", ("none", "127.0.0.1", 2525, None, None)),
        ("smtps://relay.example", ("tls", "relay.example", 465, None, None)),
        ("smtp+starttls://relay.example", ("starttls", "relay.example", 587, None, None)),
        ("smtp+starttls://relay.example:25/", ("starttls", "relay.example", 25, None, None)),
        ("SMTPS://Relay.Example:10465", ("tls", "relay.example", 10465, None, None)),
        ("smtp://[::1]:2525", ("none", "::1", 2525, None, None)),
        ("smtps://[2001:db8::1]", ("tls", "2001:db8::1", 465, None, None)),
        ("smtps://ana:pw@relay.example", ("tls", "relay.example", 465, "ana", "pw")),
        ("smtps://ana@relay.example", ("tls", "relay.example", 465, "ana", None)),
        ("smtps://ana%40a.org:p%3Aw@h.example", ("tls", "h.example", 465, "ana@a.org", "p:w")),
        ("smtps://ana:p@ss:word@h.example", ("tls", "h.example", 465, "ana", "p@ss:word")),
    ],
)  # fmt: skip
def test_addresses_and_what_they_mean(text: str, parts: tuple[object, ...]):
    url = RouteUrl.parse(text)
    assert (url.security, url.host, url.port, url.username, url.password) == parts


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_user_and_password_can_be_written(user: str, password: str):
    user, password = (each.encode("utf-8", "replace").decode() for each in (user, password))
    quoted = ":".join(urllib.parse.quote(each, safe="") for each in (user, password))
    url = RouteUrl.parse(f"smtps://{quoted}@relay.example:4465")
    assert (url.username, url.password) == (user, password)
    assert (url.host, url.port) == ("relay.example", 4465)
    # What is shown leads to the same place, without the password.
    shown = RouteUrl.parse(url.shown)
    assert (shown.username, shown.password, shown.host) == (user, None, "relay.example")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "relay.example",
        "relay.example:25",
        "http://relay.example",
        "smtp+tls://relay.example",
        "smtp:relay.example",
        "smtp://",
        "smtp://:25",
        "smtp://ana@",
        "smtp://relay.example:port",
        "smtp://relay.example:70000",
        "smtp://relay.example:-1",
        "smtp://relay.example:0",
        "smtp://relay.example/inbox",
        "smtp://relay.example?tls=1",
        "smtp://relay.example#1",
        "smtp://[::1",
        "smtp://[relay]:25",
        "smtp://relay example",
        "smtps://:pw@relay.example",
    ],
)
def test_what_is_no_address_of_a_route_is_refused(text: str):
    with pytest.raises(RouteError):
        RouteUrl.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "smtps://ana:s3cret@relay.example:port",
        "smtps://ana:s3cret@relay.example/inbox",
        "smtp+tls://ana:s3cret@relay.example",
        "ana:s3cret@relay.example",
        "smtps:/ana:s3cret@relay.example",
        "smtps//ana:s3cret@relay.example",
        # Characters of a password that must be written as %23, %2F, %3F, %5B.
        "smtps://ana:s3cret#@relay.example",
        "smtps://ana:s3cret#x@relay.example",
        "smtps://ana:s3cret/x@relay.example",
        "smtps://ana:s3cret?x@relay.example",
        "smtps://ana:s3cret[x@relay.example",
        "smtps://ana:s3cret]x@relay.example",
        "smtps://ana:s3cret",
        "smtps://ana:25#s3cret@relay.example",
        "smtps://ana:s3cret@re#lay.example@x",
    ],
)
def test_an_error_never_shows_the_password(text: str):
    with pytest.raises(RouteError) as caught:
        RouteUrl.parse(text)
    shown = [str(caught.value)]
    error: BaseException | None = caught.value
    while error := (error.__cause__ if error.__suppress_context__ else error.__context__):
        shown.append(str(error))
    assert "s3cret" not in " ".join(shown)


def test_a_password_does_not_show_by_accident():
    url = RouteUrl.parse("smtps://ana:s3cret@relay.example")
    assert "s3cret" not in repr(url) + str(url) + url.shown


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("relay.example", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("[fe80::1]", False),
        ("[::ffff:10.0.0.1]", False),
    ],
)
def test_what_stays_on_this_host(host: str, here: bool):
    assert RouteUrl.parse(f"smtp://{host}").on_this_host is here


# Setting one.


def test_a_route_is_kept_and_shown(house: House):
    change(house, "smtp+starttls://ana:s3cret@relay.example:2587", "recipients")
    change(house, "smtp://[::1]:2525")
    recipients, archive = do(routes)
    assert (recipients.name, recipients.url) == (
        "recipients",
        "smtp+starttls://ana@relay.example:2587",
    )
    assert (recipients.has_password, recipients.own_ca, recipients.insecure) == (True, False, False)
    assert (archive.name, archive.url, archive.has_password) == (
        "archive", "smtp://[::1]:2525", False,
    )  # fmt: skip


def test_a_route_off_this_host_needs_tls(house: House):
    for url in ("smtp://relay.example", "smtp://10.0.0.1:25", "smtp://ana:pw@[2001:db8::1]"):
        with pytest.raises(RouteError, match=r"leaves this host without TLS.*--insecure") as caught:
            change(house, url)
        assert "pw" not in str(caught.value)
    assert do(routes) == []
    change(house, "smtp://relay.example", insecure=True)
    assert [each.insecure for each in do(routes)] == [True]
    change(house, "smtp+starttls://relay.example")
    assert [each.insecure for each in do(routes)] == [False]


def test_there_are_two_routes(house: House):
    with pytest.raises(
        RouteError, match="there is no route 'other': the routes are recipients and"
    ):
        change(house, "smtps://relay.example", "other")
    assert do(routes) == []


def test_a_password_is_sealed_in_the_table(house: House):
    quoted = urllib.parse.quote(PASSWORD, safe="")
    change(house, f"smtps://ana:{quoted}@relay.example")
    ((sealed, everything),) = house.sql(
        "SELECT sealed_password, platform_route::text FROM platform_route"
    )
    assert house.sealer.open("route archive", bytes(sealed)) == PASSWORD.encode()
    for trace in (PASSWORD, PASSWORD.encode().hex(), quoted):
        assert trace not in everything
    # It opens for no other route, and with no other key.
    with pytest.raises(SealError, match="sealed with another key"):
        house.sealer.open("route recipients", bytes(sealed))
    with pytest.raises(SealError, match="sealed with another key"):
        Sealer(bytes(32)).open("route archive", bytes(sealed))
    # Sealed again, it looks different.
    change(house, f"smtps://ana:{quoted}@relay.example")
    assert house.sql("SELECT sealed_password FROM platform_route") != [(sealed,)]


def test_the_shared_secrets_are_sealed_and_bound_to_the_key(house: House):
    ((sealed,),) = house.sql("SELECT sealed FROM platform_secret WHERE name = 'identity'")
    assert house.identity.key not in bytes(sealed)
    do(ensure_secrets, house.sealer)
    assert house.sql("SELECT sealed FROM platform_secret") == [(sealed,)]
    with pytest.raises(SealError, match="sealed with another key"):
        do(ensure_secrets, Sealer(bytes(32)))


def test_changes_are_audited_without_passwords(house: House):
    quoted = urllib.parse.quote(PASSWORD, safe="")
    change(house, f"smtps://ana:{quoted}@relay.example")
    change(house, "smtp://relay.example:2525", insecure=True)
    first, second = (line[1:] for line in audit(house, "set route"))
    before = {"url": "smtps://ana@relay.example:465", "own_ca": False, "insecure": False}
    after = {"url": "smtp://relay.example:2525", "own_ca": False, "insecure": True}
    assert first == ("set route", "route archive", None, before)
    assert second == ("set route", "route archive", before, after)
    ((everything,),) = house.sql("SELECT string_agg(a::text, '') FROM kernel_auditline a")
    for trace in ("s3cret", quoted):
        assert trace not in everything


def test_what_was_probed_counts_until_the_route_changes(house: House):
    change(house, "smtp://localhost:2525")
    do(note_probe, "archive", size_limit=1000, extensions={"SIZE", "DSN"})
    (route,) = do(routes)
    assert (route.size_limit, route.extensions) == (1000, ("DSN", "SIZE"))
    assert route.probed_at is not None
    change(house, "smtp://localhost:2526")
    (route,) = do(routes)
    assert (route.size_limit, route.extensions, route.probed_at) == (None, (), None)


def test_own_authorities_are_checked(house: House):
    change(house, "smtps://relay.example", ca=certificate() + certificate())
    assert [each.own_ca for each in do(routes)] == [True]
    broken = re.sub("[A-Za-z]", "A", certificate())
    for ca in ("", "\n", "hello", broken, certificate()[:-40]):
        with pytest.raises(RouteError, match="the CA file holds no usable PEM certificate"):
            change(house, "smtps://other.example", ca=ca)
    assert [each.url for each in do(routes)] == ["smtps://relay.example:465"]


def test_setting_a_route_needs_the_right(house: House):
    with pytest.raises(NotAllowedError, match="'administration'"):
        change(house, "smtps://relay.example", actor=without(Right.ADMINISTRATION))
    assert do(routes) == []
    assert audit(house, "set route") == []
