"""Mirror folders: verified copies, and a server for a class."""
