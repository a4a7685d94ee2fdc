"""Certificates that we make: what is in them, who may read their keys, and when they are made anew."""

import os
import stat
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from ergo_node._certificates import Authority, make_development, write_node, write_private


def names_of(pem: bytes) -> tuple[list[str], list[str]]:
    """The names and addresses of a certificate."""
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    return names.get_values_for_type(x509.DNSName), [str(address) for address in addresses]


def test_an_address_is_in_it_as_both_sides_look_for_it() -> None:
    pem, _ = Authority.create().issue(["10.0.0.4", "db.example.com", "10.0.0.4"])
    assert names_of(pem) == (["10.0.0.4", "db.example.com"], ["10.0.0.4"])
    assert ip_address("::1").version == 6
    assert names_of(Authority.create().issue(["::1"])[0]) == (["::1"], ["::1"])


def test_a_node_is_no_authority_and_an_authority_no_node(tmp_path: Path) -> None:
    authority = Authority.create("test")
    authority.save(tmp_path)
    again = Authority.load(tmp_path)
    node = x509.load_pem_x509_certificate(again.issue(["host"])[0])
    node.verify_directly_issued_by(authority.certificate)
    for certificate, is_authority in ((authority.certificate, True), (node, False)):
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (constraints.value.ca, constraints.critical) == (is_authority, True)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.key_cert_sign, usage.digital_signature) == (is_authority, not is_authority)


def test_a_key_of_another_kind_is_no_authority(tmp_path: Path) -> None:
    Authority.create().save(tmp_path)
    (tmp_path / "ca-key.pem").write_bytes(b"no key")
    with pytest.raises(ValueError, match=r"PEM|deserialize"):
        Authority.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="no file modes here")
def test_keys_are_for_their_owner(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"1")
    write_private(tmp_path / "key", b"2")
    authority = Authority.create()
    authority.save(tmp_path)
    write_node(tmp_path, "node", *authority.issue(["host"]))
    for name in ("key", "ca-key.pem", "node.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert (tmp_path / "key").read_bytes() == b"2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca-key.pem", "ca.pem", "key", "node.pem"]


def test_development_certificates_are_made_once_and_anew_when_they_have_to_be(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "tls"
    make_development(folder, ["localhost"])
    first, authority = (folder / "node.pem").read_bytes(), (folder / "ca.pem").read_bytes()
    make_development(folder, ["localhost"])
    assert (folder / "node.pem").read_bytes() == first
    make_development(folder, ["localhost", "10.0.0.4"])
    assert names_of((folder / "node.pem").read_bytes())[1] == ["10.0.0.4"]
    write_node(folder, "node", *Authority.load(folder).issue(["localhost"], days=10))
    expiring = (folder / "node.pem").read_bytes()
    make_development(folder, ["localhost"])
    assert (folder / "node.pem").read_bytes() != expiring
    assert (folder / "ca.pem").read_bytes() == authority
    assert [path.name for path in folder.parent.iterdir()] == ["tls"]


def test_who_comes_second_takes_what_the_first_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rename = tmp_path / "tls", Path.rename

    def beaten(self: Path, target: Path) -> Path:
        monkeypatch.undo()
        make_development(folder, ["localhost"])
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", beaten)
    make_development(folder, ["localhost"])
    assert [path.name for path in tmp_path.iterdir()] == ["tls"]
    Authority.load(folder)
