"""A web service behind Debian's keystonemiddleware, one thread for each connection. Arguments: port, Keystone's URL, user, password.

POST on any path is asked about by the middleware; what passes is answered with who the middleware says it is and with the body.
GET /seen gives all that came, in order, with headers, bodies and the status that was answered.
"""
import json
import socketserver
import sys
import threading
import wsgiref.simple_server as simple

from keystonemiddleware import auth_token

port, keystone, user, password = sys.argv[1:5]
seen, lock = [], threading.Lock()


def answer(environ, start):
    who = {name: environ.get('HTTP_X_' + name.upper()) for name in ('user_name', 'project_name', 'roles', 'identity_status', 'service_identity_status')}
    start('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps({'who': who, 'asked': json.loads(environ['ingot.body'])}).encode()]


guarded = auth_token.filter_factory({}, auth_type='password', auth_url=keystone + '/v3', www_authenticate_uri=keystone + '/v3', username=user,
                                    password=password, project_name='service', user_domain_id='default', project_domain_id='default',
                                    service_token_roles_required='true', token_cache_time='-1')(answer)


def application(environ, start):
    if environ['REQUEST_METHOD'] == 'GET':
        start('200 OK', [('Content-Type', 'application/json')])
        with lock:
            return [json.dumps(seen).encode()]
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    environ['ingot.body'] = body.decode()
    headers = {k[5:].lower(): v for k, v in environ.items() if k.startswith('HTTP_')}  # before the middleware adds its own

    def told(status, fields, *rest):
        with lock:
            seen.append({'path': environ['PATH_INFO'], 'status': int(status.split()[0]), 'headers': headers, 'body': body.decode()})
        return start(status, fields, *rest)

    return guarded(environ, told)


class Server(socketserver.ThreadingMixIn, simple.WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Quiet(simple.WSGIRequestHandler):
    def log_message(self, *args):
        pass


with simple.make_server('127.0.0.1', int(port), application, Server, Quiet) as server:
    server.serve_forever()
