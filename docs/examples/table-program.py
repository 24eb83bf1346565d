#!/usr/bin/python3
"""A table for Posthorn (and for OpenSMTPD 7.8, as "proc:"): lookups answered from a text file.

    table-program.py /etc/posthorn/people

Each line of the file is a service, a key and a value, separated by tabs: "alias", "postmaster", "joe, jane". Without a value the
key is in a list. The file is read again when it changed. Only Python's own library is used.
"""

import os
import sys

SERVICES = ("addrname", "alias", "credentials", "domain", "mailaddr", "netaddr", "source", "string", "userinfo")


class People:
    """The file's content, as of its last change."""

    def __init__(self, path):
        self.path = path
        self.mark = None
        self.entries = {}
        self.turns = {}

    def refresh(self):
        found = os.stat(self.path)
        mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        if mark == self.mark:
            return
        entries = {}
        with open(self.path, encoding="utf-8") as file:
            for line in file:
                service, key, value = (*line.rstrip("\n").split("\t", 2), "", "")[:3]
                entries.setdefault(service, {})[key] = value
        self.entries, self.mark = entries, mark

    def lookup(self, service, key):
        return self.entries.get(service, {}).get(key)

    def fetch(self, service):
        """The next key of a service, beginning anew behind the last one."""
        keys = list(self.entries.get(service, {}))
        if not keys:
            return None
        turn = self.turns.get(service, 0)
        self.turns[service] = turn + 1
        return keys[turn % len(keys)]


def say(line):
    # Flushed each time: whoever asked waits for exactly this line.
    print(line, flush=True)


def answer(people, operation, fields):
    """The result of one request, without its prefix and id."""
    try:
        people.refresh()
        if operation == "update":
            return "ok"
        if operation == "fetch":
            value = people.fetch(fields[0])
        else:
            # Everything behind the id is the key: it may hold a "|".
            value = people.lookup(fields[0], "|".join(fields[2:]))
    except OSError as problem:
        return f"error|{problem}"
    if value is None:
        return "not-found"
    return "found" if operation == "check" else f"found|{value}"


def main():
    people = People(sys.argv[1])
    # The handshake: settings as "config|name|value" up to "config|ready", then what we can answer.
    for line in sys.stdin:
        if line.rstrip("\n") == "config|ready":
            break
    for service in SERVICES:
        say(f"register|{service}")
    say("register|ready")
    # table|0.1|TIME|TABLE|OPERATION|..., the last field being all that is left.
    for line in sys.stdin:
        word, version, _time, _table, operation, *fields = line.rstrip("\n").split("|")
        if word != "table" or version != "0.1":
            sys.exit(f"unknown request: {line!r}")
        request = fields[0] if operation == "update" else fields[1]
        say(f"{operation}-result|{request}|{answer(people, operation, fields)}")


if __name__ == "__main__":
    main()
