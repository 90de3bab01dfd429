package align

// Summary is what an alignment found out about its streams, without the pairs. As JSON it has one form for one content.
type Summary struct {
	Options Options         `json:"options"`
	Streams []StreamSummary `json:"streams"`
}

// StreamSummary is what was found out about one stream. Durations are nanoseconds in JSON.
type StreamSummary struct {
	Stream      string      `json:"stream"`
	Pairs       int         `json:"pairs"`
	Lag         []LagPiece  `json:"lag"`
	Delay       Delay       `json:"delay"`
	FDR         []FDRPoint  `json:"fdr"`
	Diagnostics Diagnostics `json:"diagnostics"`
}

// Summary leaves the pairs out.
func (r *Result) Summary() Summary {
	s := Summary{Options: r.Options, Streams: []StreamSummary{}}
	for _, st := range r.Streams {
		s.Streams = append(s.Streams, StreamSummary{st.Stream, len(st.Pairs), st.Lag, st.Delay, st.FDR, st.Diagnostics})
	}
	return s
}

// Pairs are the pairs of all streams, in order of streams and of message times.
func (r *Result) Pairs() []Pair {
	var all []Pair
	for _, st := range r.Streams {
		all = append(all, st.Pairs...)
	}
	return all
}
