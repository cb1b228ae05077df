package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Setting is one option of the server as it is in force. A secret's Value is masked.
type Setting struct {
	Section string `json:"section"`
	Option  string `json:"option"`
	Value   string `json:"value"`
	Source  string `json:"source"` // "default", or the file or variable it was read from
}

func (a *app) config() *cobra.Command {
	var file string
	var changed bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Show what is in force and where it came from",
		Long: `Show every option of the server, its value, and where that came from: the default, the file, or an environment
variable INGOT_SECTION__OPTION. The same rules as for serve: an unknown option is an error.`,
		Example: `  ingot config show --config /etc/ingot/ingot.conf
  INGOT_API__PORT=6390 ingot config show --changed`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkFormat(); err != nil {
				return err
			}
			if a.Settings == nil {
				return usagef("this build has no server to configure")
			}
			all, err := a.Settings(file)
			if err != nil {
				return err
			}
			shown := all[:0:0]
			for _, s := range all {
				if !changed || s.Source != "default" {
					shown = append(shown, s)
				}
			}
			return a.print(cmd, shown, func(w io.Writer) {
				var rows [][]string
				for _, s := range shown {
					rows = append(rows, []string{"[" + s.Section + "]", s.Option, s.Value, s.Source})
				}
				table(w, []string{"SECTION", "OPTION", "VALUE", "FROM"}, rows)
				if changed && len(rows) == 0 {
					fmt.Fprintln(w, "everything is at its default")
				}
			})
		},
	}
	show.Flags().StringVar(&file, "config", "", "configuration file, as given to serve")
	show.Flags().BoolVar(&changed, "changed", false, "only what is not at its default")
	return a.group("config", "The server's configuration", show)
}
