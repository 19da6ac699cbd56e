"""What monkit_workflow knows of Cadence: its history files."""
