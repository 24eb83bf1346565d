#!/usr/bin/python3
"""A filter for Posthorn (and for OpenSMTPD, as "proc-exec"): refuses mail with words that nobody wants in its subject, and says in
a field of each other mail who sent it.

    opensmtpd-filter.py "cheap watches" "lottery"

It speaks smtpd-filters(7): lines with fields between bars. Sessions come mixed, so everything is kept by session. Only Python's own
library is used.
"""

import sys


class Session:
    """What is known of one client, and of the mail that it is sending."""

    def __init__(self):
        self.name = "unknown"
        self.header = []
        self.in_header = True
        self.unwanted = None

    def begin(self):
        self.header, self.in_header, self.unwanted = [], True, None


class Filter:
    def __init__(self, words, say):
        self.words = [word.lower() for word in words]
        self.say = say
        self.sessions = {}

    def hear(self, line):
        stream, *fields = line.split("|")
        if stream == "config" and fields == ["ready"]:
            for event in ("link-connect", "tx-begin", "link-disconnect"):
                self.say(f"register|report|smtp-in|{event}")
            for phase in ("data-line", "commit"):
                self.say(f"register|filter|smtp-in|{phase}")
            self.say("register|ready")
        elif stream == "report":
            _version, _time, _subsystem, event, session, *rest = fields
            self.report(event, session, rest)
        elif stream == "filter":
            _version, _time, _subsystem, phase, session, token, *rest = fields
            self.ask(phase, session, token, "|".join(rest))

    def report(self, event, session, rest):
        if event == "link-connect":
            self.sessions[session] = Session()
            self.sessions[session].name = rest[0]
        elif event == "tx-begin":
            self.sessions[session].begin()
        elif event == "link-disconnect":
            self.sessions.pop(session, None)

    def ask(self, phase, session, token, text):
        known = self.sessions[session]
        if phase == "commit":
            answer = "proceed" if known.unwanted is None else f"reject|550 5.7.1 nobody wants {known.unwanted}"
            self.say(f"filter-result|{session}|{token}|{answer}")
            return
        # Lines of content come with dots doubled, as in DATA, and go back so; the header is kept until all of it is here.
        out = [text]
        if known.in_header:
            known.header.append(text)
            if text not in ("", "."):
                return
            known.in_header = False
            out = [f"X-Came-From: {known.name}", *known.header]
            known.unwanted = self.unwanted_in(known.header)
        for line in out:
            self.say(f"filter-dataline|{session}|{token}|{line}")

    def unwanted_in(self, header):
        subjects = [line.lower() for line in header if line.lower().startswith("subject:")]
        return next((word for word in self.words if any(word in subject for subject in subjects)), None)


def main():
    def say(line):
        sys.stdout.write(line + "\n")

    # Content may be of any character set: bytes go through as they are.
    sys.stdin.reconfigure(encoding="latin-1", newline="\n")
    sys.stdout.reconfigure(encoding="latin-1", newline="\n")
    filter_ = Filter(sys.argv[1:], say)
    for line in sys.stdin:
        filter_.hear(line.rstrip("\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
