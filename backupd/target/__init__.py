"""Writing into a directory that was given to a restore: nothing outside of it is ever changed.

Everything goes by directory descriptors and O_NOFOLLOW; names come from a snapshot and are not trusted.
"""
