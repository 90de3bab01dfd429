package align

import (
	"fmt"
	"io"
	"time"

	"banter/internal/parquetfile"
	"banter/internal/problem"
	"banter/stdlib/chat"

	"github.com/parquet-go/parquet-go"
)

// pairRow is a Pair as a row of a table. Times are milliseconds of stream time.
type pairRow struct {
	Stream        string  `parquet:"stream_id,dict"`
	MessageID     string  `parquet:"message_id"`
	AuthorHash    string  `parquet:"author_hash,dict"`
	Speech        string  `parquet:"speech,dict"`
	SpeechStartMS int64   `parquet:"speech_start_ms,delta"`
	SpeechEndMS   int64   `parquet:"speech_end_ms,delta"`
	FirstWord     int64   `parquet:"first_word,delta"`
	LastWord      int64   `parquet:"last_word,delta"`
	Response      string  `parquet:"response"`
	MessageTimeMS int64   `parquet:"message_time_ms,delta"`
	LagMS         int64   `parquet:"lag_ms,delta"`
	DelayMS       int64   `parquet:"delay_ms,delta"`
	Confidence    float64 `parquet:"confidence"`
	FDR           float64 `parquet:"fdr"`
	Roles         int32   `parquet:"author_roles"`
	Emotes        int32   `parquet:"emotes"`
	EmoteOnly     bool    `parquet:"emote_only"`
	Deleted       bool    `parquet:"deleted"`
	ReplyTo       string  `parquet:"reply_to,optional"`
	Bits          int64   `parquet:"bits"`
	SpeechProb    float64 `parquet:"speech_prob"`
}

// tableRows is how many rows go through memory at a time.
const tableRows = 1024

// WritePairs writes pairs as one Parquet table. Equal pairs give equal bytes. Times keep their milliseconds.
func WritePairs(w io.Writer, pairs []Pair) error {
	t := parquet.NewGenericWriter[pairRow](w, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("banter", "1", "pairs"), parquet.MaxRowsPerRowGroup(1<<18))
	rows := make([]pairRow, 0, tableRows)
	for len(pairs) > 0 {
		n := min(len(pairs), tableRows)
		rows = rows[:0]
		for i := range pairs[:n] {
			p := &pairs[i]
			rows = append(rows, pairRow{
				Stream: p.Stream, MessageID: p.MessageID, AuthorHash: p.AuthorHash, Speech: p.Speech, SpeechStartMS: p.SpeechStart.Milliseconds(),
				SpeechEndMS: p.SpeechEnd.Milliseconds(), FirstWord: int64(p.FirstWord), LastWord: int64(p.LastWord), Response: p.Response,
				MessageTimeMS: p.MessageTime.Milliseconds(), LagMS: p.Lag.Milliseconds(), DelayMS: p.Delay.Milliseconds(), Confidence: p.Confidence,
				FDR: p.FDR, Roles: int32(p.AuthorRoles), Emotes: int32(p.Emotes), EmoteOnly: p.EmoteOnly, Deleted: p.Deleted, ReplyTo: p.ReplyTo,
				Bits: int64(p.Bits), SpeechProb: p.SpeechProb,
			})
		}
		if _, err := t.Write(rows); err != nil {
			return &problem.Error{Op: "write pairs", Err: err}
		}
		pairs = pairs[n:]
	}
	if err := t.Close(); err != nil {
		return &problem.Error{Op: "write pairs", Err: err}
	}
	return nil
}

// ReadPairs reads the table that WritePairs wrote.
func ReadPairs(r io.ReaderAt, size int64) ([]Pair, error) { return ReadFirst(r, size, maxPairs) }

const maxPairs = 1 << 30

// ReadFirst reads the first n pairs of the table that WritePairs wrote, and not much more.
func ReadFirst(r io.ReaderAt, size int64, n int) (pairs []Pair, err error) {
	broken := func(err error) error {
		return &problem.Error{Op: "read pairs", Err: err, Fix: "make the table again: it is damaged or not a table of pairs"}
	}
	defer func() { // the library panics on some damaged files
		if p := recover(); p != nil {
			pairs, err = nil, broken(fmt.Errorf("damaged Parquet data: %v", p))
		}
	}()
	f, err := parquetfile.Open(r, size)
	if err != nil {
		return nil, broken(err)
	}
	t := parquet.NewGenericReader[pairRow](f)
	defer t.Close()
	if all := t.NumRows(); all < 0 || all > maxPairs {
		return nil, broken(fmt.Errorf("%d rows", all))
	}
	rows := make([]pairRow, tableRows)
	for len(pairs) < n {
		got, err := t.Read(rows[:min(n-len(pairs), len(rows))])
		for i := range rows[:got] {
			q := &rows[i]
			pairs = append(pairs, Pair{
				Stream: q.Stream, MessageID: q.MessageID, AuthorHash: q.AuthorHash, Speech: q.Speech, SpeechStart: milliseconds(q.SpeechStartMS),
				SpeechEnd: milliseconds(q.SpeechEndMS), FirstWord: int(q.FirstWord), LastWord: int(q.LastWord), Response: q.Response,
				MessageTime: milliseconds(q.MessageTimeMS), Lag: milliseconds(q.LagMS), Delay: milliseconds(q.DelayMS), Confidence: q.Confidence,
				FDR: q.FDR, AuthorRoles: chat.Roles(q.Roles), Emotes: int(q.Emotes), EmoteOnly: q.EmoteOnly, Deleted: q.Deleted, ReplyTo: q.ReplyTo,
				Bits: int(q.Bits), SpeechProb: q.SpeechProb,
			})
		}
		if err == io.EOF {
			return pairs, nil
		}
		if err != nil {
			return nil, broken(err)
		}
	}
	return pairs, nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
