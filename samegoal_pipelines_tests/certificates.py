"""Certificates that a test makes up."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW, DAY = datetime.now(UTC), timedelta(days=1)


class Authority:
    """An authority that signs certificates. `own` is its own certificate, also valid for `names`."""

    def __init__(self, name: str, *names: x509.GeneralName) -> None:
        self.name, self.key = name, ec.generate_private_key(ec.SECP256R1())
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self.own = self._sign(name, self.key, NOW + DAY, x509.SubjectAlternativeName(names), ca)

    def certificate(self, host: str, until: datetime = NOW + DAY) -> bytes:
        """A certificate for a host, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        return self._sign(host, key, until, names) + pem(key)

    def _sign(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        until: datetime,
        *extensions: x509.ExtensionType,
    ) -> bytes:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, self.name)]
        made = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(NOW - 9 * DAY).not_valid_after(until)
        for extension in extensions:
            made = made.add_extension(extension, isinstance(extension, x509.BasicConstraints))
        return made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
