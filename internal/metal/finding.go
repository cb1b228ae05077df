package metal

// Level is how a check of the set-up came out.
type Level string

const (
	Fine Level = "OK"
	Warn Level = "WARN" // it works, and may soon not, or not for all
	Fail Level = "FAIL" // it does not work
)

// Finding is one check of the set-up and how it came out. Said is a sentence; Do says what to do about it, and
// is "" where all is well.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Said  string `json:"said"`
	Do    string `json:"do,omitempty"`
}
