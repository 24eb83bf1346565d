#!/usr/bin/env python3
"""A hook for Posthorn's filters of the kind `http`, with nothing but Python's standard library.

    usage: http-hook.py PORT SECRETFILE

Posthorn posts an event as JSON, and gets a verdict as JSON (docs/manual/filters.md, "HTTP"). This hook

  - refuses recipients below `refused.example`,
  - adds a field to mail that names how many recipients it has,
  - puts mail into quarantine that carries an attachment called *.exe.

Settings for it:

    filters:
      hook:
        http:
          servers: http://127.0.0.1:8025/
          stages: [rcpt, message]
          content: multipart
          secret-file: /etc/posthorn/hook.secret
    filtered-by: [hook]
"""
import base64, collections, email, email.policy, hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES = 50 * 1024 * 1024
TOLERANCE_S = 300
# Ids of the last questions: one that comes again is a replay.
seen = collections.OrderedDict()


def key_of(secret):
    return base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()


def is_genuine(key, headers, body):
    """The signature of Standard Webhooks: HMAC-SHA256 over id, time and body; the time is close, the id is new."""
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    wanted = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    given = [part[3:] for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    if not any(hmac.compare_digest(base64.b64encode(wanted).decode(), one) for one in given):
        return False
    if not at.isdigit() or abs(time.time() - int(at)) > TOLERANCE_S or id in seen:
        return False
    seen[id] = at
    while len(seen) > 10_000:
        seen.popitem(last=False)
    return True


def parts_of(content_type, body):
    """The event, and the mail where it came along."""
    if content_type.startswith("application/json"):
        return json.loads(body), None
    form = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    event, message = form.get_payload()
    return json.loads(event.get_payload(decode=True)), message.get_payload(0)


def verdict(event, mail):
    if event["event"] == "rcpt":
        if event["recipient"]["address"].endswith(".refused.example"):
            return {"verdict": "refuse", "reply": {"code": 550, "status": "5.7.1", "text": "Nobody writes there"}}
        return {}
    if event["event"] == "message":
        names = [part.get_filename("") for part in mail.walk()] if mail is not None else []
        if any(name.lower().endswith(".exe") for name in names):
            return {"verdict": "quarantine", "because": "an attachment that is a program"}
        count = len(event["mail"]["recipients"])
        return {"edits": [{"edit": "add-field", "name": "X-Recipients", "value": str(count)}], "tags": ["hooked"]}
    return {}


class Hook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > MOST_BYTES:
            self.close_connection = True
            return self.answer(413, {})
        body = self.rfile.read(length)
        if not is_genuine(self.server.key, self.headers, body):
            return self.answer(401, {})
        self.answer(200, verdict(*parts_of(self.headers.get("content-type", ""), body)))

    def answer(self, status, what):
        text = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Hook)
    with open(sys.argv[2]) as file:
        server.key = key_of(file.readline().rstrip("\n"))
    print("listening", flush=True)
    server.serve_forever()
