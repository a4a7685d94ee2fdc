"""Which codec the tests run on: ETF_CODEC_IMPL forces one."""

from etf_codec import backend


def pytest_report_header() -> str:
    return f"etf-codec: {backend()}"
