"""Renderers: rows in, bytes or text out; pure functions."""
