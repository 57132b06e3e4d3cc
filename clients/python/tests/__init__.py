"""The reporter's tests."""
