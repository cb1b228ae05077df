package lab

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/lab/bmc"
	"ingot/lab/vswitch"
)

// faultCommand plants faults in a BMC while the lab runs.
func faultCommand() *cobra.Command {
	var dir string
	var remove bool
	cmd := &cobra.Command{
		Use: "fault MACHINE [FAULT[:TIMES]]...", Args: cobra.MinimumNArgs(1),
		Short: "Plant faults in a machine's BMC, or show those that are planted",
		Long: "Plants faults in a machine's BMC in place of those that were planted. With TIMES a fault heals after it has struck\n" +
			"that often. Without a fault, those that are planted are shown. The faults:\n\n  " + strings.Join(bmc.FaultNames(), "\n  ") +
			"\n\nThe machine \"switch\" is the lab's switch, with these:\n\n  " + strings.Join(vswitch.FaultNames(), "\n  "),
		Example: "  ingot lab fault m1 503-then-ok:5\n  ingot lab fault m1 setting-ignored\n  ingot lab fault m1 --clear",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := parseFaults(args[1:])
			if err != nil {
				return err
			}
			l, err := openDir(dir)
			if err != nil {
				return err
			}
			if args[0] == "switch" {
				return l.switchFaults(cmd.Context(), cmd.OutOrStdout(), list, remove)
			}
			m, err := l.Machine(args[0])
			if err != nil {
				return err
			}
			if remove || len(list) > 0 {
				if err := m.SetFaults(cmd.Context(), list...); err != nil {
					return err
				}
			}
			planted, err := m.Faults(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if len(planted) == 0 {
				fmt.Fprintf(out, "the BMC of %s has no faults\n", m.Name)
			}
			for _, f := range planted {
				if f.Times > 0 {
					fmt.Fprintf(out, "%s, %d more times\n", f.Name, f.Times)
				} else {
					fmt.Fprintln(out, f.Name)
				}
			}
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&remove, "clear", false, "heal the BMC")
	return cmd
}

// parseFaults reads names with or without how often they strike; whether there are such faults is the BMC's to say.
func parseFaults(args []string) ([]bmc.Fault, error) {
	list := []bmc.Fault{}
	for _, a := range args {
		name, times, counted := strings.Cut(a, ":")
		f := bmc.Fault{Name: name}
		if counted {
			n, err := strconv.Atoi(times)
			if err != nil || n < 1 {
				return nil, fault.New(fault.Invalid, "%q: after the colon goes how often the fault strikes, a number above 0.", a)
			}
			f.Times = n
		}
		list = append(list, f)
	}
	return list, nil
}
