package align

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"banter/internal/parquetfile"
	"banter/internal/problem"

	"github.com/parquet-go/parquet-go"
)

// Label is what a person says of one pair: that its message does, or does not, answer the speech of its window.
type Label struct {
	Stream    string
	MessageID string
	FirstWord int // of the window that the person saw; -1 where the table does not say
	Right     bool
}

// Bounds of a table of labels.
const (
	maxLabels     = 10_000_000
	maxLabelBytes = 1 << 30
)

// labelRow is a Label as a row of a Parquet table.
type labelRow struct {
	Stream    string `parquet:"stream_id"`
	MessageID string `parquet:"message_id"`
	FirstWord *int64 `parquet:"first_word,optional"`
	Right     bool   `parquet:"right"`
}

// ReadLabels reads labels from CSV with a header line, from Parquet, or from the lines of a review queue, each a JSON object
// with a member "right" more. The columns are stream_id (or stream), message_id and right (yes or no, true or false, 1 or 0; in
// Parquet and JSON a boolean), and, where the window matters, first_word; others are not read. Where nobody has said whether a
// row is right, it is none.
func ReadLabels(r io.ReaderAt, size int64) ([]Label, error) {
	if size > maxLabelBytes {
		return nil, &problem.Error{Op: "read labels", Err: fmt.Errorf("%d bytes: at most %d are read", size, maxLabelBytes)}
	}
	head := make([]byte, 4)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, &problem.Error{Op: "read labels", Err: err}
	}
	switch {
	case string(head[:n]) == "PAR1":
		return readLabelTable(r, size)
	case bytes.HasPrefix(head[:n], []byte("{")):
		return readReviewed(io.NewSectionReader(r, 0, size))
	}
	return readLabelLines(io.NewSectionReader(r, 0, size))
}

// WriteLabels writes labels as CSV.
func WriteLabels(w io.Writer, labels []Label) error {
	c := csv.NewWriter(w)
	lines := [][]string{{"stream_id", "message_id", "first_word", "right"}}
	for _, l := range labels {
		first := ""
		if l.FirstWord >= 0 {
			first = strconv.Itoa(l.FirstWord)
		}
		right := "no"
		if l.Right {
			right = "yes"
		}
		lines = append(lines, []string{l.Stream, l.MessageID, first, right})
	}
	if err := c.WriteAll(lines); err != nil {
		return &problem.Error{Op: "write labels", Err: err}
	}
	return nil
}

func readLabelLines(r io.Reader) ([]Label, error) {
	fail := func(at string, err error) ([]Label, error) {
		return nil, &problem.Error{Op: "read labels", At: at, Err: err, Fix: "want CSV with the columns stream_id, message_id and right, and for windows first_word"}
	}
	c := csv.NewReader(r)
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the table is empty")
		}
		return fail("", err)
	}
	column := map[string]int{"first_word": -1}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(string(bytes.TrimPrefix([]byte(name), []byte("\xef\xbb\xbf")))))
		if name == "stream" {
			name = "stream_id"
		}
		if at, ok := column[name]; ok && at >= 0 {
			return fail("line 1", fmt.Errorf("the column %q comes twice", name))
		}
		column[name] = i
	}
	for _, name := range []string{"stream_id", "message_id", "right"} {
		if _, ok := column[name]; !ok {
			return fail("line 1", fmt.Errorf("there is no column %q", name))
		}
	}
	var out []Label
	for {
		row, err := c.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return fail("", err)
		}
		line, _ := c.FieldPos(0)
		at := fmt.Sprintf("line %d", line)
		if len(out) == maxLabels {
			return fail(at, fmt.Errorf("more than %d labels", maxLabels))
		}
		said := strings.TrimSpace(row[column["right"]])
		if said == "" {
			continue // not judged yet
		}
		l := Label{Stream: strings.Clone(row[column["stream_id"]]), MessageID: strings.Clone(row[column["message_id"]]), FirstWord: -1}
		switch strings.ToLower(said) {
		case "yes", "y", "true", "t", "1":
			l.Right = true
		case "no", "n", "false", "f", "0":
		default:
			return fail(at, fmt.Errorf("right is %q: want yes or no, or nothing where nobody has judged yet", said))
		}
		if i := column["first_word"]; i >= 0 && strings.TrimSpace(row[i]) != "" {
			if l.FirstWord, err = strconv.Atoi(strings.TrimSpace(row[i])); err != nil || l.FirstWord < 0 {
				return fail(at, fmt.Errorf("first_word is %q: want the number of a word", row[i]))
			}
		}
		out = append(out, l)
	}
}

// reviewed is a row of a review queue that somebody judged. Its id ends with the window's first word.
type reviewed struct {
	ID        string `json:"id"`
	Stream    string `json:"stream"`
	StreamID  string `json:"stream_id"`
	MessageID string `json:"message_id"`
	FirstWord *int   `json:"first_word"`
	Right     *bool  `json:"right"`
}

// maxLabelLine bounds a line of a review queue.
const maxLabelLine = 1 << 20

func readReviewed(r io.Reader) ([]Label, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLabelLine)
	var out []Label
	n := 0
	fail := func(err error) ([]Label, error) {
		return nil, &problem.Error{Op: "read labels", At: fmt.Sprintf("line %d", n), Err: err,
			Fix: `want the lines of a review queue, each with "right": true or false`}
	}
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var q reviewed
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fail(err)
		}
		if q.Right == nil {
			continue
		}
		l := Label{cmp.Or(q.Stream, q.StreamID), q.MessageID, -1, *q.Right}
		if word, ok := strings.CutPrefix(q.ID, l.Stream+"/"+l.MessageID+"/"); ok && q.FirstWord == nil {
			if first, err := strconv.Atoi(word); err == nil {
				q.FirstWord = &first
			}
		}
		if q.FirstWord != nil {
			if l.FirstWord = *q.FirstWord; l.FirstWord < 0 {
				return fail(fmt.Errorf("first_word is %d: want the number of a word", l.FirstWord))
			}
		}
		if len(out) == maxLabels {
			return fail(fmt.Errorf("more than %d labels", maxLabels))
		}
		out = append(out, l)
	}
	if err := lines.Err(); err != nil {
		n++
		return fail(err)
	}
	return out, nil
}

func readLabelTable(r io.ReaderAt, size int64) (labels []Label, err error) {
	broken := func(err error) ([]Label, error) {
		return nil, &problem.Error{Op: "read labels", Err: err, Fix: "want a Parquet table with stream_id and message_id (texts) and right (a boolean)"}
	}
	defer func() { // the library panics on some damaged files
		if p := recover(); p != nil {
			labels, err = broken(fmt.Errorf("damaged Parquet data: %v", p))
		}
	}()
	f, err := parquetfile.Open(r, size)
	if err != nil {
		return broken(err)
	}
	for _, name := range []string{"stream_id", "message_id", "right"} {
		if _, ok := f.Schema().Lookup(name); !ok {
			return broken(fmt.Errorf("there is no column %q", name))
		}
	}
	t := parquet.NewGenericReader[labelRow](f)
	defer t.Close()
	if n := t.NumRows(); n < 0 || n > maxLabels {
		return broken(fmt.Errorf("%d rows: at most %d labels are read", n, maxLabels))
	}
	rows := make([]labelRow, tableRows)
	for {
		got, err := t.Read(rows)
		for _, q := range rows[:got] {
			l := Label{q.Stream, q.MessageID, -1, q.Right}
			if q.FirstWord != nil {
				if *q.FirstWord < 0 || *q.FirstWord > 1<<40 {
					return broken(fmt.Errorf("row %d: first_word is %d: want the number of a word", len(labels)+1, *q.FirstWord))
				}
				l.FirstWord = int(*q.FirstWord)
			}
			labels = append(labels, l)
		}
		if err == io.EOF {
			return labels, nil
		}
		if err != nil {
			return broken(err)
		}
	}
}

// judged is a labelled pair.
type judged struct {
	pair  int // index into the pairs
	right bool
}

// matchLabels finds the pair of each label. Labels of pairs that are not here, or whose window begins elsewhere now, are counted
// and left out; two that contradict one another are refused.
func matchLabels(pairs []Pair, labels []Label) (found []judged, unmatched int, err error) {
	type key struct{ stream, message string }
	at := map[key][]int{}
	for i := range pairs {
		k := key{pairs[i].Stream, pairs[i].MessageID}
		at[k] = append(at[k], i)
	}
	said := map[int]bool{}
	for _, l := range labels {
		hit := -1
		for _, i := range at[key{l.Stream, l.MessageID}] {
			if l.FirstWord >= 0 && l.FirstWord != pairs[i].FirstWord {
				continue
			}
			if hit >= 0 {
				return nil, 0, &problem.Error{Op: "match labels", At: l.Stream + ", message " + l.MessageID, Err: errors.New("several pairs have this message"),
					Fix: "say which by the column first_word"}
			}
			hit = i
		}
		if hit < 0 {
			unmatched++
			continue
		}
		if before, ok := said[hit]; ok {
			if before != l.Right {
				return nil, 0, &problem.Error{Op: "match labels", At: l.Stream + ", message " + l.MessageID, Err: errors.New("it is labelled right and wrong"),
					Fix: "settle which it is, and keep one line"}
			}
			continue
		}
		said[hit] = l.Right
		found = append(found, judged{hit, l.Right})
	}
	slices.SortFunc(found, func(a, b judged) int { return a.pair - b.pair })
	return found, unmatched, nil
}
