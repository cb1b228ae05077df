package store

import (
	"cmp"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Status is how an operation stands.
type Status string

// An operation is live until it is done or failed; then it never changes again.
const (
	Live   Status = "live"
	Done   Status = "done"
	Failed Status = "failed"
)

// Operation is one row of work: a verb on a node, walked step by step.
type Operation struct {
	ID          int64
	UUID        string
	NodeID      int64
	Exclusive   bool // holds the node: one live exclusive operation per node
	Verb        string
	Plan        string
	PlanVersion int
	Status      Status
	Step        int
	StepName    string
	StepsTotal  int // of the plan; 0 until it was first worked on
	Undoing     bool
	Record      []byte // JSON, the plan's memory; sealed at rest
	Tried       bool   // the at-most-once effect of the current step was begun
	Attempts    int    // of the current step
	LeaseOwner  string
	LeaseUntil  time.Time
	Generation  int64 // grows with every claim; a write must match it
	DueAt       time.Time
	WaitingFor  string // the event that makes it due, "" for none
	WaitingWhy  string // a phrase for people
	StepSince   time.Time
	StepLimit   time.Time // zero: none
	Abort       string    // who asked to stop it; "" for nobody
	Error       string
	Result      string // JSON, what a request that waits is answered with
	Progress    string // JSON of metal.Progress
	RequestedBy string
	RequestID   string
	Driver      string
	Group       string // conductor group
	Worker      string // the process that walked it last, as the conductor names it; "" before the first
	CreatedAt   time.Time
	FinishedAt  time.Time
	TraceParent string     // W3C traceparent of the request, "" for untraced
	Slot        metal.Slot // of which it holds one while it lives, "" for none; as Queued it is not what SaveOperation writes
	Queued      bool       // it stands in line for the slot

	Broken        error  // why Record could not be opened: one bad row must not stop the claims of others
	TakenOverFrom string // set by Claim: the holder whose lease ran out, "" for none
}

// ErrFenced is what a write under a lost lease gives: another holder has the operation, or it ended.
var ErrFenced = errors.New("the operation's lease was lost: another holder has it")

var opColumns = []string{"uuid", "node_id", "exclusive", "verb", "plan", "plan_version", "status", "step",
	"step_name", "steps_total", "undoing", "record", "tried", "attempts", "lease_owner", "lease_until", "generation", "due_at",
	"waiting_for", "waiting_why", "step_since", "step_limit", "abort", "error", "result", "progress",
	"requested_by", "request_id", "driver", "grp", "worker", "created_at", "finished_at", "trace_parent", "slot", "queued"}

var opSelect = "SELECT id, " + strings.Join(opColumns, ", ") + " FROM operations "

// CreateOperation writes intent: the operation is due at once. A second live exclusive operation of a node
// is fault.Locked.
func (t *Tx) CreateOperation(o *Operation) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	o.Status, o.CreatedAt, o.StepSince = Live, now, now
	if o.DueAt.IsZero() {
		o.DueAt = now
	}
	if o.Record == nil {
		o.Record = []byte("{}")
	}
	values := t.opValues(o)
	query := "INSERT INTO operations (" + strings.Join(opColumns, ", ") + ") VALUES (" + marks(len(values)) + ") RETURNING id"
	if err := t.insert(&o.ID, query, values...); err != nil {
		return err
	}
	t.wrote = true
	return nil
}

// Scope is what a conductor serves: nodes of these drivers in this conductor group.
type Scope struct {
	Drivers []string
	Group   string
}

func (s Scope) where() (string, []any) {
	args := []any{s.Group}
	for _, d := range s.Drivers {
		args = append(args, d)
	}
	return "status = 'live' AND grp = ? AND driver IN (" + marks(len(s.Drivers)) + ")", args
}

// Claim takes the oldest due operation in the scope for owner, or gives nil. From now on, until the lease
// ends, every write of this operation must carry its generation.
func (t *Tx) Claim(owner string, scope Scope, lease time.Duration) (*Operation, error) {
	served, args := scope.where()
	o, err := t.opRow(t.row(opSelect+"WHERE "+served+" AND due_at <= {{now}} AND lease_until <= {{now}} ORDER BY due_at, id LIMIT 1 {{skip}}", args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now, err := t.Now()
	if err != nil {
		return nil, err
	}
	o.TakenOverFrom = o.LeaseOwner // a holder that let go left this empty
	o.LeaseOwner, o.LeaseUntil = owner, now.Add(lease)
	o.Generation++
	_, err = t.exec("UPDATE operations SET lease_owner = ?, lease_until = ?, generation = ? WHERE id = ?",
		owner, micros(o.LeaseUntil), o.Generation, o.ID)
	return o, err
}

// Renew makes the lease last longer; ErrFenced if it was lost. It also tells whether somebody asked to
// stop the operation.
func (t *Tx) Renew(o *Operation, lease time.Duration) (abort string, err error) {
	now, err := t.Now()
	if err != nil {
		return "", err
	}
	until := now.Add(lease)
	err = t.row(`UPDATE operations SET lease_until = ? WHERE id = ? AND generation = ? AND status = 'live'
		AND lease_until > {{now}} RETURNING abort`, micros(until), o.ID, o.Generation).Scan(&abort)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrFenced
	}
	if err == nil {
		o.LeaseUntil = until
	}
	return abort, err
}

// SaveOperation writes the operation under its lease; ErrFenced if the lease was lost. An empty LeaseOwner
// gives the lease back; otherwise the lease stays as it was last renewed. Abort belongs to the callers: it is not
// written but read, so that the holder learns of one that came since the lease was renewed.
func (t *Tx) SaveOperation(o *Operation) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	if o.Status != Live && o.FinishedAt.IsZero() {
		o.FinishedAt = now
	}
	err = t.returned(&o.Abort, `UPDATE operations SET status = ?, step = ?, step_name = ?, steps_total = ?, undoing = ?, record = ?, tried = ?,
		attempts = ?, lease_owner = ?, lease_until = CASE WHEN ? = '' THEN 0 ELSE lease_until END, due_at = ?, waiting_for = ?, waiting_why = ?, step_since = ?,
		step_limit = ?, error = ?, result = ?, progress = ?, finished_at = ?, plan = ?, plan_version = ?, worker = ?
		WHERE id = ? AND generation = ? AND status = 'live' RETURNING abort`,
		string(o.Status), o.Step, o.StepName, o.StepsTotal, number(o.Undoing), t.sealRecord(o), number(o.Tried), o.Attempts, o.LeaseOwner,
		o.LeaseOwner, micros(o.DueAt), o.WaitingFor, o.WaitingWhy, micros(o.StepSince), micros(o.StepLimit),
		o.Error, t.sealResult(o), o.Progress, micros(o.FinishedAt), o.Plan, o.PlanVersion, o.Worker, o.ID, o.Generation)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrFenced
	}
	t.wrote = t.wrote || err == nil
	return err
}

// HurryOperation makes an operation due now that was saved in this transaction.
func (t *Tx) HurryOperation(o *Operation) error {
	_, err := t.exec("UPDATE operations SET due_at = {{now}} WHERE id = ? AND generation = ? AND due_at > {{now}}", o.ID, o.Generation)
	return err
}

// DropLeases lets the leases of a holder that is known to be dead run out now. Its unfinished operations
// still name it, so that whoever claims them can tell a take-over.
func (t *Tx) DropLeases(owner string) error {
	_, err := t.exec("UPDATE operations SET lease_until = 0, due_at = {{now}} WHERE status = 'live' AND lease_owner = ?", owner)
	t.wrote = true
	return err
}

// Wake makes the node's live operation due if it waits for event.
func (t *Tx) Wake(nodeID int64, event string) error {
	res, err := t.exec("UPDATE operations SET due_at = {{now}} WHERE node_id = ? AND status = 'live' AND waiting_for = ? AND due_at > {{now}}", nodeID, event)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	t.wrote = t.wrote || n > 0
	return err
}

// WakeOrphans makes operations due that wait for event and whose last worker is gone.
func (t *Tx) WakeOrphans(event string, gone func(worker string) bool) error {
	rows, err := t.rows("SELECT DISTINCT worker FROM operations WHERE status = 'live' AND waiting_for = ? AND due_at > {{now}}", event)
	if err != nil {
		return err
	}
	defer rows.Close()
	var orphaned []string
	for rows.Next() {
		var worker string
		if err := rows.Scan(&worker); err != nil {
			return err
		}
		if gone(worker) {
			orphaned = append(orphaned, worker)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := rows.Close(); err != nil {
		return err
	}
	for _, worker := range orphaned {
		_, err := t.exec("UPDATE operations SET due_at = {{now}} WHERE status = 'live' AND waiting_for = ? AND worker = ? AND due_at > {{now}}", event, worker)
		if err != nil {
			return err
		}
		t.wrote = true
	}
	return nil
}

// AskAbort asks the node's live exclusive operation to stop and makes it due.
func (t *Tx) AskAbort(nodeID int64, who string) error {
	_, err := t.exec("UPDATE operations SET abort = ?, due_at = {{now}} WHERE node_id = ? AND status = 'live' AND exclusive = 1", who, nodeID)
	t.wrote = true
	return err
}

// Supersede ends the node's live exclusive operation from outside: whoever holds it is fenced from now on.
func (t *Tx) Supersede(nodeID int64, why string) error {
	_, err := t.exec(`UPDATE operations SET status = 'failed', error = ?, generation = generation + 1, finished_at = {{now}},
		lease_owner = '', lease_until = 0 WHERE node_id = ? AND status = 'live' AND exclusive = 1`, why, nodeID)
	t.wrote = true
	return err
}

// LiveOperation gives the node's live exclusive operation, or nil.
func (t *Tx) LiveOperation(nodeID int64) (*Operation, error) {
	return t.opOrNil("WHERE node_id = ? AND status = 'live' AND exclusive = 1", nodeID)
}

// LastOperation gives the node's newest exclusive operation, live or not, or nil.
func (t *Tx) LastOperation(nodeID int64) (*Operation, error) {
	return t.opOrNil("WHERE node_id = ? AND exclusive = 1 ORDER BY id DESC LIMIT 1", nodeID)
}

// Operation finds one by UUID; fault.NotFound if there is none.
func (t *Tx) Operation(uuid string) (*Operation, error) {
	o, err := t.opOrNil("WHERE uuid = ?", uuid)
	if err == nil && o == nil {
		return nil, fault.New(fault.NotFound, "Operation %s could not be found.", uuid)
	}
	return o, err
}

// NextDue is when the next live operation in the scope is due and free to claim; zero: never.
func (t *Tx) NextDue(scope Scope) (time.Time, error) {
	served, args := scope.where()
	var us sql.NullInt64
	err := t.row("SELECT MIN(CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END) FROM operations WHERE "+served, args...).Scan(&us)
	return fromMicros(us.Int64), err
}

// PruneOperations forgets what ended before the limit and was not exclusive: answered requests.
func (t *Tx) PruneOperations(before time.Time) error {
	_, err := t.exec(`DELETE FROM operations WHERE id IN (SELECT id FROM operations
		WHERE status <> 'live' AND exclusive = 0 AND finished_at < ? {{skip}})`, micros(before)) // others prune too
	return err
}

func (t *Tx) opOrNil(where string, args ...any) (*Operation, error) {
	o, err := t.opRow(t.row(opSelect+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return o, err
}

func (t *Tx) sealRecord(o *Operation) []byte { return t.db.key.seal(o.Record, o.UUID, "record") }

// sealedText begins a sealed value in a column of text. JSON does not begin so.
const sealedText = "sealed:"

// sealResult is the answer for its column: a machine's answer may tell how to log in somewhere.
func (t *Tx) sealResult(o *Operation) string {
	if o.Result == "" {
		return ""
	}
	return sealedText + base64.StdEncoding.EncodeToString(t.db.key.seal([]byte(o.Result), o.UUID, "result"))
}

// openResult turns the column into the answer. Those of older servers are not sealed.
func (t *Tx) openResult(o *Operation) error {
	text, sealed := strings.CutPrefix(o.Result, sealedText)
	if !sealed {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		raw, err = t.db.key.open(raw, o.UUID, "result")
	}
	o.Result = string(raw)
	return err
}

func (t *Tx) opValues(o *Operation) []any {
	return []any{o.UUID, o.NodeID, number(o.Exclusive), o.Verb, o.Plan, o.PlanVersion, string(o.Status), o.Step, o.StepName, o.StepsTotal,
		number(o.Undoing), t.sealRecord(o), number(o.Tried), o.Attempts, o.LeaseOwner, micros(o.LeaseUntil), o.Generation,
		micros(o.DueAt), o.WaitingFor, o.WaitingWhy, micros(o.StepSince), micros(o.StepLimit), o.Abort, o.Error, t.sealResult(o),
		o.Progress, o.RequestedBy, o.RequestID, o.Driver, o.Group, o.Worker, micros(o.CreatedAt), micros(o.FinishedAt), o.TraceParent, string(o.Slot), number(o.Queued)}
}

func (t *Tx) opRow(row scanner) (*Operation, error) {
	var (
		o                                            Operation
		record                                       []byte
		leased, due, since, limit, created, finished int64
	)
	err := row.Scan(&o.ID, &o.UUID, &o.NodeID, &o.Exclusive, &o.Verb, &o.Plan, &o.PlanVersion, &o.Status, &o.Step, &o.StepName, &o.StepsTotal,
		&o.Undoing, &record, &o.Tried, &o.Attempts, &o.LeaseOwner, &leased, &o.Generation, &due, &o.WaitingFor,
		&o.WaitingWhy, &since, &limit, &o.Abort, &o.Error, &o.Result, &o.Progress, &o.RequestedBy, &o.RequestID, &o.Driver, &o.Group, &o.Worker,
		&created, &finished, &o.TraceParent, &o.Slot, &o.Queued)
	if err != nil {
		return nil, err
	}
	o.LeaseUntil, o.DueAt, o.StepSince, o.StepLimit = fromMicros(leased), fromMicros(due), fromMicros(since), fromMicros(limit)
	o.CreatedAt, o.FinishedAt = fromMicros(created), fromMicros(finished)
	if o.Record, err = t.db.key.open(record, o.UUID, "record"); fault.KindOf(err) == fault.Unavailable {
		return nil, err // the key is there, and not read yet
	} else if err != nil {
		o.Broken = fmt.Errorf("operation %s: %w", o.UUID, err)
	}
	if err := t.openResult(&o); err != nil {
		o.Broken = cmp.Or(o.Broken, fmt.Errorf("the answer of operation %s: %w", o.UUID, err))
	}
	return &o, nil
}
