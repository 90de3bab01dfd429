// Command bench-align measures alignment where the truth is known.
//
//	bench-align                  streams made by stdlib/align/synth, regime by regime, with bootstrap intervals
//	bench-align -streams DIR     a folder of labelled streams, one sub-folder each with chat.json, words.json, truth.json
//	bench-align -speed N         N messages against 0.09 N words: time and memory
//
// The last line of -streams is one JSON object with the scores of the method and of the baselines.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"banter/stdlib/align"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-align:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench-align", flag.ContinueOnError)
	dir := flags.String("streams", "", "score the labelled streams in this folder")
	seeds := flags.Int("seeds", 6, "streams of each regime")
	first := flags.Uint64("first", 30000, "first seed; tuning used those below 30000")
	only := flags.String("only", "", "measure the regimes whose name holds this")
	minutes := flags.Float64("minutes", 20, "length of a stream")
	speed := flags.Int("speed", 0, "measure time and memory with this many messages")
	plots := flags.String("plots", "", "also write plots of all regimes into this folder")
	ranker := flags.String("ranker", "", `what judges content: "logistic" or "trees"; empty is the default`)
	workers := flags.Int("workers", 0, "goroutines; 0 is one a CPU")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *plots != "" && *only != "" {
		return fmt.Errorf("-plots needs all regimes: leave -only out")
	}
	opt := align.Options{Workers: *workers, Ranker: *ranker}
	switch {
	case *dir != "":
		return scoreFolder(ctx, *dir, opt, out)
	case *speed > 0:
		return measureSpeed(ctx, *speed, opt, out)
	}
	return table(ctx, opt, *only, *first, *seeds, *minutes, *plots, out)
}
