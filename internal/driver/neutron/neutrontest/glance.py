"""Glance of Debian's package on loopback, one thread for each connection. Arguments: port, folder of its configuration, the database's URL."""
import os
import socketserver
import sys
import wsgiref.simple_server as simple

import sqlalchemy

from glance.db.sqlalchemy import models

port, folder, database = int(sys.argv[1]), sys.argv[2], sys.argv[3]
models.register_models(sqlalchemy.create_engine(database))
os.environ['OS_GLANCE_CONFIG_DIR'] = folder
sys.argv[1:] = []

from glance.common import wsgi_app


class Server(socketserver.ThreadingMixIn, simple.WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Quiet(simple.WSGIRequestHandler):
    def log_message(self, *args):
        pass


with simple.make_server('127.0.0.1', port, wsgi_app.init_app(), Server, Quiet) as server:
    server.serve_forever()
