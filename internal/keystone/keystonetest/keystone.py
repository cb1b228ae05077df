"""Keystone of Debian's package on loopback, one thread for each connection. Arguments: port, configuration."""
import socketserver
import sys
import wsgiref.simple_server as simple

from keystone.server.wsgi import initialize_public_application


class Server(socketserver.ThreadingMixIn, simple.WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Quiet(simple.WSGIRequestHandler):
    def log_message(self, *args):
        pass


port = int(sys.argv[1])
sys.argv[1:] = ['--config-file', sys.argv[2]]
with simple.make_server('127.0.0.1', port, initialize_public_application(), Server, Quiet) as server:
    server.serve_forever()
