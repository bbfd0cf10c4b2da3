"""The gates: what must be true of a batch before it may cross the border to the next stage.

Importing this package is cheap: Great Expectations (seconds to import) is loaded by the first gate that runs.
"""
