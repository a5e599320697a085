"""A lift report for people and programs: terminal table, JSON, HTML page, protocol message."""
