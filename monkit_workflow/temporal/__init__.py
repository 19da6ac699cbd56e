"""What monkit_workflow knows of Temporal: its history files."""
