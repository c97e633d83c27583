"""SFTP: OpenSSH's servers and others."""
