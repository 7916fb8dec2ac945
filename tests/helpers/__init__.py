"""What several test modules use: worlds to test in, servers, writers of files."""
