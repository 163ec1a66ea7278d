"""What may be said here: rules on text, and the policies that turn them into decisions. PURE."""
