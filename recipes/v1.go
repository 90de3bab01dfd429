// Recipe v1: from recorded streams and their chat to a trained and evaluated adapter.
//
//	recipe run recipes/v1.go
//	recipe run recipes/v1.go --param streams=my/streams --param model=base.en --param base=smollm2-135m
//	go run recipes/v1.go -param fdr=0.05
package main

import "banter/dsl"

// Params are what a run may change.
type Params struct {
	Streams string  `help:"folder with one sub-folder a stream: a recording and a chat log"`
	Model   string  `help:"speech model: a name of recipe models list, or a path"`
	FDR     float64 `help:"false discovery rate that pairs may have at most"`
	Base    string  `help:"base model: a name of recipe models list, or a path"`
	Rank    int     `help:"rank of the LoRA adapter"`
	Rate    float64 `help:"peak learning rate; 0.002 suits the micro model, real ones want about 0.0002"`
	Epochs  int     `help:"passes over the training rows"`
	Seed    int64   `help:"seed of everything random"`
}

func main() {
	p := Params{
		Streams: "testdata/streams",
		Model:   "asr-micro",
		FDR:     0.1,
		Base:    "lm-micro",
		Rank:    16,
		Rate:    0.002,
		Epochs:  15,
		Seed:    1,
	}
	dsl.Main(&p, func() {
		// What was said and what was written, in one time base.
		streams := dsl.Load(p.Streams)
		words := dsl.Transcribe(streams, dsl.Model(p.Model))

		// Which message answers which speech, and how sure that is.
		pairs := dsl.Align(words)
		good := dsl.Filter(pairs,
			dsl.FDR.AtMost(p.FDR),
			dsl.NoBots(),
			dsl.NoCommands(),
			dsl.NoLinks(),
			dsl.NoReplies(),
			dsl.NoDeleted(),
			dsl.MaskPII(),
		)

		// Rows with their lineage, the same holdout in every run.
		rows := dsl.Dataset(good)

		// A persona for the base model, and what it learned.
		tuned := dsl.Train(rows, dsl.Base(p.Base), dsl.LoRA(dsl.Rank(p.Rank)), dsl.LearningRate(p.Rate), dsl.Epochs(p.Epochs), dsl.Seed(p.Seed))
		report := dsl.Eval(tuned, dsl.Holdout(rows))
		samples := dsl.Sample(tuned, dsl.PromptsFrom(dsl.Holdout(rows), 10), dsl.Seed(p.Seed))

		dsl.Export(good, "pairs.parquet")
		dsl.Export(rows, "dataset")
		dsl.Export(tuned, "adapter", dsl.Measured(report))
		dsl.Report("report.html", streams, words, pairs, good, rows, tuned, report, samples)
		dsl.Gate(report, dsl.PerplexityFalls(0.05), dsl.RankingHolds())
	})
}
