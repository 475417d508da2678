"""A connection to Postgres that can be made to fall silent."""

import socket
import threading

from django.db import connection


class Relay:
    """Postgres on a port of this machine; it can fall silent, and its connections stay."""

    def __init__(self):
        folder = connection.get_connection_params()["host"]
        self.path = f"{folder}/.s.PGSQL.5432"
        self.speaking = threading.Event()
        self.speaking.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.path)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=ends, daemon=True).start()

    def pump(self, source, target):
        with source, target:
            try:
                while data := source.recv(64 * 1024):
                    self.speaking.wait()
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
