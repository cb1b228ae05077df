package policy

// Target is the object that a rule is judged on, as far as check strings can know it. An empty field is an owner or
// lessee that is not set: it matches nobody. A port, a port group or a volume connector is judged on its node.
type Target struct {
	NodeOwner       string // node.owner
	NodeLessee      string // node.lessee
	AllocationOwner string // allocation.owner
	RunbookOwner    string // runbook.owner
}

// targets is what check strings may ask of an object, by name.
var targets = map[string]func(*Target) string{
	"node.owner":       func(t *Target) string { return t.NodeOwner },
	"node.lessee":      func(t *Target) string { return t.NodeLessee },
	"allocation.owner": func(t *Target) string { return t.AllocationOwner },
	"runbook.owner":    func(t *Target) string { return t.RunbookOwner },
}
