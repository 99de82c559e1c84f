"""Models that leave and come: folders and the hub, other formats, other libraries' models."""
