"""otp-behaviors."""
