package dsl

// What a value says of itself as text, so that fmt.Println in a recipe shows what a notebook shows, and not its insides.

func plainOf(v interface{ MimeBundle() map[string]any }) string {
	text, _ := v.MimeBundle()["text/plain"].(string)
	return text
}

// String is the table of the streams.
func (s Streams) String() string { return plainOf(s) }

// String is the table of what was said in each stream.
func (t Transcripts) String() string { return plainOf(t) }

// String is how many pairs there are, and the first of them.
func (p Pairs) String() string { return plainOf(p) }

// String is what each rule took.
func (f Filtered) String() string { return plainOf(f) }

// String is how the rows are split, and the first of them.
func (r Rows) String() string { return plainOf(r) }

// String is the record of the training.
func (t Tuned) String() string { return plainOf(t) }

// String is the answers side by side.
func (s Samples) String() string { return plainOf(s) }

// String is the score of each stream and of all.
func (sc Scored) String() string { return plainOf(sc) }
