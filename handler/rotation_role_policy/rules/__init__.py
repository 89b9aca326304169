"""What a rotation needs, and what is too much. Pure: no call."""
