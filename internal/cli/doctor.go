package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// diagnosis is what the doctor found: of this host, and of the server if one answers.
type diagnosis struct {
	Endpoint string          `json:"endpoint"`
	Serving  bool            `json:"serving"` // a server answers there
	Host     []metal.Finding `json:"host"`
	Server   []metal.Finding `json:"server"`
}

func (d *diagnosis) worst() (warnings, failures int) {
	for _, list := range [][]metal.Finding{d.Host, d.Server} {
		for _, f := range list {
			switch f.Level {
			case metal.Warn:
				warnings++
			case metal.Fail:
				failures++
			}
		}
	}
	return warnings, failures
}

func (a *app) doctor() *cobra.Command {
	var data, file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is wrong with this set-up, and what to do about it",
		Long: `Look at this host (configuration, data folder, key, disk, clock, ramdisk, ports) and, if a server answers, ask it
what it knows to be wrong: database, conductors, drivers, operations, nodes. Changes nothing. The exit status is 1 if
something does not work; warnings do not change it.`,
		Example: `  ingot doctor
  ingot doctor --data /var/lib/ingot --config /etc/ingot/ingot.conf
  ingot doctor --json`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if asJSON {
				a.format = "json"
			}
			d, err := a.diagnose(cmd.Context(), c, data, file)
			if err != nil {
				return err
			}
			if err := a.print(cmd, d, func(w io.Writer) { tellDiagnosis(w, d) }); err != nil {
				return err
			}
			if _, failures := d.worst(); failures > 0 {
				return &failure{err: fmt.Errorf("%d of the checks failed", failures), code: exitFailure}
			}
			return nil
		}),
	}
	a.online(c)
	c.Flags().StringVarP(&a.format, "output", "o", "table", "print as table, json or yaml")
	c.Flags().BoolVar(&asJSON, "json", false, "short for -o json")
	c.Flags().StringVar(&data, "data", "./ingot-data", "the server's data folder")
	c.Flags().StringVar(&file, "config", "", "the server's configuration file")
	return c
}

// diagnose asks host and server. A server that is not there is no error: what the host tells is worth having.
func (a *app) diagnose(ctx context.Context, c *client.Client, data, file string) (*diagnosis, error) {
	d := &diagnosis{Endpoint: c.Endpoint(), Host: []metal.Finding{}, Server: []metal.Finding{}}
	found, err := c.Doctor(ctx)
	var far *client.Unreachable
	switch {
	case err == nil:
		d.Serving, d.Server = true, found
	case errors.As(err, &far):
	case fault.KindOf(err) == fault.NotFound:
		d.Serving = true
		d.Server = []metal.Finding{{Check: "server", Level: metal.Warn, Said: "The server at " + c.Endpoint() + " has no doctor.", Do: "It is older than this program, or no Ingot."}}
	default:
		return nil, err
	}
	if a.Examine != nil {
		d.Host = a.Examine(ctx, data, file, d.Serving)
	}
	return d, nil
}

func tellDiagnosis(w io.Writer, d *diagnosis) {
	tell := func(head string, list []metal.Finding) {
		fmt.Fprintln(w, oneLine(head))
		for _, f := range list {
			fmt.Fprintf(w, "  %-4s  %s: %s\n", f.Level, oneLine(f.Check), oneLine(f.Said))
			if f.Do != "" && f.Level != metal.Fine {
				fmt.Fprintf(w, "        %s\n", oneLine(f.Do))
			}
		}
	}
	tell("This host", d.Host)
	if d.Serving {
		tell("The server at "+d.Endpoint, d.Server)
	} else {
		fmt.Fprintf(w, "No server answers at %s: what only it knows is not examined.\n", oneLine(d.Endpoint))
	}
	warnings, failures := d.worst()
	fmt.Fprintf(w, "%d failed, %d warnings.\n", failures, warnings)
}
