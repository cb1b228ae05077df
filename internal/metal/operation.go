package metal

import "time"

// Operation is one operation as an operator sees it: what Why tells, and who asked, who holds it until when,
// and how it ended. Nothing in it is secret. An operation that ended keeps the step it ended at; it has no
// limit, no holder and waits for nothing.
type Operation struct {
	UUID     string `json:"uuid"`
	Status   string `json:"status"`              // "live", "done" or "failed"
	NodeName string `json:"node_name,omitempty"` // the node's name, if it has one; Node is its UUID
	Why
	Driver      string     `json:"driver"`
	Group       string     `json:"conductor_group"`
	Exclusive   bool       `json:"exclusive"`             // it holds the node; else it only asks something of it
	Event       string     `json:"event,omitempty"`       // the event that makes it due, a word such as "heartbeat"
	DueAt       *time.Time `json:"due_at,omitempty"`      // when it is looked at next
	LeaseUntil  *time.Time `json:"lease_until,omitempty"` // of Holder
	Worker      string     `json:"worker,omitempty"`      // the process that worked on it last
	Abort       string     `json:"abort,omitempty"`       // who asked to stop it
	Error       string     `json:"error,omitempty"`       // why it failed, or why it is being undone
	RequestedBy string     `json:"requested_by,omitempty"`
	RequestID   string     `json:"request_id,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
	FinishedAt  *time.Time `json:"finished_at,omitempty"`
}
