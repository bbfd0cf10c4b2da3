"""What is asked of a template before anybody is mailed: rules that need the whole rendered mail, and what is accepted with a reason."""
