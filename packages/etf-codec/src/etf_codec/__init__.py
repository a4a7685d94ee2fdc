"""etf-codec."""
