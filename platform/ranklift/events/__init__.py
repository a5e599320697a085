"""What users saw and did: pages, clicks and dwells, on disk before they are acknowledged."""
