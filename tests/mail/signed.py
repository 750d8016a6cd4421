"""Keys to sign with, and dkimpy as the judge of what was signed."""

import base64
import re
from collections.abc import Mapping, Sequence
from functools import cache

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from letterbook.mail.content import Algorithm, SigningKey
from letterbook.mail.dkim import Signer, make_private_key, make_signer, public_record


def signing_key(
    algorithm: Algorithm, domain: str = "example.com", selector: str | None = None, key_id: int = 1
) -> SigningKey:
    return SigningKey(
        id=key_id, domain=domain, selector=selector or f"s-{algorithm}", algorithm=algorithm
    )


@cache
def private_key(algorithm: Algorithm) -> bytes:
    """One key of each kind for all tests: RSA keys take their time."""
    return make_private_key(algorithm)


def make_signers(*algorithms: Algorithm) -> list[Signer]:
    return [make_signer(signing_key(each), private_key(each)) for each in algorithms]


PUBLISHED = {
    f"s-{each}._domainkey.example.com": public_record(private_key(each))
    for each in ("rsa", "ed25519")
}


def signature_headers(message: bytes) -> list[bytes]:
    """Each DKIM-Signature header of ``message``, folded as it stands."""
    header = message.partition(b"\r\n\r\n")[0] + b"\r\n"
    return re.findall(rb"^DKIM-Signature:.*\r\n(?:[ \t].*\r\n)*", header, re.MULTILINE)


def tags(signature: bytes) -> dict[str, str]:
    """The tags of a signature, without white space."""
    value = re.sub(rb"\s", b"", signature.partition(b":")[2]).decode()
    return dict(each.split("=", 1) for each in value.split(";"))


def verify(message: bytes, published: Mapping[str, str] = PUBLISHED) -> list[bool]:
    """What dkimpy says of each signature of ``message``."""

    def look_up(name: bytes, timeout: float = 5) -> bytes | None:
        record = published.get(name.decode().rstrip("."))
        return record.encode() if record else None

    judged = []
    for at in range(len(signature_headers(message))):
        try:
            judged.append(dkim.DKIM(message).verify(idx=at, dnsfunc=look_up))
        except dkim.DKIMException:
            judged.append(False)
    return judged


def all_verify(message: bytes, selectors: Sequence[str]) -> bool:
    """Whether ``message`` has a good signature of each of the selectors, in this order."""
    found = [tags(each)["s"] for each in signature_headers(message)]
    return found == list(selectors) and verify(message) == [True] * len(found)


def ed25519_private_key(seed: str) -> bytes:
    """A private key from its seed in base64."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed)).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
