package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ingot/internal/client"
	"ingot/internal/metal"
)

func (a *app) nodeWhy() *cobra.Command {
	return &cobra.Command{
		Use:   "why NODE",
		Short: "Tell what a node is doing, what it waits for, and what happens next",
		Example: `  ingot node why rack1-u3
  ingot node why rack1-u3 -o json`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			w, err := c.Why(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, w, func(out io.Writer) {
				for _, s := range whySentences(args[0], w, time.Now()) {
					fmt.Fprintln(out, oneLine(s))
				}
			})
		}),
	}
}

// whySentences tells an answer to why, one sentence a line.
func whySentences(ident string, w *metal.Why, now time.Time) []string {
	out := []string{fmt.Sprintf("Node %s is %s%s.", ident, being(w.State), inBrackets(w.Verb))}
	if w.State == metal.Rescue && w.Step == "" {
		out = append(out, "A rescue system runs on the machine; ingot node unrescue "+ident+" --wait ends it and boots what is installed.")
	}
	if w.Step != "" {
		s := fmt.Sprintf("Step %q", w.Step)
		if w.StepsTotal > 0 {
			s = fmt.Sprintf("Step %d of %d, %q", stepNumber(w), w.StepsTotal, w.Step)
		}
		if w.Plan != "" {
			s += " of plan " + w.Plan
		}
		if w.Undoing {
			s += ", being undone"
		}
		if w.Attempts > 1 {
			s += fmt.Sprintf(", try %d", w.Attempts)
		}
		if w.Holder != "" {
			s += ", held by " + w.Holder
		}
		out = append(out, s+".")
	}
	if w.WaitingFor != "" {
		s := "Waiting for " + w.WaitingFor
		if w.Since != nil {
			s += fmt.Sprintf(" since %s (%s)", clock(*w.Since, now), span(now.Sub(*w.Since)))
		}
		out = append(out, s+".")
	}
	if w.Progress != nil {
		out = append(out, "Progress: "+progressText(w.Progress)+".")
	}
	if w.Limit != nil {
		out = append(out, fmt.Sprintf("The limit of this step is %s (%s left).", clock(*w.Limit, now), span(w.Limit.Sub(now))))
	}
	if w.Next != "" {
		out = append(out, "Next: "+strings.TrimSuffix(w.Next, ".")+".")
	}
	if w.LastError != "" {
		out = append(out, "Last error: "+w.LastError)
	}
	if w.OSInstall != nil {
		out = append(out, installedSentences(w.OSInstall)...)
	}
	if w.VendordataFault != "" {
		out = append(out, "Vendordata: "+w.VendordataFault+" ingot vendordata test --node "+ident+" asks again.")
	}
	return out
}

// being is a state as it stands after "is": of all their names only that of rescue is no such word.
func being(s metal.State) string {
	if s == metal.Rescue {
		return "in rescue"
	}
	return string(s)
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// clock is a moment in the reader's own time; without the date where that is today's.
func clock(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// eventWhat is the third column of the history.
func eventWhat(e metal.HistoryEvent) string {
	out := e.Kind
	if e.Severity == "ERROR" && e.Kind != "error" {
		out += " failed"
	}
	if e.Step != "" && e.Kind != "transition" {
		out += " " + e.Step
	} else if e.Verb != "" && e.Kind != "transition" {
		out += " " + e.Verb
	}
	if e.To != "" {
		out += strings.TrimRight(" "+string(e.From), " ") + " -> " + string(e.To)
	}
	return out
}

// eventWhy is the fourth column: what the third has not said already.
func eventWhy(e metal.HistoryEvent) string {
	if rest, ok := ofStep(e); ok {
		return rest
	}
	return e.Why
}

func (a *app) nodeLogs() *cobra.Command {
	var name string
	var list bool
	c := &cobra.Command{
		Use:   "logs NODE",
		Short: "Print what the agent logged, or what the machine's console showed",
		Long: `Print the newest log of a node: what its agent logged, or what the machine's console showed when a deploy
failed. --list shows which there are.`,
		Example: `  ingot node logs rack1-u3 --list
  ingot node logs rack1-u3
  ingot node logs rack1-u3 --name console > console.txt`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			logs, err := c.Logs(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			slices.Reverse(logs) // newest first, says the server; of equal times too
			slices.SortStableFunc(logs, func(x, y client.Log) int { return x.At.Compare(y.At) })
			if list {
				return a.print(cmd, logs, func(w io.Writer) {
					var rows [][]string
					for _, l := range logs {
						rows = append(rows, []string{l.Name, l.At.Local().Format(time.DateTime), size(l.Size)})
					}
					table(w, []string{"NAME", "WHEN", "SIZE"}, rows)
				})
			}
			l, err := chooseLog(args[0], logs, name)
			if err != nil {
				return err
			}
			return c.LogData(cmd.Context(), args[0], l.Name, logWriter(cmd.OutOrStdout()))
		}),
	}
	c.Flags().StringVar(&name, "name", "", "which log: its name, or a part of it (then the newest of them)")
	c.Flags().BoolVar(&list, "list", false, "list the logs instead")
	return c
}

// chooseLog picks the newest log whose name is, or else has in it, name; logs are oldest first.
func chooseLog(ident string, logs []client.Log, name string) (client.Log, error) {
	if len(logs) == 0 {
		return client.Log{}, &failure{err: fmt.Errorf("node %s has no logs", ident), code: exitNotFound,
			hint: "the agent's log and the console are kept when an operation on the machine fails, but not where it has secret values, which a log might repeat, such as a rescue with a password: " +
				"there ingot node events " + ident + " and the machine's console, with its BMC, tell"}
	}
	var part *client.Log
	for i := len(logs) - 1; i >= 0; i-- {
		if logs[i].Name == name || name == "" {
			return logs[i], nil
		}
		if part == nil && strings.Contains(logs[i].Name, name) {
			part = &logs[i]
		}
	}
	if part == nil {
		return client.Log{}, &failure{err: fmt.Errorf("node %s has no log called %s", ident, name), code: exitNotFound,
			hint: "ingot node logs " + ident + " --list shows which there are"}
	}
	return *part, nil
}

// logWriter cleans what goes to a terminal; a file or a pipe gets the bytes as they are.
func logWriter(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &cleaner{w: w}
	}
	return w
}

// cleaner drops what a console is full of and a terminal would obey: escape sequences (colours, moves of
// the cursor, titles) and control characters. A write may end in the middle of a sequence.
// Source: ECMA-48, 5.4 (control sequences end with a byte from @ to ~) and 5.6 (control strings).
type cleaner struct {
	w     io.Writer
	state int
}

const (
	plainText = iota
	afterEscape
	inSequence // ESC [ … until a byte from @ to ~
	inString   // ESC ] … until BEL or ESC
)

func (c *cleaner) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p))
	for _, b := range p {
		switch {
		case b == 0x1b:
			c.state = afterEscape
		case c.state == afterEscape:
			c.state = plainText
			if b >= ' ' && b <= '/' { // designates a character set: more is to come
				c.state = afterEscape
			} else if b == '[' {
				c.state = inSequence
			} else if b == ']' || b == 'P' || b == '_' || b == '^' {
				c.state = inString
			}
		case c.state == inSequence:
			if b >= '@' && b <= '~' {
				c.state = plainText
			}
		case c.state == inString:
			if b == 0x07 || b == '\n' {
				c.state = plainText
			}
		case b == '\n' || b == '\t' || (b >= 0x20 && b != 0x7f):
			out = append(out, b)
		}
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
