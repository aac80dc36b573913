package main

import "github.com/spf13/cobra"

func newBench(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure duet",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchLink(s))
	cmd.AddCommand(newBenchRmcat(s))
	cmd.AddCommand(newBenchProxy(s))
	cmd.AddCommand(newBenchWire(s))
	cmd.AddCommand(newBenchSignaling(s))
	cmd.AddCommand(newBenchRecord(s))
	cmd.AddCommand(newBenchLoad(s))
	cmd.AddCommand(newBenchFloor(s))
	cmd.AddCommand(newBenchSoak(s))
	return cmd
}
