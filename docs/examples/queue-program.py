#!/usr/bin/python3
"""A queue for Posthorn, kept in an SQLite database: queue.store.process.command: [queue-program.py, FILE].

It speaks the protocol of docs/manual/queue-process.md: a JSON object on each line, questions on standard input, answers on
standard output. All questions that wait are worked through in one transaction, and answered when that is on the disk.
Only Python's own library is used.
"""

import base64
import json
import os
import sqlite3
import sys

MOST_ATTEMPTS = 100  # Of an envelope; older ones are forgotten.
MOST_GROUP = 500  # Questions in one transaction.

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, message TEXT, numbered INT, file TEXT, bytes INT, body BLOB);
CREATE TABLE IF NOT EXISTS envelopes (message TEXT, n INT, envelope TEXT, progress TEXT, PRIMARY KEY (message, n))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (message TEXT, n INT, number INTEGER PRIMARY KEY, attempt TEXT);
CREATE INDEX IF NOT EXISTS attempts_of ON attempts (message, n, number);
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID;
"""


class Refused(Exception):
    """The batch cannot be done, and nothing of it was."""


def as_text(value):
    return json.dumps(value, separators=(",", ":"))


def settle(path):
    """Writes a file over itself and syncs it: what a failed sync lost is still read, and later syncs pass over it."""
    if not os.path.exists(path):
        return
    with open(path, "r+b", buffering=0) as file:
        at = 0
        while portion := os.pread(file.fileno(), 1 << 20, at):
            at += os.pwrite(file.fileno(), portion, at)
        os.fsync(file.fileno())


class Queue:
    def __init__(self, path):
        # Else a power cut right behind the copy below could leave a newer database under an older log.
        settle(f"{path}-wal")
        self.db = sqlite3.connect(path, isolation_level=None)
        # One program at a time; and FULL: a COMMIT that returns is on the disk.
        self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.executescript(SCHEMA)
        # What a program before us left in the log is made durable before anything is added to it.
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.messages = self.one("SELECT count(*) FROM messages")[0]
        self.envelopes = self.one("SELECT count(*) FROM envelopes")[0]

    def one(self, sql, *values):
        return self.db.execute(sql, values).fetchone()

    # What changes the queue.

    def apply(self, operations):
        """All of a batch, or nothing of it."""
        before = self.messages, self.envelopes
        files = {}
        self.db.execute("SAVEPOINT batch")
        try:
            for operation in operations:
                getattr(self, "do_" + operation["do"])(operation, files)
        except Refused:
            self.db.execute("ROLLBACK TO batch")
            self.messages, self.envelopes = before
            raise
        finally:
            self.db.execute("RELEASE batch")
        gone = [name for message, name in files.items() if not self.one("SELECT 1 FROM messages WHERE id = ?", message)]
        return {"messages": self.messages, "envelopes": self.envelopes, "files": gone}

    def do_commit(self, operation, _files):
        message, body = operation["message"], operation["body"]
        if self.one("SELECT 1 FROM messages WHERE id = ?", message["id"]):
            raise Refused(f"message {message['id']} is in the queue already")
        content = base64.b64decode(body["base64"]) if "base64" in body else None
        values = (message["id"], as_text(message), 0, body.get("file"), body["bytes"], content)
        self.db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", values)
        self.messages += 1
        self.insert(message["id"], operation["envelopes"])

    def do_add(self, operation, _files):
        """More envelopes for a message that is there. Numbers rise: none comes twice, also not after its removal."""
        found = self.one("SELECT numbered FROM messages WHERE id = ?", operation["message"])
        if not found or min(each["n"] for each in operation["envelopes"]) <= found[0]:
            raise Refused(f"message {operation['message']} is gone, or has had envelopes of these numbers")
        self.insert(operation["message"], operation["envelopes"])

    def insert(self, message, envelopes):
        rows = [(message, each["n"], as_text(each["envelope"]), as_text(each["progress"])) for each in envelopes]
        self.db.executemany("INSERT INTO envelopes VALUES (?, ?, ?, ?)", rows)
        numbered = max(each["n"] for each in envelopes)
        self.db.execute("UPDATE messages SET numbered = max(numbered, ?) WHERE id = ?", (numbered, message))
        self.envelopes += len(rows)

    def do_update(self, operation, _files):
        """What is gone stays gone: no error."""
        place = operation["message"], operation["n"]
        sql = "UPDATE envelopes SET progress = ? WHERE message = ? AND n = ?"
        if self.db.execute(sql, (as_text(operation["progress"]), *place)).rowcount == 0 or "attempt" not in operation:
            return
        self.db.execute("INSERT INTO attempts VALUES (?, ?, NULL, ?)", (*place, as_text(operation["attempt"])))
        newest = "SELECT number FROM attempts WHERE message = ? AND n = ? ORDER BY number DESC LIMIT ?"
        sql = f"DELETE FROM attempts WHERE message = ? AND n = ? AND number NOT IN ({newest})"
        self.db.execute(sql, (*place, *place, MOST_ATTEMPTS))

    def do_remove(self, operation, files):
        place = operation["message"], operation["n"]
        if self.db.execute("DELETE FROM envelopes WHERE message = ? AND n = ?", place).rowcount == 0:
            return
        self.envelopes -= 1
        self.db.execute("DELETE FROM attempts WHERE message = ? AND n = ?", place)
        if self.one("SELECT 1 FROM envelopes WHERE message = ?", operation["message"]):
            return
        # With its last envelope goes the message; its body file is the server's, who hears that nobody names it now.
        file = self.one("SELECT file FROM messages WHERE id = ?", operation["message"])[0]
        self.db.execute("DELETE FROM messages WHERE id = ?", (operation["message"],))
        self.messages -= 1
        if file is not None:
            files[operation["message"]] = file

    def do_note(self, operation, _files):
        if operation["text"] is None:
            self.db.execute("DELETE FROM notes WHERE key = ?", (operation["key"],))
        else:
            self.db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (operation["key"], operation["text"]))

    # What only looks.

    MESSAGE = "m.message, m.numbered, m.file, m.bytes"

    @staticmethod
    def told(message, numbered, file, size):
        body = {"bytes": size} if file is None else {"file": file, "bytes": size}
        return {"message": json.loads(message), "numbered": numbered, "body": body}

    def scan(self, limit, behind=("", 0), message=None):
        """Envelopes in the order of message and number, behind the given one."""
        # Whom the newest attempt came to that came to anybody.
        relay = """SELECT json_extract(attempt, '$.relay') AS relay FROM attempts AS a
            WHERE a.message = e.message AND a.n = e.n AND relay <> 'none' ORDER BY number DESC LIMIT 1"""
        sql = f"""SELECT {self.MESSAGE}, e.n, e.envelope, e.progress, ({relay})
            FROM envelopes AS e JOIN messages AS m ON m.id = e.message
            WHERE (e.message, e.n) > (?, ?) {"" if message is None else "AND e.message = ?"}
            ORDER BY e.message, e.n LIMIT ?"""
        values = [*behind, *([] if message is None else [message]), limit + 1]
        found = self.db.execute(sql, values).fetchall()
        rows = [
            {
                **self.told(*row[:4]),
                "n": row[4],
                "envelope": json.loads(row[5]),
                "progress": json.loads(row[6]),
                "relay": row[7],
            }
            for row in found[:limit]
        ]
        return {"rows": rows, "more": len(found) > limit}

    def message(self, message):
        found = self.one(f"SELECT {self.MESSAGE} FROM messages AS m WHERE id = ?", message)
        return found and self.told(*found)

    def body(self, message):
        found = self.one("SELECT file, bytes, body FROM messages WHERE id = ?", message)
        if not found:
            return None
        file, size, body = found
        return {"base64": base64.b64encode(body).decode()} if file is None else {"file": file, "bytes": size}

    def envelopes_(self, ids):
        rows = []
        for message, n in ids:
            found = self.one("SELECT envelope, progress FROM envelopes WHERE message = ? AND n = ?", message, n)
            if found:
                envelope, progress = map(json.loads, found)
                rows.append({"message": message, "n": n, "envelope": envelope, "progress": progress})
        return rows

    def attempts(self, message, n):
        sql = "SELECT attempt FROM attempts WHERE message = ? AND n = ? ORDER BY number"
        return [json.loads(attempt) for (attempt,) in self.db.execute(sql, (message, n))]

    def notes(self, prefix, limit, behind=""):
        sql = "SELECT key, text FROM notes WHERE key > ? AND substr(key, 1, length(?)) = ? ORDER BY key LIMIT ?"
        return [{"key": key, "text": text} for key, text in self.db.execute(sql, (behind, prefix, prefix, limit))]

    def files(self, names):
        # The message's id is the last part of its body file's name.
        sql = "SELECT 1 FROM messages WHERE id = ? AND file = ?"
        return [name for name in names if self.one(sql, name.rpartition("/")[2], name)]


QUESTIONS = {
    "apply": Queue.apply,
    "scan": Queue.scan,
    "message": Queue.message,
    "body": Queue.body,
    "envelopes": Queue.envelopes_,
    "attempts": Queue.attempts,
    "notes": Queue.notes,
    "files": Queue.files,
}


def answer(queue, question):
    number, what = question.pop("id"), question.pop("do")
    try:
        return {"id": number, "ok": QUESTIONS[what](queue, **question)}
    except Refused as problem:
        return {"id": number, "refused": str(problem)}


def work(queue, questions):
    """One transaction for all of them. What was answered is on the disk, or was never promised."""
    queue.db.execute("BEGIN IMMEDIATE")
    before = queue.messages, queue.envelopes
    try:
        answers = [answer(queue, question) for question in questions]
        queue.db.execute("COMMIT")
        return answers
    except sqlite3.OperationalError as problem:
        if "full" not in str(problem):
            # At once, without closing the database: that would copy a log which the disk may not have. The server
            # starts us again.
            print(f"the queue: {problem}", file=sys.stderr, flush=True)
            os._exit(1)
        # Nothing of it was done; the server may ask for a part of it again.
        if queue.db.in_transaction:
            queue.db.execute("ROLLBACK")
        queue.messages, queue.envelopes = before
        return None


def lines_of_input():
    """Portions of lines: all that are there, at least one."""
    rest = b""
    while True:
        portion = os.read(0, 1 << 20)
        if not portion:
            return
        *lines, rest = (rest + portion).split(b"\n")
        if lines:
            yield lines


def say(value):
    sys.stdout.write(as_text(value) + "\n")


def main():
    portions = lines_of_input()
    hello, *early = next(portions)
    if json.loads(hello)["version"] != 1:
        sys.exit("this is for version 1 of the protocol")
    os.umask(0o077)
    try:
        queue = Queue(sys.argv[1])
    except (sqlite3.Error, OSError) as problem:
        say({"error": f"{sys.argv[1]}: {problem}"})
        return
    say(
        {
            "hello": "posthorn-queue",
            "version": 1,
            "program": "queue-program.py, SQLite",
            "messages": queue.messages,
            "envelopes": queue.envelopes,
        }
    )
    sys.stdout.flush()
    waiting = early
    while True:
        for at in range(0, len(waiting), MOST_GROUP):
            group = waiting[at : at + MOST_GROUP]
            answers = work(queue, map(json.loads, group))
            if answers is None:
                # One after the other: removals, which make room, may still find theirs.
                for line in group:
                    question = json.loads(line)
                    alone = work(queue, [dict(question)])
                    say(alone[0] if alone else {"id": question["id"], "full": "the disk is full"})
            else:
                for each in answers:
                    say(each)
            sys.stdout.flush()
        waiting = next(portions, None)
        if waiting is None:
            queue.db.close()
            return


if __name__ == "__main__":
    main()
