"""The rules that a finished mail is held against before it leaves."""
