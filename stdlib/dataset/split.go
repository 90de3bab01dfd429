package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"banter/stdlib/align"
)

// Meta says where pairs come from.
type Meta struct {
	Recordings map[string]string // SHA-256 of each stream's recording, in hexadecimal, by stream id
	Filters    []string          // canonical forms of the rules that the pairs passed, in order
	Lineage    []string          // keys of the steps that made the pairs, first step first
}

// By is what a holdout is made of.
type By int

const (
	// ByTime holds out blocks of time in every stream. In each run of blocks as long as 1/share, one is held out; which
	// one depends on the stream, the run and the seed alone.
	ByTime By = iota
	// ByStream holds out whole streams, each by a draw of its own. It asks for many streams: of a few, all or none may be
	// held out.
	ByStream
)

// Options says how pairs become rows. The zero value is speech to chat, with a fifth of the time held out.
type Options struct {
	Direction string        // SpeechToChat (also when empty) or ChatToSpeech
	Holdout   float64       // share to hold out, 0..0.5; 0 means 0.2; negative means none
	By        By            // blocks of time, or whole streams
	Block     time.Duration // length of a block of time; 0 means 48 s
	Guard     time.Duration // what lies this near to a held-out block is not trained on; 0 means 2 s
	Seed      uint64        // another seed, another holdout
}

// Canonical is the options with their defaults said aloud, so that options that mean the same are the same.
func (opt Options) Canonical() Options {
	opt.Direction = cmp.Or(opt.Direction, SpeechToChat)
	opt.Holdout = cmp.Or(opt.Holdout, 0.2)
	if opt.Holdout < 0 {
		opt.Holdout = -1
	}
	opt.Block = cmp.Or(opt.Block, 48*time.Second)
	opt.Guard = cmp.Or(opt.Guard, 2*time.Second)
	return opt
}

// Made says what became of the pairs.
type Made struct {
	Pairs   int `json:"pairs"`
	Train   int `json:"train"`
	Holdout int `json:"holdout"`
	Guard   int `json:"guard"` // pairs left out since their speech lies across, or too near to, the edge of a held-out block
}

// FromPairs makes rows in canonical order. A pair's split depends on its stream, its speech's time and the options, never
// on other pairs: as data grows, no row moves from one side to the other. A pair whose speech touches a held-out block
// without lying in it, or comes within Guard of it, would let the model see what it is tested on: it becomes no row, and
// is counted.
func FromPairs(pairs []align.Pair, meta Meta, opt Options) ([]Row, Made, error) {
	made := Made{Pairs: len(pairs)}
	s, err := newSplitter(opt)
	if err != nil {
		return nil, made, fmt.Errorf("make rows: %w", err)
	}
	if len(meta.Lineage) == 0 {
		return nil, made, errors.New("make rows: the keys of the steps that made the pairs are missing")
	}
	direction := opt.Direction
	if direction == "" {
		direction = SpeechToChat
	}
	rows := make([]Row, 0, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		sha, ok := meta.Recordings[p.Stream]
		if !ok {
			return nil, made, fmt.Errorf("make rows: pair %d: the SHA-256 of the recording of stream %q is missing", i+1, p.Stream)
		}
		split := s.split(p.Stream, p.SpeechStart, p.SpeechEnd)
		switch split {
		case Train:
			made.Train++
		case Holdout:
			made.Holdout++
		default:
			made.Guard++
			continue
		}
		rows = append(rows, Row{
			ID:     RowID(p.Stream, p.MessageID, int64(p.FirstWord), int64(p.LastWord), direction),
			Stream: p.Stream, RecordingSHA256: sha, Direction: direction, Split: split,
			Speech: p.Speech, SpeechStartMS: p.SpeechStart.Milliseconds(), SpeechEndMS: p.SpeechEnd.Milliseconds(),
			FirstWord: int64(p.FirstWord), LastWord: int64(p.LastWord),
			Response: p.Response, AuthorHash: p.AuthorHash, MessageID: p.MessageID,
			MessageTimeMS: p.MessageTime.Milliseconds(), LagMS: p.Lag.Milliseconds(), DelayMS: p.Delay.Milliseconds(),
			Emotes: int64(p.Emotes), Confidence: p.Confidence, FDR: p.FDR,
			Filters: meta.Filters, Lineage: meta.Lineage,
		})
	}
	Sort(rows)
	if err := Validate(rows); err != nil {
		return nil, made, fmt.Errorf("make rows: %w", err)
	}
	return rows, made, nil
}

// splitter decides on which side a span of speech lies.
type splitter struct {
	Options
	run int64 // blocks in a run, of which one is held out; 0 where nothing is
}

func newSplitter(opt Options) (*splitter, error) {
	switch opt.Direction {
	case "", SpeechToChat, ChatToSpeech:
	default:
		return nil, fmt.Errorf("there is no direction %q: use %s or %s", opt.Direction, SpeechToChat, ChatToSpeech)
	}
	opt = opt.Canonical()
	switch {
	case math.IsNaN(opt.Holdout) || opt.Holdout > 0.5:
		return nil, fmt.Errorf("a holdout of %v is not a share of at most 0.5", opt.Holdout)
	case opt.Block < time.Second:
		return nil, fmt.Errorf("a block of %v is too short: use 1 s or more", opt.Block)
	case opt.Guard < 0 || opt.Guard > opt.Block:
		return nil, fmt.Errorf("a guard of %v does not lie between nothing and a block (%v)", opt.Guard, opt.Block)
	case opt.By != ByTime && opt.By != ByStream:
		return nil, fmt.Errorf("there is no way %d to split", opt.By)
	}
	s := &splitter{Options: opt}
	if opt.Holdout > 0 {
		s.run = int64(math.Round(1 / opt.Holdout))
	}
	return s, nil
}

// split is Train, Holdout, or empty where the span is neither.
func (s *splitter) split(stream string, start, end time.Duration) string {
	if s.run == 0 {
		return Train
	}
	if s.By == ByStream {
		if float64(s.draw(stream, -1)>>11)/(1<<53) < s.Holdout {
			return Holdout
		}
		return Train
	}
	first, last := floorDiv(start, s.Block), floorDiv(max(start, end-1), s.Block)
	if first == last && s.held(stream, first) {
		return Holdout
	}
	for b := floorDiv(start-s.Guard, s.Block); b <= floorDiv(end+s.Guard-1, s.Block); b++ {
		if s.held(stream, b) {
			return ""
		}
	}
	return Train
}

// held reports whether a block of a stream is the one of its run that is held out.
func (s *splitter) held(stream string, block int64) bool {
	run := floorDiv(block, s.run)
	return block-run*s.run == int64(s.draw(stream, run)%uint64(s.run))
}

// draw is a number that depends on the seed, a stream and a run alone.
func (s *splitter) draw(stream string, run int64) uint64 {
	b := binary.LittleEndian.AppendUint64([]byte("banter split 1"), s.Seed)
	b = binary.LittleEndian.AppendUint64(b, uint64(run))
	sum := sha256.Sum256(append(b, stream...))
	return binary.LittleEndian.Uint64(sum[:])
}

// floorDiv is a/b rounded down, also below zero.
func floorDiv[T ~int64](a, b T) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return int64(q)
}
