package speech

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"banter/internal/parquetfile"
	"banter/internal/problem"
)

// parquetWord is a row of a transcript's table: a word, or a segment without words where the text is null. Each word
// repeats its segment's columns, which compression makes nearly free, so that any tool can group by them.
type parquetWord struct {
	Text            *string  `parquet:"text,optional,zstd"`
	StartMS         *int64   `parquet:"start_ms,optional,zstd"`
	EndMS           *int64   `parquet:"end_ms,optional,zstd"`
	Prob            *float64 `parquet:"prob,optional,zstd"`
	Timed           bool     `parquet:"timed"`
	Segment         int32    `parquet:"segment,delta,zstd"`
	Turn            int32    `parquet:"turn,delta,zstd"`
	SegmentStartMS  int64    `parquet:"segment_start_ms,delta,zstd"`
	SegmentEndMS    int64    `parquet:"segment_end_ms,delta,zstd"`
	SegmentNoSpeech *float64 `parquet:"segment_no_speech,optional,zstd"`
	SegmentGate     string   `parquet:"segment_gate,dict,zstd"`
	SegmentWithheld int32    `parquet:"segment_withheld,zstd"`
}

const (
	metaLanguage = "banter.language"
	metaModel    = "banter.model"
	metaDuration = "banter.duration_ms"
)

// maxRows bounds a table that is read: a year of talk.
const maxRows = 100_000_000

// WriteParquet writes t as one table, a word a row. The same transcript gives the same bytes. Times are kept to the
// millisecond.
func WriteParquet(w io.Writer, t *Transcript) error {
	if err := t.Check(); err != nil {
		return &problem.Error{Op: "write transcript", Err: err}
	}
	out := parquet.NewGenericWriter[parquetWord](w,
		parquet.CreatedBy("banter", "1", "0"),
		parquet.KeyValueMetadata(metaLanguage, t.Language),
		parquet.KeyValueMetadata(metaModel, t.Model),
		parquet.KeyValueMetadata(metaDuration, fmt.Sprint(t.Duration.Milliseconds())),
	)
	for i, s := range t.Segments {
		row := parquetWord{
			Segment: int32(i), Turn: int32(s.Turn), SegmentStartMS: s.Start.Milliseconds(), SegmentEndMS: s.End.Milliseconds(),
			SegmentNoSpeech: known(s.NoSpeech), SegmentGate: s.Gate, SegmentWithheld: int32(s.Withheld),
		}
		if s.First == s.Last {
			if _, err := out.Write([]parquetWord{row}); err != nil {
				return err
			}
		}
		for _, word := range t.Words[s.First:s.Last] {
			start, end := word.Start.Milliseconds(), word.End.Milliseconds()
			row.Text, row.StartMS, row.EndMS, row.Prob, row.Timed = &word.Text, &start, &end, known(word.Prob), word.Timed
			if _, err := out.Write([]parquetWord{row}); err != nil {
				return err
			}
		}
	}
	return out.Close()
}

// known is nil for the -1 that stands for "the source does not say".
func known(p float64) *float64 {
	if p < 0 {
		return nil
	}
	return &p
}

func orUnknown(p *float64) float64 {
	if p == nil {
		return -1
	}
	return *p
}

// ReadParquet reads what [WriteParquet] wrote.
func ReadParquet(r io.ReaderAt, size int64) (t *Transcript, err error) {
	fail := func(err error) (*Transcript, error) {
		return nil, &problem.Error{Op: "read transcript", Err: err, Fix: "make it anew: it is damaged or no transcript"}
	}
	defer func() {
		// The Parquet reader panics on some damaged files.
		if p := recover(); p != nil {
			t, err = fail(fmt.Errorf("the file is damaged: %v", p))
		}
	}()
	file, err := parquetfile.Open(r, size)
	if err != nil {
		return fail(err)
	}
	if file.NumRows() > maxRows {
		return fail(fmt.Errorf("%d rows are too many", file.NumRows()))
	}
	for _, name := range []string{"text", "start_ms", "segment"} {
		if _, ok := file.Schema().Lookup(name); !ok {
			return fail(fmt.Errorf("it has no column %s", name))
		}
	}
	t = new(Transcript)
	t.Language, _ = file.Lookup(metaLanguage)
	t.Model, _ = file.Lookup(metaModel)
	if ms, ok := file.Lookup(metaDuration); ok {
		var n int64
		if _, err := fmt.Sscan(ms, &n); err != nil {
			return fail(fmt.Errorf("the duration %q is no number", ms))
		}
		t.Duration = time.Duration(n) * time.Millisecond
	}
	in := parquet.NewGenericReader[parquetWord](file)
	defer in.Close()
	rows := make([]parquetWord, 1024)
	for {
		clear(rows)
		n, err := in.Read(rows)
		for _, row := range rows[:n] {
			switch next := int32(len(t.Segments)); {
			case row.Segment == next:
				t.Segments = append(t.Segments, Segment{
					Start: time.Duration(row.SegmentStartMS) * time.Millisecond, End: time.Duration(row.SegmentEndMS) * time.Millisecond,
					First: len(t.Words), Last: len(t.Words), Turn: int(row.Turn), NoSpeech: orUnknown(row.SegmentNoSpeech),
					Gate: row.SegmentGate, Withheld: int(row.SegmentWithheld),
				})
			case row.Segment != next-1:
				return fail(fmt.Errorf("segment %d follows segment %d", row.Segment, next-1))
			}
			if row.Text == nil {
				continue
			}
			if row.StartMS == nil || row.EndMS == nil {
				return fail(fmt.Errorf("the word %q has no time", *row.Text))
			}
			t.Words = append(t.Words, Word{
				Text: *row.Text, Start: time.Duration(*row.StartMS) * time.Millisecond, End: time.Duration(*row.EndMS) * time.Millisecond,
				Prob: orUnknown(row.Prob), Segment: int(row.Segment), Timed: row.Timed,
			})
			t.Segments[row.Segment].Last = len(t.Words)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(err)
		}
	}
	if err := t.Check(); err != nil {
		return fail(err)
	}
	return t, nil
}
