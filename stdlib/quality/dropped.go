package quality

import (
	"io"

	"banter/stdlib/align"

	"github.com/parquet-go/parquet-go"
)

// Dropped is a row of the table of what a filter took: enough to find the pair again and to see why it went.
type Dropped struct {
	Stream        string  `parquet:"stream,dict"`
	MessageID     string  `parquet:"message_id"`
	MessageTimeMS int64   `parquet:"message_time_ms"`
	SpeechStartMS int64   `parquet:"speech_start_ms"`
	SpeechEndMS   int64   `parquet:"speech_end_ms"`
	Speech        string  `parquet:"speech"`
	Response      string  `parquet:"response"`
	Confidence    float64 `parquet:"confidence"`
	FDR           float64 `parquet:"fdr"`
	Rule          string  `parquet:"rule,dict"`   // the name of the rule that took it
	Reason        string  `parquet:"reason,dict"` // for people
}

// NewDropped is the row of one pair that a rule took.
func NewDropped(p align.Pair, rule, reason string) Dropped {
	return Dropped{p.Stream, p.MessageID, p.MessageTime.Milliseconds(), p.SpeechStart.Milliseconds(), p.SpeechEnd.Milliseconds(),
		p.Speech, p.Response, p.Confidence, p.FDR, rule, reason}
}

// WriteDropped writes the table as Parquet. Equal rows give equal bytes.
func WriteDropped(w io.Writer, rows []Dropped) error {
	t := parquet.NewGenericWriter[Dropped](w, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("banter", "1", "dropped"))
	if _, err := t.Write(rows); err != nil {
		return err
	}
	return t.Close()
}
