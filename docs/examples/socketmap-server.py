#!/usr/bin/python3
"""A socketmap server for Posthorn (and Postfix, and Sendmail): lookups answered from a text file.

    socketmap-server.py /run/people.sock /etc/posthorn/people
    socketmap-server.py 127.0.0.1:7777 /etc/posthorn/people

Each line of the file is a map's name, a key and a value, separated by tabs: "aliases", "postmaster", "joe, jane". Without a value
the key is in a list. The file is read again when it changed. Only Python's own library is used.
"""

import os
import socketserver
import sys

MOST_BYTES = 100_000  # Of a question; what clients take of an answer is no more.


class Maps:
    """The file's content, as of its last change."""

    def __init__(self, path):
        self.path = path
        self.read = None, {}

    def lookup(self, name, key):
        found = os.stat(self.path)
        mark = found.st_mtime_ns, found.st_size, found.st_ino
        if mark != self.read[0]:
            entries = {}
            with open(self.path, encoding="utf-8") as file:
                for line in file:
                    name_, key_, value = (*line.rstrip("\n").split("\t", 2), "", "")[:3]
                    entries[name_, key_] = value
            # One assignment, for other threads look at it too.
            self.read = mark, entries
        return self.read[1].get((name, key))


class Connection(socketserver.StreamRequestHandler):
    """Questions of one client, one after the other, until it closes."""

    def handle(self):
        while (question := self.receive()) is not None:
            self.send(self.answer(question))

    def answer(self, question):
        # The map's name has no space in it; the key may.
        name, space, key = question.partition(" ")
        if not space:
            return "PERM a question is a name, a space and a key"
        try:
            value = self.server.maps.lookup(name, key)
        except OSError as problem:
            return f"TEMP {problem}"
        # The space stands there even with nothing behind it.
        return "NOTFOUND " if value is None else f"OK {value}"

    def receive(self):
        """A netstring: LENGTH ":" BYTES ",". None at the end, or when it is none."""
        digits = b""
        while (byte := self.rfile.read(1)) != b":":
            if not byte.isdigit() or len(digits) > 6:
                return None
            digits += byte
        size = int(digits or b"0")
        body = self.rfile.read(size + 1) if size <= MOST_BYTES else b""
        return body[:-1].decode("utf-8", "replace") if len(body) == size + 1 and body.endswith(b",") else None

    def send(self, text):
        body = text.encode()
        self.wfile.write(b"%d:%s," % (len(body), body))


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main():
    place, path = sys.argv[1:]
    if place.startswith("/"):
        if os.path.exists(place):
            os.unlink(place)
        server = UnixServer(place, Connection)
        # Who may connect is who may write to the socket.
        os.chmod(place, 0o660)
    else:
        host, _, port = place.rpartition(":")
        server = TcpServer((host, int(port)), Connection)
    server.maps = Maps(path)
    print(f"answering at {place}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
