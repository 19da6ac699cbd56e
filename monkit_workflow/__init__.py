"""Durable workflows: logical flow written as code, replayed from its history after any crash."""
