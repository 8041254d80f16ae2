"""Servers on the loopback address, each in a thread of the test."""

import functools
import http.server
import threading
from contextlib import contextmanager


@contextmanager
def serving(server):
    """Have a server answer while the block runs."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serving_folder(folder):
    """Serve a folder's files while the block runs; give the address."""
    handler = functools.partial(QuietHandler, directory=folder)
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"
