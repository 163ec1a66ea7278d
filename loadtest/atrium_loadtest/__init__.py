"""Bots and capacity evidence for Atrium: a crowd of thousands from one process."""
