"""Sockets, frames and sessions: everything between a peer's bytes and a world's inbox."""
