package dsl

var implementations = map[string]string{"load": "x", "transcribe": "x", "align": "x", "filter": "x", "dataset": "x", "score": "x", "plan": "x", "train": "x", "eval": "x", "sample": "x"}
