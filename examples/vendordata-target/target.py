#!/usr/bin/python3
"""A vendordata target that answers signed requests only: what is needed to write one of your own, in Python without packages.

    target.py ADDRESS PORT KEYFILE HOST[:PORT]...

KEYFILE has lines NAME:BASE64, as the servers' vendordata_dynamic_signing_keyfile; the hosts are what this target is called in their
vendordata_dynamic_targets. Put TLS in front of it: user data and answers are nobody else's business.
"""
import base64
import hashlib
import hmac
import http.server
import json
import sys
import threading
import time

WINDOW = 300  # seconds that a request's time may be from ours
MOST_NONCES = 100_000
LARGEST_BODY = 2 << 20


class Refused(Exception):
    """Why a request is not answered."""


class Verifier:
    """Checks the header X-Ingot-Signature. It may be used by many threads."""

    def __init__(self, keyfile, hosts):
        self.keyfile, self.hosts = keyfile, {h.lower() for h in hosts}
        self.seen, self.lock = {}, threading.Lock()

    def keys(self):
        """All keys are good; the file is read for each request, so that a key can be replaced without a restart."""
        out = {}
        with open(self.keyfile, encoding='utf-8') as lines:
            for line in map(str.strip, lines):
                if line and not line.startswith('#'):
                    name, _, value = line.partition(':')
                    out[name] = base64.b64decode(value, validate=True)
        return out

    def check(self, method, host, path, headers, body):
        """headers are all of the name X-Ingot-Signature; path is that of the request line, with its query, as it came."""
        if len(headers) != 1:
            raise Refused('want one signature')
        fields = [f.strip().partition('=')[::2] for f in headers[0].split(',')]
        part = dict(fields)
        if len(fields) != 5 or set(part) != {'version', 'key', 'time', 'nonce', 'signature'} or part['version'] != '1':
            raise Refused('no signature of version 1')
        if host.lower() not in self.hosts:  # or another target could pass on to us what it was sent
            raise Refused('for another host')
        key = self.keys().get(part['key'])
        if key is None:
            raise Refused('unknown key')
        text = '\n'.join(['ingot-vendordata-1', method, host.lower(), path, part['time'], part['nonce'], hashlib.sha256(body).hexdigest()])
        right = hmac.new(key, text.encode(), 'sha256').hexdigest()
        if not hmac.compare_digest(right.encode(), part['signature'].encode()):
            raise Refused('wrong signature')
        self.once(int(part['time']), part['nonce'])  # only what is signed well comes here

    def once(self, at, nonce):
        now = time.time()
        if abs(now - at) > WINDOW:
            raise Refused('signed at another time: is a clock wrong?')
        with self.lock:
            if nonce in self.seen:
                raise Refused('seen before')
            if len(self.seen) >= MOST_NONCES:
                self.seen = {n: until for n, until in self.seen.items() if until >= now}
            if len(self.seen) >= MOST_NONCES:
                raise Refused('too many requests')
            self.seen[nonce] = at + WINDOW


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = 30

    def do_POST(self):
        length = int(self.headers.get('Content-Length') or 0)
        if not 0 <= length <= LARGEST_BODY:
            return self.answer(413, {})
        body = self.rfile.read(length)
        try:
            self.server.verifier.check('POST', self.headers.get('Host', ''), self.path, self.headers.get_all('X-Ingot-Signature', []), body)
        except Refused as why:
            return self.answer(401, {'error': str(why)})
        instance = json.loads(body)
        self.answer(200, {'hostname': instance['hostname'], 'roles': [r for r in instance['boot-roles'].split(',') if r]})

    def answer(self, status, document):
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


if __name__ == '__main__':
    if len(sys.argv) < 5:
        sys.exit('usage: target.py ADDRESS PORT KEYFILE HOST[:PORT]...')
    address, port, keyfile, *hosts = sys.argv[1:]
    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    server.verifier = Verifier(keyfile, hosts)
    try:
        if not server.verifier.keys():
            sys.exit(f'{keyfile}: there is no key in it')
    except (OSError, ValueError) as why:
        sys.exit(f'{keyfile}: {why}')
    server.serve_forever()
