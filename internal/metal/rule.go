package metal

import "time"

// InspectionRule says what to do with a node when its inspection has found something: if all conditions hold, the
// actions run, in order.
type InspectionRule struct {
	ID          int64
	UUID        string
	Description string
	Priority    int    // 0–9999; higher first
	Phase       string // "main", the only one
	Sensitive   bool   // its conditions and actions are not shown, and it may see what is masked from others
	Conditions  []RuleOp
	Actions     []RuleOp
	CreatedAt   time.Time
	UpdatedAt   time.Time // zero until the first update
}

// RuleOp is one condition or action of a rule.
type RuleOp struct {
	Op       string `json:"op"`                 // its name; a condition's may begin with "!"
	Args     any    `json:"args"`               // an object, or a list in the order of the operation's arguments
	Loop     any    `json:"loop,omitempty"`     // a list or an object: once for each, as {item}
	Multiple string `json:"multiple,omitempty"` // of a condition in a loop: any, all, first or last; "" is any
}

// PhaseMain is the phase of rules that run when an inspection has read everything.
const PhaseMain = "main"
