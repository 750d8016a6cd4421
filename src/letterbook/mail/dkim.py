"""DKIM signatures (RFC 6376, and RFC 8463 for Ed25519): relaxed headers, simple body.

*Relaxed* headers, because relays fold and space them anew. The body has nothing that *relaxed*
would forgive: quoted-printable and base64 leave no white space at the end of a line, so *simple*
survives the same relays and costs a hash, not a pass over every line.

Every signature is deterministic (PKCS #1 v1.5 and Ed25519 draw no random numbers), so a message
that is composed again is signed to the same bytes.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from letterbook.mail.content import Algorithm, SigningKey

RSA_BITS: Final = 2048
_SIGNED: Final = frozenset(
    (
        b"auto-submitted", b"content-transfer-encoding", b"content-type", b"date", b"feedback-id",
        b"from", b"in-reply-to", b"list-archive", b"list-help", b"list-id", b"list-owner",
        b"list-post", b"list-subscribe", b"list-unsubscribe", b"list-unsubscribe-post",
        b"message-id", b"mime-version", b"references", b"reply-to", b"subject", b"to",
    )
)  # fmt: skip
"""RFC 6376, 5.4.1; RFC 8058, 4. Not a template's ``X-`` headers: relays take theirs out."""

_HEADER: Final = re.compile(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*")
_WHITE_SPACE: Final = re.compile(rb"[ \t\r\n]+")
_LINE: Final = 70
_STRING: Final = 255
"""Octets of one string of a TXT record (RFC 1035, 3.3)."""

_LENGTHS: Final = {"rsa": RSA_BITS // 8, "ed25519": 64}
_PrivateKey: TypeAlias = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A key at work. ``sign`` takes the canonical header block and returns the signature."""

    domain: str
    selector: str
    algorithm: Algorithm
    sign: Callable[[bytes], bytes] = field(repr=False)


def make_private_key(algorithm: Algorithm) -> bytes:
    """Return a new private key (PKCS #8, DER)."""
    key: _PrivateKey
    if algorithm == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_signer(key: SigningKey, private_key: bytes) -> Signer:
    """Return the signer of ``key``, whose ``private_key`` ``make_private_key`` made."""
    loaded = _load(private_key)

    def sign(data: bytes) -> bytes:
        if isinstance(loaded, rsa.RSAPrivateKey):
            return loaded.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return loaded.sign(hashlib.sha256(data).digest())  # RFC 8463, 3: the hash is signed

    return Signer(key.domain, key.selector, key.algorithm, sign)


def make_specimen(key: SigningKey) -> Signer:
    """Return a signer whose signatures are void and as long as those of ``key``."""
    return Signer(key.domain, key.selector, key.algorithm, lambda _: bytes(_LENGTHS[key.algorithm]))


def public_record(private_key: bytes) -> str:
    """Return what to publish as TXT at ``<selector>._domainkey.<domain>`` (RFC 6376, 3.6.1)."""
    public = _load(private_key).public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return f"v=DKIM1; k=ed25519; p={_base64(public.public_bytes_raw())}"
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={_base64(der)}"


def secret_name(domain: str, selector: str) -> str:
    """Return the name under which a key's private half is sealed."""
    return f"dkim {selector} {domain}"


def record_strings(record: str) -> list[str]:
    """Return ``record`` as the strings of at most 255 octets that a TXT record is made of."""
    return [record[at : at + _STRING] for at in range(0, len(record), _STRING)]


def signatures(header: bytes, body: bytes, signers: Sequence[Signer], timestamp: int) -> bytes:
    """Return a DKIM-Signature header for each of ``signers``.

    ``header`` and ``body`` are the message's, with CRLF everywhere and without the empty line
    between them. ``timestamp`` (seconds since 1970) is the message's date, so that composing it
    again gives the same signature.
    """
    # From the last to the first, as a verifier looks for them (RFC 6376, 5.4.2).
    lines = [_relaxed(line) for line in reversed(_HEADER.findall(header))]
    signed = [line for line in lines if line.partition(b":")[0] in _SIGNED]
    header_list = _header_list(tuple(line.partition(b":")[0] for line in signed))
    body_hash = _base64(hashlib.sha256(_simple(body)).digest())
    block = b"".join(signed)
    return b"".join(_signature(each, header_list, body_hash, timestamp, block) for each in signers)


def _signature(
    signer: Signer, header_list: str, body_hash: str, timestamp: int, block: bytes
) -> bytes:
    line = (
        f"DKIM-Signature: v=1; a={signer.algorithm}-sha256; c=relaxed/simple;\r\n"
        f"\td={signer.domain}; s={signer.selector}; t={timestamp};\r\n"
        f"\th={header_list};\r\n"
        f"\tbh={body_hash};\r\n"
        "\tb="
    )
    # Signed with an empty b= and without the CRLF at its end (RFC 6376, 3.7).
    value = _base64(signer.sign(block + _relaxed(line.encode()).removesuffix(b"\r\n")))
    chunks = (value[at : at + _LINE] for at in range(0, len(value), _LINE))
    return (line + "\r\n\t ".join(chunks) + "\r\n").encode()


@lru_cache(128)  # most lines of a message are everybody's
def _relaxed(line: bytes) -> bytes:
    """RFC 6376, 3.4.2."""
    name, _, value = line.partition(b":")
    return name.rstrip(b" \t").lower() + b":" + _WHITE_SPACE.sub(b" ", value).strip(b" ") + b"\r\n"


def _simple(body: bytes) -> bytes:
    """RFC 6376, 3.4.3: empty lines at the end do not count, and no body is one empty line."""
    if body.endswith(b"\r\n") and not body.endswith(b"\r\n\r\n"):
        return body  # as nearly every body is: no copy
    return body.rstrip(b"\r\n") + b"\r\n"


@lru_cache(16)
def _header_list(names: tuple[bytes, ...]) -> str:
    """Return the names, folded between them. Each stands once more than the message has it.

    So nobody can add a second From, Subject or Content-Type to what is signed (RFC 6376, 8.15).
    """
    lines = [""]
    for name in (*names, *dict.fromkeys(names)):
        if len(lines[-1]) + len(name) + 1 > _LINE:
            lines.append("")
        lines[-1] += f"{name.decode()}:"
    return "\r\n\t ".join(lines).rstrip(":")


def _load(private_key: bytes) -> _PrivateKey:
    key = serialization.load_der_private_key(private_key, password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise TypeError(f"a key of {type(key).__name__} cannot sign mail")
    return key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
