"""DKIM signatures (RFC 6376; Ed25519 by RFC 8463), relaxed for headers, simple for the body.

The body needs no canonical form of its own: quoted-printable leaves no white space at line ends, so
*simple* costs one hash and survives every relay that leaves 7-bit text alone.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

Algorithm: TypeAlias = Literal["rsa-sha256", "ed25519-sha256"]

RSA_BITS: Final = 2048
_SIGNED: Final = frozenset(
    (
        b"content-type", b"date", b"from", b"list-unsubscribe", b"list-unsubscribe-post",
        b"message-id", b"mime-version", b"reply-to", b"subject", b"to",
    )
)  # fmt: skip
_WHITE_SPACE: Final = re.compile(rb"[ \t\r\n]+")
_CHUNK: Final = 70
_PrivateKey: TypeAlias = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A domain's key and the selector under which the public half is published."""

    domain: str
    selector: str
    algorithm: Algorithm
    key: _PrivateKey = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """Sign the canonical header block."""
        digest = hashlib.sha256(data).digest()
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(digest)  # RFC 8463, 3: what is signed is the hash


def make_key(algorithm: Algorithm) -> bytes:
    """Return a new private key (PKCS 8, DER)."""
    key: _PrivateKey
    if algorithm == "rsa-sha256":
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_signer(domain: str, selector: str, private_key: bytes) -> Signer:
    """Return the signer of a key that ``make_key`` made."""
    key = serialization.load_der_private_key(private_key, password=None)
    if isinstance(key, rsa.RSAPrivateKey):
        return Signer(domain, selector, "rsa-sha256", key)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Signer(domain, selector, "ed25519-sha256", key)
    raise TypeError(f"a key of {type(key).__name__} cannot sign mail")


def public_record(signer: Signer) -> str:
    """Return what to publish as TXT under ``<selector>._domainkey.<domain>`` (RFC 6376, 3.6.1)."""
    public = signer.key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes_raw()
        return f"v=DKIM1; k=ed25519; p={_base64(raw)}"
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={_base64(der)}"


def signatures(
    headers: Sequence[bytes], body: bytes, signers: Sequence[Signer], timestamp: int
) -> bytes:
    """Return a DKIM-Signature header for each of ``signers``.

    ``headers`` are the message's header lines, each with its CRLF and any folding; ``timestamp``
    (seconds since 1970) is the message's date, so that composing again gives the same signature.
    """
    canonical = [_relaxed(line) for line in headers]
    chosen = [each for each in canonical if each.partition(b":")[0] in _SIGNED]
    names = [each.partition(b":")[0] for each in chosen]
    body_hash = _base64(hashlib.sha256(_simple(body)).digest())
    # From is named once more than it occurs, so that nobody can add another one.
    header_list = b":".join((*names, b"from")).decode()
    return b"".join(
        _signature(signer, header_list, body_hash, timestamp, b"".join(chosen))
        for signer in signers
    )


def _signature(
    signer: Signer, header_list: str, body_hash: str, timestamp: int, signed: bytes
) -> bytes:
    line = (
        f"DKIM-Signature: v=1; a={signer.algorithm}; c=relaxed/simple; d={signer.domain};\r\n"
        f"\ts={signer.selector}; t={timestamp};\r\n"
        f"\th={_folded(header_list)};\r\n"
        f"\tbh={body_hash};\r\n"
        "\tb="
    )
    value = _base64(signer.sign(signed + _relaxed(line.encode()).removesuffix(b"\r\n")))
    chunks = (value[at : at + _CHUNK] for at in range(0, len(value), _CHUNK))
    return (line + "\r\n\t ".join(chunks) + "\r\n").encode("ascii")


def _relaxed(line: bytes) -> bytes:
    """RFC 6376, 3.4.2."""
    name, _, value = line.partition(b":")
    return name.strip().lower() + b":" + _WHITE_SPACE.sub(b" ", value).strip() + b"\r\n"


def _simple(body: bytes) -> bytes:
    """RFC 6376, 3.4.3: empty lines at the end do not count."""
    while body.endswith(b"\r\n\r\n"):
        body = body[:-2]
    return body


def _folded(header_list: str) -> str:
    """Break the list of names between names; white space there has no meaning."""
    lines = [""]
    for name in header_list.split(":"):
        if len(lines[-1]) + len(name) + 1 > _CHUNK:
            lines.append("")
        lines[-1] += f"{name}:"
    return "\r\n\t ".join(lines).rstrip(":")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
