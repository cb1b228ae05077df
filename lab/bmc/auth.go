package bmc

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

const sessionsPath = "/redfish/v1/SessionService/Sessions"

// maxSessions is how many sessions a BMC keeps. Real ones stop between 4 and 64; a client that does not end
// its sessions must notice here first.
const maxSessions = 16

type session struct {
	id, token string
	used      time.Time
}

// sessions are the logins of the BMC's one user.
type sessions struct {
	limit time.Duration // without a request

	mu   sync.Mutex
	last int
	live []session
}

// open makes a session; false if there are too many.
func (s *sessions) open() (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	if len(s.live) >= maxSessions {
		return session{}, false
	}
	s.last++
	n := session{id: strconv.Itoa(s.last), token: rand.Text(), used: time.Now()}
	s.live = append(s.live, n)
	return n, true
}

// use tells whether a token belongs to a live session, and keeps that alive.
func (s *sessions) use(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.expire(now)
	for i := range s.live {
		if subtle.ConstantTimeCompare([]byte(s.live[i].token), []byte(token)) == 1 {
			s.live[i].used = now
			return true
		}
	}
	return false
}

// end removes a session; false if there is none with this id.
func (s *sessions) end(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.live)
	s.live = slices.DeleteFunc(s.live, func(x session) bool { return x.id == id })
	return len(s.live) < before
}

func (s *sessions) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(time.Now())
	var ids []string
	for _, x := range s.live {
		ids = append(ids, x.id)
	}
	return ids
}

// expire drops what was not used; the lock is held.
func (s *sessions) expire(now time.Time) {
	s.live = slices.DeleteFunc(s.live, func(x session) bool { return now.Sub(x.used) > s.limit })
}

// ExpireSessions ends every session, as a BMC that restarts does.
func (b *BMC) ExpireSessions() {
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	b.sessions.live = nil
}

// Sessions tells how many sessions are open.
func (b *BMC) Sessions() int { return len(b.sessions.ids()) }

// allowed tells whether a request carries a live token or the right password.
func (b *BMC) allowed(r *http.Request) bool {
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		return b.sessions.use(token)
	}
	user, password, ok := r.BasicAuth()
	return ok && b.rightPassword(user, password)
}

func (b *BMC) rightPassword(user, password string) bool {
	u := subtle.ConstantTimeCompare([]byte(user), []byte(b.cfg.User))
	p := subtle.ConstantTimeCompare([]byte(password), []byte(b.cfg.Password))
	return u&p == 1
}

// refuseStranger is the answer to a request without valid credentials.
func (b *BMC) refuseStranger(w http.ResponseWriter) {
	b.counters.add("401")
	w.Header().Set("WWW-Authenticate", `Basic realm="Redfish"`)
	writeProblem(w, problem{http.StatusUnauthorized, "NoValidSession",
		"There is no valid session established with the implementation."})
}

// login is POST on the session collection, the one POST that needs no credentials (DSP0266 §13.3.4).
func (b *BMC) login(r *http.Request) (reply, error) {
	b.counters.add("login")
	var ask struct {
		UserName string
		Password string
	}
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if b.faults.has(WrongPassword) || !b.rightPassword(ask.UserName, ask.Password) {
		b.counters.add("401")
		return reply{}, problem{http.StatusUnauthorized, "ResourceAtUriUnauthorized",
			"While accessing the resource, the service received an authorization error: wrong user name or password."}
	}
	_, full := b.faults.strike(SessionLimit)
	var s session
	ok := !full
	if ok {
		s, ok = b.sessions.open()
	}
	if !ok {
		return reply{}, problem{http.StatusServiceUnavailable, "SessionLimitExceeded",
			"The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation."}
	}
	return reply{status: http.StatusCreated, body: b.sessionDoc(s.id),
		header: map[string]string{"X-Auth-Token": s.token, "Location": sessionsPath + "/" + s.id}}, nil
}

func (b *BMC) logout(r *http.Request) (reply, error) {
	b.counters.add("logout")
	if !b.sessions.end(r.PathValue("id")) {
		return reply{}, notFound(r)
	}
	return reply{status: http.StatusNoContent}, nil
}

func (b *BMC) sessionDoc(id string) doc {
	return doc{"@odata.id": sessionsPath + "/" + id, "@odata.type": "#Session.v1_5_0.Session",
		"Id": id, "Name": "Session " + id, "UserName": b.cfg.User}
}

func (b *BMC) getSession(r *http.Request) (doc, error) {
	id := r.PathValue("id")
	if !slices.Contains(b.sessions.ids(), id) {
		return nil, notFound(r)
	}
	return b.sessionDoc(id), nil
}

func (b *BMC) getSessions(*http.Request) (doc, error) {
	var paths []string
	for _, id := range b.sessions.ids() {
		paths = append(paths, sessionsPath+"/"+id)
	}
	return collection(sessionsPath, "Session", paths...), nil
}

func (b *BMC) getSessionService(*http.Request) (doc, error) {
	return doc{"@odata.id": "/redfish/v1/SessionService", "@odata.type": "#SessionService.v1_1_8.SessionService",
		"Id": "SessionService", "Name": "Session Service", "ServiceEnabled": true,
		"SessionTimeout": int(b.cfg.SessionTimeout.Seconds()), "Sessions": link(sessionsPath)}, nil
}
