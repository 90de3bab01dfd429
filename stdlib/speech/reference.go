package speech

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"banter/internal/problem"
)

// ReadReference reads words.json, a JSON array of what was really said: {"word", "start", "end"} with times in seconds
// of stream time. Where "sentence" is given too, each sentence becomes a segment.
func ReadReference(r io.Reader) (*Transcript, error) {
	fail := func(err error) (*Transcript, error) {
		var p *problem.Error
		if errors.As(err, &p) {
			return nil, &problem.Error{Op: "read reference words", At: p.At, Err: p.Err, Fix: p.Fix}
		}
		return nil, &problem.Error{Op: "read reference words", Err: err}
	}
	data, err := readLimited(r)
	if err != nil {
		return fail(err)
	}
	var rows []struct {
		Sentence int      `json:"sentence"`
		Word     string   `json:"word"`
		Start    *float64 `json:"start"`
		End      *float64 `json:"end"`
	}
	if err := decodeJSON(data, &rows); err != nil {
		return fail(err)
	}
	if len(rows) == 0 {
		return fail(errors.New("there are no words in it"))
	}
	t := &Transcript{Model: "reference"}
	sentence := 0
	for i, row := range rows {
		if row.Start == nil || row.End == nil || row.Word == "" {
			return fail(fmt.Errorf("entry %d lacks its word, start or end", i+1))
		}
		start, ok := seconds(*row.Start)
		end, ok2 := seconds(*row.End)
		if !ok || !ok2 || end < start {
			return fail(fmt.Errorf("entry %d goes from %v to %v seconds", i+1, *row.Start, *row.End))
		}
		if i == 0 || row.Sentence != sentence {
			sentence = row.Sentence
			t.Segments = append(t.Segments, Segment{Start: start, First: i, NoSpeech: -1})
		}
		s := len(t.Segments) - 1
		t.Words = append(t.Words, Word{Text: row.Word, Start: start, End: end, Prob: -1, Segment: s, Timed: true})
		t.Segments[s].End, t.Segments[s].Last = end, i+1
	}
	return t, nil
}

// maxSeconds bounds times in files: a century would still be right, an overflow would not.
const maxSeconds = 1e9

// seconds converts a file's time, rounded to the microsecond, and says whether it is one.
func seconds(s float64) (time.Duration, bool) {
	if !(math.Abs(s) <= maxSeconds) {
		return 0, false
	}
	return time.Duration(math.Round(s*1e6)) * time.Microsecond, true
}

// maxFile bounds an imported file in bytes; a transcript of ten hours with all details is below a quarter of it.
const maxFile = 256 << 20

func readLimited(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d MiB", maxFile>>20)
	}
	return data, nil
}
