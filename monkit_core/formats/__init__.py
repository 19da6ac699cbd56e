"""Formats: encoders without dependencies, which pages, exporters and dumps share."""
