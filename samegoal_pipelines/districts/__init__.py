"""The registered districts, their encrypted secrets, their pauses, and `verify`. No student data."""
