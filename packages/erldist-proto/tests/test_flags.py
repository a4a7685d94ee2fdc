import pytest
from erldist_proto import DEFAULT_FLAGS, MANDATORY_25, MANDATORY_26, MANDATORY_FLAGS, DistFlags, flag_names
from erldist_proto._flags import expand


def test_sets_are_those_observed_on_real_nodes() -> None:
    assert MANDATORY_25 == 0x1070F94  # OTP 25
    assert MANDATORY_26 == 0x403070F94  # OTP 26 to 29
    assert DEFAULT_FLAGS == 0x2D07DF7FBD  # what OTP 28 offers


def test_otp_22_passes_what_we_demand() -> None:
    otp_22_offers = DistFlags(0xDF7FBD)  # OTP 23's offer 0x101df7fbd without its new bits
    assert MANDATORY_FLAGS & ~otp_22_offers == 0


@pytest.mark.parametrize("bit", [15, 21, 36])
def test_internal_bits_are_never_offered(bit: int) -> None:
    assert not DEFAULT_FLAGS >> bit & 1


def test_the_digest_is_spelled_out() -> None:
    assert expand(DistFlags.MANDATORY_25_DIGEST) == MANDATORY_25 | DistFlags.MANDATORY_25_DIGEST
    assert expand(DistFlags.SPAWN) == DistFlags.SPAWN


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (DistFlags(0), ""),
        (DistFlags.V4_NC, "V4_NC"),
        (DistFlags.V4_NC | DistFlags.UNLINK_ID, "UNLINK_ID and V4_NC"),
        (DistFlags.V4_NC | DistFlags.UNLINK_ID | DistFlags.SPAWN, "UNLINK_ID, SPAWN and V4_NC"),
        (DistFlags(1 << 50) | DistFlags.SPAWN, "SPAWN and bit 50"),
    ],
)
def test_names_read_as_a_sentence(flags: DistFlags, text: str) -> None:
    assert flag_names(flags) == text
